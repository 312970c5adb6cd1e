"""A user's tastes, and how items fit them.

Legend of shapes: k labels of a prior, m items.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from components.profiles.priors import Codes, Floats, LabelPrior, Priors

BAND = np.asarray([0.1, 0.5, 0.9])
"""Shares of the past items' prices at the band's lower end, middle and upper end."""


@dataclass(frozen=True, eq=False)
class ItemColumns:
    """Items' columns as `match` reads them; made once for a catalogue, `taken` for some of its rows."""

    category: Codes
    """(m,) LabelPrior.codes"""
    brand: Codes
    log_price: Floats
    """(m,), NaN where no price is known."""

    @classmethod
    def of(cls, items: pl.DataFrame, priors: Priors) -> Self:
        """items: category, brand, price."""
        price = items.get_column("price").cast(pl.Float64).fill_null(np.nan).to_numpy()
        log_price = np.log(np.where(price > 0, price, np.nan))
        category, brand = items.get_column("category"), items.get_column("brand")
        return cls(priors.category.codes(category), priors.brand.codes(brand), log_price)

    def taken(self, rows: Codes) -> Self:
        return type(self)(self.category[rows], self.brand[rows], self.log_price[rows])


@dataclass(frozen=True, eq=False)
class Profile:
    category: Floats
    """(k,) the user's smoothed share of each label of the prior; `category_items`: past items with it."""
    category_items: Floats
    brand: Floats
    brand_items: Floats
    log_band: Floats | None
    """(3,) quantiles BAND of the log prices; None: the shop has no prices."""

    @classmethod
    def of(cls, past: ItemColumns, priors: Priors) -> Self:
        """past: the distinct items that the user acted on; none of them gives the shop's own profile."""
        categories, brands = _counts(past.category, priors.category), _counts(past.brand, priors.brand)
        prices = past.log_price[np.isfinite(past.log_price)]
        return cls(
            category=priors.category.smoothed(categories),
            category_items=categories,
            brand=priors.brand.smoothed(brands),
            brand_items=brands,
            log_band=priors.price.band(prices, BAND),
        )


def match(profile: Profile, items: ItemColumns) -> dict[str, Floats]:
    """How m items fit a user, each (m,):

    - category_share, brand_share: the user's share of the item's label; 0 where nobody's past has the label;
    - price_distance: of the item's log price to the user's band; 0 within it.
    NaN where the item's column is not known. Nothing here asks whether an item is new.
    """
    distance = np.full(len(items.log_price), np.nan)
    if profile.log_band is not None:
        low, _, high = profile.log_band
        distance = np.maximum(0.0, np.maximum(low - items.log_price, items.log_price - high))
    return {
        "category_share": _of_items(profile.category, items.category),
        "brand_share": _of_items(profile.brand, items.brand),
        "price_distance": distance,
    }


def _of_items(shares: Floats, codes: Codes) -> Floats:
    return np.append(shares, [0.0, np.nan])[codes]


def _counts(codes: Codes, prior: LabelPrior) -> Floats:
    k = len(prior.labels)
    return np.bincount(codes[codes < k], minlength=k).astype(np.float64)
