"""A surge of a count within a daily stream: one-sided CUSUM charts, calibrated to a rate of false alarms.

Per topic the day's negative reviews are binomial among all reviews of the day. The chart adds the
log-likelihood ratio of odds that are `odds` times the usual ones (Page, Biometrika 1954; for binary outcomes
Steiner, Cook, Farewell & Treasure, Biostatistics 2000), never falls below 0, and alarms above a threshold,
then begins anew. One threshold serves all topics: the lowest at which simulated years without a surge give at
most the stated number of alarms, over all topics together. Simulated days are whole base days, drawn, so that
what makes days differ stays in them; the usual shares are estimated from other draws of as many base
days, and the number holds for nine in ten of these, so that the estimate's error counts, too (Gandy & Kvaløy,
"Guaranteed conditional performance of control charts", Scandinavian Journal of Statistics 2013).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
DAYS_PER_YEAR = 365
ESTIMATES, YEARS = 40, 12
"""Simulated: draws of base days, and years judged by the shares of each."""
SPANS, COMPARABLE = (90, 180, 365), 0.8
_GUARANTEED = 0.9
_STEPS = 24
_HALF, _CAUTION = 0.5, 1.0
"""Added to each count of negatives: ½, so that a topic that had none can surge, and so many standard
deviations. A share that a short base happened to make too small would let its chart climb without a surge,
and the threshold that this takes would see none."""


@dataclass(frozen=True)
class Chart:
    usual: Floats
    """(topics,) share of the base's reviews that are negative and of the topic."""
    shares: Floats
    """(topics,) the same, rather too large than too small: what the chart takes for usual."""
    odds: float
    threshold: float
    false_alarms_per_year: float
    """Exceeded for one in ten estimates of the shares, as simulated; at most what was asked for."""


@dataclass(frozen=True)
class Surge:
    """An alarm."""

    topic: int
    first_day: int
    """Number of the day on which the chart last left 0: about when the surge began."""
    day: int
    """Number of the day of the alarm."""
    statistic: float


def comparable_days(reviews: Counts, recent: int) -> int:
    """How many of a base's last days are like those that come: of SPANS the longest whose days have on
    average at least COMPARABLE times the reviews of the last `recent` days, else the shortest; no fewer than
    `recent`. Years with few reviews, or none after a single early one, would make simulated years quiet and
    the threshold low."""
    volume = reviews[-recent:].mean()
    spans = [span for span in SPANS if reviews[-span:].mean() >= COMPARABLE * volume]
    return max(*spans, min(SPANS), recent)


def calibrated(negatives: Counts, reviews: Counts, odds: float, per_year: float, seed: int) -> Chart:
    """negatives: (days, topics) of the base, reviews: (days,)."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(reviews), (ESTIMATES, YEARS, DAYS_PER_YEAR))
    estimated_on = rng.integers(0, len(reviews), (ESTIMATES, len(reviews)))
    shares = _shares(negatives[estimated_on].sum(axis=1), reviews[estimated_on].sum(axis=1)[:, None])
    steps = _steps(negatives[drawn], reviews[drawn][..., None], shares[:, None, None], odds)
    low, high = 0.0, float(np.maximum(steps, 0.0).sum(axis=2).max()) + 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _alarms(steps, middle) > per_year else (low, middle)
    total = negatives.sum(axis=0), reviews.sum()[None]
    return Chart(total[0] / total[1], _shares(*total), odds, high, _alarms(steps, high))


def surges(negatives: Counts, reviews: Counts, chart: Chart) -> list[Surge]:
    """Alarms of a stream (days, topics) and (days,), by day and topic."""
    steps = _steps(negatives, reviews[:, None], chart.shares, chart.odds)
    level = np.zeros(negatives.shape[1])
    began = np.zeros(negatives.shape[1], dtype=np.int64)
    found = []
    for day, step in enumerate(steps):
        began = np.where(level == 0.0, day, began)
        level = np.maximum(level + step, 0.0)
        for topic in np.flatnonzero(level > chart.threshold).tolist():
            found.append(Surge(topic, int(began[topic]), day, float(level[topic])))
        level[level > chart.threshold] = 0.0
    return found


def _steps(negatives: Counts, reviews: Counts, shares: Floats, odds: float) -> Floats:
    """Log-likelihood ratio of each day and topic."""
    return np.asarray(negatives * np.log(odds) - reviews * np.log1p((odds - 1.0) * shares))


def _shares(negatives: Counts, reviews: Counts) -> Floats:
    counts = negatives + _HALF
    return np.asarray((counts + _CAUTION * np.sqrt(counts)) / (reviews + 1.0))


def _alarms(steps: Floats, threshold: float) -> float:
    """steps: (estimates, years, days, topics) → alarms per year that _GUARANTEED of the estimates keep to."""
    level, alarms = np.zeros(steps[:, :, 0].shape), np.zeros(len(steps))
    for day in range(steps.shape[2]):
        level = np.maximum(level + steps[:, :, day], 0.0)
        over = level > threshold
        alarms += over.sum(axis=(1, 2))
        level[over] = 0.0
    return float(np.quantile(alarms / steps.shape[1], _GUARANTEED))
