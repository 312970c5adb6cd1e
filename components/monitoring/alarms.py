"""Calibration at each promotion: how far every metric strays without drift, and how far all of them together.

Windows are drawn from the reference (drawn_windows.py), each metric of each is measured, and the thresholds
are such that at most `false_alarm_rate` of the drawn windows has any metric beyond its own: the single-step
maxT procedure of Westfall & Young, Resampling-Based Multiple Testing (Wiley 1993, section 2.6). It holds the
family-wise rate under whatever dependence the metrics have, because all are measured on the same draw.
Statistics are studentised by their mean and standard deviation, so that no metric decides for all because its
spread is wide.

A fresh day is none of those whose mean and standard deviation it is held against. So for every drawn window
these are of the windows that share no day with it (the jackknife; Barber et al., Annals of Statistics 2021,
on its use for prediction). With those of all windows no drawn one could stray far, and one metric or another
of a fresh day would at three times the stated rate.

Of B days a further one is the most extreme with a chance of 1 in B + 1, which no resampling of the B lowers:
where that is more than the rate asked for, it is the rate that is kept, and told. Of undated requests, and of
fewer than 4 days, no rate is known.

A statistic of few rows strays further. So windows of min_rows, 1.5 times as many, and so on are calibrated,
and a live window is cut, by seed, to the largest of these sizes that it reaches. Whatever sizes that gives,
the rate holds: of each frame (requests, items, new items) the sizes' maxima are replaced by their upper
envelope, and the frames, which are drawn independently of each other, are joined by one maximum.

Limits. The thresholds know how the judge window's days vary and no more: where every week differs from the
one before, a week outside it is drift to them. The rate is an average over references: of few
days, one shop's thresholds are tighter than another's.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors, write_json
from components.contract.operations import MonitoringSettings
from components.contract.records import Record
from components.monitoring.drawn_windows import (
    FRAMES,
    Drawn,
    Floats,
    Marks,
    draw_shares,
    draw_windows,
    drawn_days,
)
from components.monitoring.reference import BlockKind, Reference
from components.monitoring.samples import ReferenceSamples, Rows

METHOD = "single-step maxT over block resamples, studentised without their own days (Westfall & Young 1993)"
ALARMS_FILE = "alarms.json"
CALIBRATED_BY = ("window_hours", "min_rows", "false_alarm_rate", "resamples", "new_item_days", "seed")
"""The monitoring settings that thresholds depend on."""
LEAST_OTHERS = 20
"""Drawn windows that a mean and a standard deviation are of; where fewer share no day, those that share
least."""


class Spread(Record):
    """How one metric varies over windows of one size without drift."""

    two_sided: bool
    expected: float
    """The mean of a difference; 0 for a score."""
    middle: float
    """The mean of the score, or of the difference's distance from `expected`."""
    scale: float
    """Its standard deviation."""
    threshold: float
    """A score, or a distance of a difference from `expected`, beyond it is drift."""

    def deviation(self, value: float) -> float:
        """How far a score or a difference is beyond the middle, in scales."""
        distance = abs(value - self.expected) if self.two_sided else value
        return (distance - self.middle) / self.scale


class Level(Record):
    """Windows of one size, of requests, of items, or of new items."""

    size: int
    metrics: dict[str, Spread]


class Alarms(Record):
    """alarms.json"""

    release: str
    """D of the champion that the reference belongs to."""
    method: str
    settings: MonitoringSettings
    """By which they were calibrated."""
    false_alarm_rate: float
    """The rate that is kept: that of the settings, or the least that so many days allow."""
    blocks: BlockKind
    """What the reference's blocks are."""
    days: int
    """Blocks of the reference."""
    window_days: int
    """Blocks per drawn window."""
    critical: float
    """A metric that deviates further is drift."""
    maxima: tuple[float, ...]
    """Per drawn window the deviation of its farthest metric, ascending."""
    levels: tuple[Level, ...]
    """A metric that the reference has too few values of is in none."""

    def level(self, metric: str, rows: int) -> Level | None:
        """The largest size that so many rows reach and that the metric is calibrated for."""
        fitting = [one for one in self.levels if one.size <= rows and metric in one.metrics]
        return max(fitting, key=lambda one: one.size) if fitting else None

    def p_adjusted(self, deviation: float) -> float:
        """Share of the drawn windows in which some metric deviates at least so far; never less than the days
        can tell."""
        beyond = int(np.sum(np.asarray(self.maxima) >= deviation))
        return max((1 + beyond) / (1 + len(self.maxima)), _least_rate(self.blocks, self.days))

    @property
    def rate_known(self) -> bool:
        """Not where the reference's requests are undated or of fewer than 4 days."""
        return self.blocks == "days"

    @property
    def rate_in_words(self) -> str:
        if not self.rate_known:
            return "the false-alarm rate is not known: the reference is undated or of fewer than 4 days"
        told = f"false-alarm rate {self.false_alarm_rate:.3g} per window"
        if self.false_alarm_rate <= self.settings.false_alarm_rate:
            return told
        asked = self.settings.false_alarm_rate
        return f"{told}, the least that {self.days} days of reference allow ({asked:.3g} was asked for)"

    def changed(self, settings: MonitoringSettings) -> tuple[str, ...]:
        """The settings in which these differ from those of the calibration, of those that matter."""
        return tuple(
            name for name in CALIBRATED_BY if getattr(settings, name) != getattr(self.settings, name)
        )

    def write(self, folder: Path) -> None:
        """Writes alarms.json into `folder`."""
        write_json(folder / ALARMS_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> "Alarms":
        """Raises MonitoringError where there are none, or the file is damaged."""
        path = folder / ALARMS_FILE
        if not path.is_file():
            raise MonitoringError(
                f"{path}: not calibrated yet; every retrain does that for its champion and its "
                "challenger: run `debut retrain --force`."
            )
        try:
            with disk_errors(path):
                return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise MonitoringError(
                f"{path} cannot be read: it is damaged, or of another version of Debut; "
                "`debut retrain --force` calibrates again."
            ) from error


def calibrate(reference: Reference, settings: MonitoringSettings) -> Alarms:
    """Thresholds of this reference. About a minute of one core at 500 resamples; depends on the seed alone.

    Raises MonitoringError where the reference is too small for any metric.
    """
    samples = ReferenceSamples.of(reference)
    drawn = [draw_windows(frame, reference, samples, settings) for frame in FRAMES]
    drawn.append(draw_shares(reference, settings))
    levels = [{size: _studentised(found) for size, found in one.items()} for one in drawn if one]
    if not levels:
        raise MonitoringError(
            f"The reference of {reference.facts.release[:12]} has {reference.facts.requests} requests and "
            f"{reference.facts.items} items: too few to tell what is normal. Lower monitoring.min_rows, or "
            "lengthen split.judge_window_days."
        )
    maxima = _joined([[deviations for _, deviations in one.values()] for one in levels], settings.seed)
    days = reference.requests.get_column("block").n_unique()
    rate = max(settings.false_alarm_rate, _least_rate(reference.facts.blocks, days))
    critical = float(maxima[-int(rate * (len(maxima) + 1))])
    return Alarms(
        release=reference.facts.release,
        method=METHOD,
        settings=settings,
        false_alarm_rate=rate,
        blocks=reference.facts.blocks,
        days=days,
        window_days=drawn_days(settings, days),
        critical=critical,
        maxima=tuple(maxima.tolist()),
        levels=tuple(_level(size, spreads, critical) for one in levels for size, (spreads, _) in one.items()),
    )


def _least_rate(blocks: BlockKind, days: int) -> float:
    return 1.0 / (days + 1) if blocks == "days" and days else 0.0


def _studentised(drawn: dict[str, Drawn]) -> tuple[dict[str, Spread], Floats]:
    """Per metric its spread; per drawn window the deviation of its farthest metric."""
    spreads, deviations = {}, []
    for name, one in drawn.items():
        known = replace(one, statistics=_without_gaps(one.statistics))
        spreads[name] = _spread(known, slice(None))
        deviations.append(_deviations(known))
    return spreads, np.max(deviations, axis=0)


def _without_gaps(statistics: Floats) -> Floats:
    return np.where(np.isfinite(statistics), statistics, np.nanmean(statistics))


def _spread(drawn: Drawn, windows: Rows | slice) -> Spread:
    """Of these windows."""
    statistics = drawn.statistics[windows]
    expected = float(statistics.mean()) if drawn.two_sided else 0.0
    distances = np.abs(statistics - expected) if drawn.two_sided else statistics
    middle, scale = float(distances.mean()), max(float(distances.std()), drawn.least_scale)
    return Spread(two_sided=drawn.two_sided, expected=expected, middle=middle, scale=scale, threshold=middle)


def _deviations(drawn: Drawn) -> Floats:
    """Per window how far it is from the windows that share no day with it."""
    if drawn.blocks is None:
        whole = _spread(drawn, slice(None))
        return np.asarray([whole.deviation(value) for value in drawn.statistics])
    kinds, kind = np.unique(drawn.blocks, axis=0, return_inverse=True)
    spreads = [_spread(drawn, _others(drawn.blocks, one)) for one in kinds]
    return np.asarray([spreads[n].deviation(v) for n, v in zip(kind, drawn.statistics, strict=True)])


def _others(blocks: Marks, own: Marks) -> Rows:
    """The windows that share no block with `own`; where they are too few, those that share least."""
    shared = blocks.astype(np.int64) @ own
    most = max(0, int(np.sort(shared)[min(LEAST_OTHERS, len(shared)) - 1]))
    return np.flatnonzero(shared <= most)


def _joined(frames: Sequence[Sequence[Floats]], seed: int) -> Floats:
    """Maxima per frame and size → ascending maxima over all: of the sizes the upper envelope, of the frames
    the maximum of independent draws."""
    rng = np.random.default_rng([seed, 1])
    envelopes = [np.max([np.sort(deviations) for deviations in sizes], axis=0) for sizes in frames]
    return np.sort(np.max([rng.permutation(envelope) for envelope in envelopes], axis=0))


def _level(size: int, spreads: dict[str, Spread], critical: float) -> Level:
    metrics = {
        name: spread.model_copy(update={"threshold": spread.middle + critical * spread.scale})
        for name, spread in spreads.items()
    }
    return Level(size=size, metrics=metrics)
