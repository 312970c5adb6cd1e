"""Recall against item age, and against what was trained on, with bootstrap intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.contract.records import Entrance
from components.evaluation.scorecard import Scorecard

AGE = "age:"
POPULATIONS = {
    "new_only": "new items,\nonly candidates",
    "new": "new items",
    "established_untrained": "established,\nnever trained on",
    "established_trained": "established,\ntrained on",
    "established": "established",
}
CONFIDENCE = 0.95
RESAMPLES = 2_000
RESAMPLES_AT_ONCE = 100


@dataclass(frozen=True)
class RecallPoint:
    """Mean recall@k of one slice; None where no request has a relevant item in it."""

    label: str
    requests: int
    mean: float | None
    low: float | None
    high: float | None
    """Ends of the 95 % percentile bootstrap interval over requests."""


def recall_by_age(scorecard: Scorecard, entrance: Entrance | None = None) -> list[RecallPoint]:
    """One point per age bucket, youngest first; empty where the items or judgements are undated."""
    measures = scorecard.entrances[entrance or scorecard.primary].measures
    suffix = f"/recall@{scorecard.k}"
    names = [name for name in measures if name.startswith(AGE) and name.endswith(suffix)]
    return [_point(scorecard, entrance, n, n.removeprefix(AGE).removesuffix(suffix)) for n in names]


def recall_by_population(scorecard: Scorecard, entrance: Entrance | None = None) -> list[RecallPoint]:
    """One point each for new, new-only and established items, the latter trained on or not."""
    return [
        _point(scorecard, entrance, f"{name}/recall@{scorecard.k}", label)
        for name, label in POPULATIONS.items()
    ]


def _point(scorecard: Scorecard, entrance: Entrance | None, measure: str, label: str) -> RecallPoint:
    values = scorecard.entrances[entrance or scorecard.primary].population(measure)
    if not len(values):
        return RecallPoint(label, 0, None, None, None)
    low, high = bootstrap_interval(values)
    return RecallPoint(label, len(values), float(values.mean()), low, high)


def bootstrap_interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """Percentile interval of the mean (Efron & Tibshirani 1993, ch. 13); draws depend on (seed, n) alone."""
    count = len(values)
    rng = np.random.default_rng([seed, count])
    means = [
        values[rng.integers(0, count, (RESAMPLES_AT_ONCE, count))].mean(axis=1)
        for _ in range(RESAMPLES // RESAMPLES_AT_ONCE)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)
