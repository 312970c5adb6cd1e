"""The shop's own tastes, towards which a user's are smoothed.

A user who acted on two items has said little: the shares of brands among them are shrunk towards the shop's.
By how much is estimated, not set (empirical Bayes; Bühlmann 1967, "Experience rating and credibility"): with
σ² the variance of items within users and τ² that between users, the shop counts as much as `strength` = σ²/τ²
items of a user's past. For labels (one-hot vectors) that is the moment estimate of a Dirichlet's
concentration; for prices the mixture of both is the posterior mean of a Dirichlet process.

Legend of shapes: k labels, m items, n past items of all users.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
LEAST_STRENGTH, MOST_STRENGTH = 0.1, 1_000.0
"""The most where users do not differ by more than chance: the shop's tastes are theirs."""
QUANTILES = 1_001
"""Of the shop's log prices that are kept."""


@dataclass(frozen=True, eq=False)
class LabelPrior:
    """Shares of the labels (categories, or brands) among all users' past items."""

    labels: tuple[str, ...]
    """(k,) ascending."""
    shares: Floats
    """(k,), their sum is 1."""
    strength: float

    @classmethod
    def of(cls, pasts: pl.DataFrame, column: str) -> Self:
        """pasts: a row per user and distinct past item, user_id and the item's columns; nulls say nothing."""
        known = pasts.select("user_id", label=column).drop_nulls()
        counts = known.group_by("label").len().sort("label")
        labels, shares = counts.get_column("label"), counts.get_column("len").to_numpy() / max(1, len(known))
        cells = known.group_by("user_id", "label").len("count")
        users = cells.group_by("user_id").agg(n=pl.col("count").sum(), squares=(pl.col("count") ** 2).sum())
        sizes, squares = (users.get_column(name).to_numpy().astype(np.float64) for name in ("n", "squares"))
        within = float((sizes - squares / np.maximum(sizes, 1)).sum())
        between = float((squares / np.maximum(sizes, 1)).sum() - len(known) * (shares**2).sum())
        return cls(tuple(labels), shares, _strength(sizes, within, between))

    def codes(self, labels: pl.Series) -> Codes:
        """(m,) places in `labels`; k: a label that nobody's past has, k + 1: null."""
        places = {label: place for place, label in enumerate(self.labels)}
        k = len(self.labels)
        codes = labels.replace_strict(places, default=k, return_dtype=pl.Int64)
        return codes.to_numpy() if not labels.null_count() else np.where(labels.is_null(), k + 1, codes)

    def smoothed(self, counts: Floats) -> Floats:
        """(k,) items of a user per label → the user's shares."""
        return np.asarray((counts + self.strength * self.shares) / (counts.sum() + self.strength))


@dataclass(frozen=True, eq=False)
class PricePrior:
    log_prices: Floats
    """(n,) or fewer, ascending: quantiles of the log prices of all users' past items."""
    strength: float

    @classmethod
    def of(cls, pasts: pl.DataFrame) -> Self:
        """pasts: as for LabelPrior, with price; prices of 0 and nulls say nothing."""
        known = pasts.filter(pl.col("price") > 0).select("user_id", log=pl.col("price").log())
        if not len(known):
            return cls(np.empty(0), MOST_STRENGTH)
        users = known.group_by("user_id").agg(n=pl.len(), mean=pl.col("log").mean())
        sizes, means = (users.get_column(name).to_numpy().astype(np.float64) for name in ("n", "mean"))
        log = known.get_column("log").to_numpy()
        total, between = (
            float(((log - log.mean()) ** 2).sum()),
            float((sizes * (means - log.mean()) ** 2).sum()),
        )
        kept = np.sort(log) if len(log) <= QUANTILES else np.quantile(log, np.linspace(0, 1, QUANTILES))
        return cls(kept, _strength(sizes, total - between, between))

    def band(self, log_prices: Floats, shares: Floats) -> Floats | None:
        """Quantiles of a user's log prices (h,), the shop's counting as `strength` further ones; None where
        no price is known at all."""
        values = np.concatenate([log_prices, self.log_prices])
        if not len(values):
            return None
        shop = self.strength / max(1, len(self.log_prices))
        weights = np.concatenate([np.ones(len(log_prices)), np.full(len(self.log_prices), shop)])
        order = np.argsort(values, kind="stable")
        cumulated = np.cumsum(weights[order])
        places = np.searchsorted(cumulated, shares * cumulated[-1])
        return np.asarray(values[order][np.minimum(places, len(values) - 1)])


@dataclass(frozen=True, eq=False)
class Priors:
    category: LabelPrior
    brand: LabelPrior
    price: PricePrior

    @classmethod
    def of(cls, pasts: pl.DataFrame) -> Self:
        """pasts: a row per user and distinct past item: user_id, category, brand, price."""
        return cls(LabelPrior.of(pasts, "category"), LabelPrior.of(pasts, "brand"), PricePrior.of(pasts))


def _strength(sizes: Floats, within: float, between: float) -> float:
    """σ²/τ² by one-way analysis of variance. sizes: (users,) items per user; within, between: sums of squares
    of the items about their users' means, and of these about the shop's."""
    items, users = float(sizes.sum()), len(sizes)
    if users < 2 or items <= users:
        return MOST_STRENGTH
    sigma = within / (items - users)
    typical = (items - float((sizes**2).sum()) / items) / (users - 1)
    tau = (between / (users - 1) - sigma) / max(typical, 1e-12)
    return float(np.clip(sigma / tau, LEAST_STRENGTH, MOST_STRENGTH)) if tau > 0 else MOST_STRENGTH
