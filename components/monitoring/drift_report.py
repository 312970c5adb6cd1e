"""What the judgement of one window says."""

from datetime import datetime
from typing import Literal

from components.contract.records import Record
from components.monitoring.metrics import Group, Method

DriftOutcome = Literal["drift", "no drift", "not judged"]


class DriftMetric(Record):
    name: str
    group: Group
    method: Method
    reference: float | None = None
    """Mean (or share) in the reference; None for categories and vectors. Prices: of log10(1 + price)."""
    current: float | None = None
    value: float | None = None
    """The drift score, or the difference current − reference."""
    expected: float = 0.0
    """For a difference: what it is without drift, as windows are smaller than the reference."""
    threshold: float | None = None
    """A score above it, or a difference that is farther from `expected`, is drift."""
    p_adjusted: float | None = None
    """Chance that, without drift, any metric of a window deviates so far: adjusted over all metrics."""
    rows: int = 0
    """Requests or items that were compared with the reference's."""
    outcome: DriftOutcome
    sentence: str


class OnlineRecall(Record):
    """An estimate of new-item recall on live behaviour (online.py says of what exactly)."""

    source: Literal["exploration", "other entrances"]
    value: float | None
    low: float | None
    high: float | None
    """95 % percentile bootstrap interval."""
    acts: int
    """Clicks and orders that it rests on."""
    reason: str | None = None
    """Why there is no value."""


class DriftReport(Record):
    """One window against what the champion was judged on."""

    release: str
    """D of the champion."""
    start: datetime
    end: datetime
    verdict: DriftOutcome
    sentence: str
    raised: tuple[str, ...]
    """The metrics that drifted."""
    requests: int
    """Answers of this release, by the reference's entrance."""
    requests_left_out: int
    """Answers of other releases and entrances, with filters, or cut short: the reference has none."""
    items: int
    new_items: int
    undiscoverable: int | None = None
    """New items that none of their likely queries finds; None where they were not counted."""
    false_alarm_rate: float
    """How often a window without drift raises an alarm, as it was calibrated."""
    rate_known: bool = True
    """Whether that rate is known: not where the reference is of undated requests or of few days. A drift
    verdict is then no ground to act by itself."""
    metrics: tuple[DriftMetric, ...]
    online: tuple[OnlineRecall, ...] = ()
