"""A user's tastes. Legend of shapes: k labels of a prior, m items."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from components.profiles.priors import Codes, Floats, LabelPrior, Priors

BAND = np.asarray([0.1, 0.5, 0.9])
"""Shares of the past items' prices at the band's lower end, middle and upper end."""


@dataclass(frozen=True, eq=False)
class ItemColumns:
    """Items' columns as a profile reads them."""

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


def _counts(codes: Codes, prior: LabelPrior) -> Floats:
    k = len(prior.labels)
    return np.bincount(codes[codes < k], minlength=k).astype(np.float64)
