"""What the second stage knows of a proposed item: one row of numbers per request and item.

Legend: n rows of an index, m proposed rows, p rows of a profile. The profile of a history is its past items;
that of a query are the FEEDBACK best proposals of the first stage (pseudo-relevance feedback: Rocchio, 1971).
Every number is a function of texts, of attributes, or of behaviour before the cut-off by credibility.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Rows

FEEDBACK = 10
FEATURES = (
    "score",
    "text",
    "shared",
    "implied",
    "category_share",
    "brand_share",
    "price_fit",
    "price",
    "demand",
    "attraction",
    "rating",
    "sentiment",
)
"""score: of the first stage. text: cosine to the query, or similarity to the past items' texts. shared: words
that query and item share, or what the same users bought. implied: match with what a query implies. These four
in standard deviations from the list's mean: their level depends on how long a history or a query is, and says
nothing of an item. category_share, brand_share: share of the profile with the item's. price_fit: distance of
the logarithms of its price and of the profile's median. price: its logarithm. demand: who took it per day.
attraction: clicks per look at it. rating: stars. sentiment: what its reviews say, from 0 to 1. The last four
by credibility.py, the first two of them as logarithms of their ratio to the mean."""
RISING = ("text", "shared", "implied", "category_share", "brand_share", "rating", "sentiment")
"""Features that never lower a score as they rise."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Proposed:
    """What the first stage proposes to one request."""

    rows: Rows
    """(m,) ascending."""
    score: Floats
    """(m,)"""
    text: Floats
    """(m,)"""
    shared: Floats
    """(m,) 0 where the plan does not weigh it."""
    implied: Floats
    """(m,) likewise: what the query implies of category, brand, price and attributes."""
    profile: Rows
    """(p,)"""

    @property
    def level(self) -> tuple[float, float]:
        """Mean and standard deviation of the score; 1 where all are equal."""
        wide = self.score.astype(np.float64)
        return float(wide.mean()), float(wide.std()) or 1.0

    def first(self, count: int) -> "Proposed":
        """The `count` best alone, ascending rows as before."""
        if len(self.rows) <= count:
            return self
        kept = np.sort(np.argsort(-self.score, kind="stable")[:count])
        return Proposed(
            rows=self.rows[kept],
            score=self.score[kept],
            text=self.text[kept],
            shared=self.shared[kept],
            implied=self.implied[kept],
            profile=self.profile,
        )


@dataclass(frozen=True, eq=False)
class ItemValues:
    """Per row of an index what the features read; -1 and NaN: not known."""

    category: NDArray[np.int32]
    brand: NDArray[np.int32]
    price: NDArray[np.float64]
    demand: Floats
    attraction: Floats
    rating: Floats
    sentiment: Floats


def best(score: Floats, rows: Rows, count: int = FEEDBACK) -> Rows:
    """The rows of the highest scores, of equal ones the first."""
    return rows[np.argsort(-score, kind="stable")[:count]]


def features(proposed: Proposed, items: ItemValues) -> Floats:
    """(m, len(FEATURES))"""
    rows, profile = proposed.rows, proposed.profile
    price = np.log1p(np.maximum(items.price[rows], 0.0))
    of_profile = np.log1p(np.maximum(items.price[profile], 0.0))
    columns = (
        _standardised(proposed.score),
        _standardised(proposed.text),
        _standardised(proposed.shared),
        _standardised(proposed.implied),
        _share(items.category, rows, profile),
        _share(items.brand, rows, profile),
        np.abs(price - _median(of_profile)),
        price,
        items.demand[rows],
        items.attraction[rows],
        items.rating[rows],
        items.sentiment[rows],
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _standardised(values: Floats) -> Floats:
    wide = values.astype(np.float64)
    spread = wide.std()
    moved: Floats = ((wide - wide.mean()) / (spread if spread > 0 else 1.0)).astype(np.float32)
    return moved


def _share(codes: NDArray[np.int32], rows: Rows, profile: Rows) -> Floats:
    """(m,) share of the profile's known codes that is the row's; NaN where one of the two is not known."""
    known = codes[profile]
    known = known[known >= 0]
    if not len(known):
        return np.full(len(rows), np.nan, dtype=np.float32)
    values, counts = np.unique(known, return_counts=True)
    own = codes[rows]
    place = np.minimum(np.searchsorted(values, own), len(values) - 1)
    share = np.where(values[place] == own, counts[place] / len(known), 0.0)
    return np.where(own >= 0, share, np.nan).astype(np.float32)


def _median(prices: NDArray[np.float64]) -> float:
    known = prices[~np.isnan(prices)]
    return float(np.median(known)) if len(known) else float("nan")
