"""A profile as a person reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.records import Record
from components.contract.retrieving import HistoryScoring
from components.profiles.behaviour import Activity, Behaviour
from components.profiles.brands import RecommendedBrand, recommended_brands
from components.profiles.priors import Floats, LabelPrior, Priors
from components.profiles.profile import ItemColumns, Profile

FAVOURITES, BRANDS = 5, 10


class Favourite(Record):
    label: str
    share: float
    """Of the user's tastes, smoothed towards the shop's."""
    shop_share: float
    """Among all users' past items."""
    items: int
    """Past items of the user with this label."""


class PriceBand(Record):
    """A tenth of the user's prices are below `low`, a tenth above `high`; smoothed towards the shop's."""

    low: float
    median: float
    high: float


class Tastes(Record):
    """The favoured labels, best first."""

    categories: tuple[Favourite, ...]
    brands: tuple[Favourite, ...]
    price_band: PriceBand | None
    """None: no price is known."""


class UserProfile(Record):
    release: str
    """D of the release whose vectors and ranking these are."""
    as_of: datetime
    """Of the newest act of any user in the shop's data."""
    activity: Activity
    tastes: Tastes
    recommended_brands: tuple[RecommendedBrand, ...]
    """That the user has not acted on, best first."""
    vector: tuple[float, ...] | None
    """Of unit length, in the items' space; None: the release has none of the user's items."""
    history_scoring: HistoryScoring
    """How the release ranks for a history, and so what the vector is."""


@dataclass(frozen=True)
class OfRelease:
    """What a release says about a user."""

    digest: str
    history_scoring: HistoryScoring
    vector: NDArray[np.float32] | None
    ranked: Sequence[tuple[str, str | None]]
    """item_id and brand of the items it recommends, best first."""


def user_profile(behaviour: Behaviour, user_id: str, of_release: OfRelease) -> UserProfile | None:
    """None for a user nobody knows."""
    activity = behaviour.activity(user_id)
    if activity is None or behaviour.as_of is None:
        return None
    past, vector = behaviour.past_items(user_id), of_release.vector
    own = set(past.get_column("brand").drop_nulls())
    return UserProfile(
        release=of_release.digest,
        as_of=behaviour.as_of,
        activity=activity,
        tastes=tastes(past, behaviour.priors),
        recommended_brands=tuple(recommended_brands(of_release.ranked, own, BRANDS)),
        vector=None if vector is None else tuple(round(float(value), 6) for value in vector),
        history_scoring=of_release.history_scoring,
    )


def tastes(past: pl.DataFrame, priors: Priors) -> Tastes:
    """past: category, brand and price of a user's distinct past items."""
    profile = Profile.of(ItemColumns.of(past, priors), priors)
    band = None
    if profile.log_band is not None:
        low, median, high = (round(float(value), 2) for value in np.exp(profile.log_band))
        band = PriceBand(low=low, median=median, high=high)
    return Tastes(
        categories=_favourites(priors.category, profile.category, profile.category_items),
        brands=_favourites(priors.brand, profile.brand, profile.brand_items),
        price_band=band,
    )


def _favourites(prior: LabelPrior, shares: Floats, items: Floats) -> tuple[Favourite, ...]:
    """The largest shares among the labels that the user's past has."""
    own: Sequence[int] = [row for row in np.argsort(-shares, kind="stable").tolist() if items[row]]
    return tuple(
        Favourite(
            label=prior.labels[row],
            share=round(float(shares[row]), 4),
            shop_share=round(float(prior.shares[row]), 4),
            items=int(items[row]),
        )
        for row in own[:FAVOURITES]
    )
