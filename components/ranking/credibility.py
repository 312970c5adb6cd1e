"""What an item's few observations say of it, with the items of similar texts behind them: empirical Bayes.

Legend: n items, d dimensions. An item has a total t (buyers, clicks, stars) over an exposure e (days, looks,
reviews). Its rate is estimated as

    r(i) = (t(i) + k · m(i)) / (e(i) + k)

which is Bühlmann and Straub's credibility estimator ("Glaubwürdigkeit für Schadensätze", 1970) with
Hachemeister's regression prior (1975); for totals that are counts it is the posterior mean of a gamma-Poisson
model. The prior mean m is a ridge regression of the rates on the items' text vectors, its penalty chosen by
leaving out one item at a time. k = noise ÷ variance of the rates around m is the exposure at which an item's
own observations count half. An item without any gets its prior: r moves smoothly with the exposure, and
nothing asks whether an item is new.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from components.contract.ports import Vectors

Floats = NDArray[np.float64]
PENALTIES = (1.0, 10.0, 100.0, 1_000.0)
"""Of the squared coefficients, where the exposures have a mean of 1."""
LEAST_STRENGTH = 1e-6
"""So that an item that nobody saw has its prior where observations never differ."""
LOWEST_SHARE = 0.05
"""Of the mean rate: no prior is lower, so that a logarithm exists."""


@dataclass(frozen=True, eq=False)
class Credibility:
    coefficients: Floats
    """(d,) of the text vector's difference from `centre`."""
    centre: Floats
    """(d,)"""
    mean: float
    """Of the rates, by exposure; 0: nothing was observed."""
    strength: float
    """k, in units of exposure."""

    @classmethod
    def fit(cls, vectors: Vectors, total: Floats, exposure: Floats, noise: float | None = None) -> Self:
        """vectors: (n, d); total, exposure: (n,). noise: variance of a total per unit of exposure, for counts
        (None) the mean rate, as Poisson's is."""
        seen = exposure > 0
        if total[seen].sum() <= 0:
            return cls.nothing()
        weights = exposure[seen] / exposure[seen].mean()
        rates = total[seen] / exposure[seen]
        mean = float(np.average(rates, weights=weights))
        centre = np.average(vectors[seen], axis=0, weights=weights).astype(np.float64)
        with threadpool_limits(1):  # the same bytes, whatever the number of cores: they are under D
            coefficients, left_out = _ridge(vectors[seen] - centre, rates - mean, weights)
        noise = mean if noise is None else noise
        # Left-out errors hold an item's own noise and what the prior misses of its rate.
        spread = np.average((rates - mean - left_out) ** 2, weights=weights)
        between = max(spread - noise / exposure[seen].mean(), 1e-3 * spread, 1e-12)
        return cls(coefficients, centre, mean, max(float(noise / between), LEAST_STRENGTH))

    @classmethod
    def nothing(cls) -> Self:
        """Of a kind that was never observed."""
        return cls(np.zeros(0), np.zeros(0), 0.0, 1.0)

    def prior(self, vectors: Vectors) -> Floats:
        """(m, d) → (m,) m."""
        expected = self.mean + (vectors - self.centre) @ self.coefficients
        lowest: Floats = np.maximum(expected, LOWEST_SHARE * self.mean)
        return lowest

    def rates(self, vectors: Vectors, total: Floats, exposure: Floats) -> Floats:
        """(m,) r; 0 where nothing was ever observed."""
        if self.mean == 0.0:
            return np.zeros(len(vectors))
        rates: Floats = (total + self.strength * self.prior(vectors)) / (exposure + self.strength)
        return rates


def _ridge(moved: Floats, targets: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Coefficients (d,) and what each item's prediction is without it (n,), by the penalty with the least
    weighted squared error of the latter."""
    root = np.sqrt(weights)
    scaled = moved * root[:, None]
    values, basis = np.linalg.eigh(scaled.T @ scaled)
    rotated = scaled @ basis
    shown = rotated.T @ (targets * root)
    best: tuple[float, Floats, Floats] | None = None
    for penalty in PENALTIES:
        shrunk = 1.0 / (np.maximum(values, 0.0) + penalty)
        fitted = rotated @ (shrunk * shown) / root
        # An item's share in its own prediction.
        own = np.minimum(np.einsum("nd,nd,d->n", rotated, rotated, shrunk), 0.99)
        without = (fitted - own * targets) / (1 - own)
        error = float(np.average((targets - without) ** 2, weights=weights))
        if best is None or error < best[0]:
            best = error, basis @ (shrunk * shown), without
    assert best is not None
    return best[1], best[2]
