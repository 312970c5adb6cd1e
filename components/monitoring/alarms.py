"""Calibration at each promotion: how far every metric strays without drift, and how far all of them together.

Windows are drawn from the reference (drawn_windows.py), each metric of each is measured, and the thresholds
are such that at most `false_alarm_rate` of the drawn windows has any metric beyond its own: the single-step
maxT procedure of Westfall & Young, Resampling-Based Multiple Testing (Wiley 1993, section 2.6). It holds the
family-wise rate under whatever dependence the metrics have, because all are measured on the same draw.
Statistics are studentised by their median and the distance from there to their 95 % point, so that no metric
decides for all because its spread is wide or skew.

A statistic of few rows strays further. So windows of min_rows, 1.5 times as many, and so on are calibrated,
and a live window is cut, by seed, to the largest of these sizes that it reaches. Whatever sizes that gives,
the rate holds: of each frame (requests, items, new items) the sizes' maxima are replaced by their upper
envelope, and the frames, which are drawn independently of each other, are joined by one maximum.

Limits. The thresholds know how the judge window's days vary and no more: where every week differs from the
one before, a week outside it is drift to them. And of B days a further one is the most extreme with a chance
of 1 in B + 1, which no resampling of the B shows.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from components.contract.errors import ConfigError, MonitoringError
from components.contract.files import disk_errors, write_json
from components.contract.operations import MonitoringSettings
from components.contract.records import Record
from components.monitoring.drawn_windows import FRAMES, Drawn, Floats, draw_shares, draw_windows, window_days
from components.monitoring.reference import Reference
from components.monitoring.samples import ReferenceSamples

METHOD = "single-step maxT over studentised statistics of block resamples (Westfall & Young 1993)"
ALARMS_FILE = "alarms.json"
_UPPER = 0.95


class Spread(Record):
    """How one metric varies over windows of one size without drift."""

    two_sided: bool
    expected: float
    """The median of a difference; 0 for a score."""
    middle: float
    """The median of the score, or of the difference's distance from `expected`."""
    scale: float
    """From there to the 95 % point."""
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
    resamples: int
    seed: int
    false_alarm_rate: float
    window_days: int
    """Day blocks per drawn window."""
    blocks: str
    """What the reference's blocks are: days or chunks."""
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
        """Share of the drawn windows in which some metric deviates at least so far; never 0."""
        return (1 + int(np.sum(np.asarray(self.maxima) >= deviation))) / (1 + self.resamples)

    def write(self, folder: Path) -> None:
        """Writes alarms.json into `folder`."""
        write_json(folder / ALARMS_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> "Alarms":
        """Raises MonitoringError where there are none, or the file is damaged."""
        path = folder / ALARMS_FILE
        if not path.is_file():
            raise MonitoringError(f"{path}: not calibrated yet; that is done when a release is promoted.")
        try:
            with disk_errors(path):
                return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise MonitoringError(f"{path} cannot be read: it is damaged; calibrate again.") from error


def calibrate(reference: Reference, settings: MonitoringSettings) -> Alarms:
    """Thresholds of this reference. About a minute of one core at 500 resamples; depends on the seed alone.

    Raises MonitoringError where the reference is too small for any metric, ConfigError where `resamples` are
    too few for the rate.
    """
    allowed = int(settings.false_alarm_rate * (settings.resamples + 1))
    if allowed < 1:
        raise ConfigError(
            f"monitoring.resamples: {settings.resamples} are too few for a false-alarm rate of "
            f"{settings.false_alarm_rate:g}; set at least {round(1 / settings.false_alarm_rate)}."
        )
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
    critical = float(maxima[-allowed])
    return Alarms(
        release=reference.facts.release,
        method=METHOD,
        resamples=settings.resamples,
        seed=settings.seed,
        false_alarm_rate=settings.false_alarm_rate,
        window_days=window_days(settings),
        blocks=reference.facts.blocks,
        critical=critical,
        maxima=tuple(maxima.tolist()),
        levels=tuple(_level(size, spreads, critical) for one in levels for size, (spreads, _) in one.items()),
    )


def _studentised(drawn: dict[str, Drawn]) -> tuple[dict[str, Spread], Floats]:
    """Per metric its spread; per drawn window the deviation of its farthest metric."""
    spreads, deviations = {}, []
    for name, one in drawn.items():
        statistics = np.where(np.isfinite(one.statistics), one.statistics, np.nanmedian(one.statistics))
        expected = float(np.median(statistics)) if one.two_sided else 0.0
        distances = np.abs(statistics - expected) if one.two_sided else statistics
        middle = float(np.median(distances))
        scale = max(float(np.quantile(distances, _UPPER)) - middle, one.least_scale)
        spreads[name] = Spread(
            two_sided=one.two_sided, expected=expected, middle=middle, scale=scale, threshold=middle
        )
        deviations.append((distances - middle) / scale)
    return spreads, np.max(deviations, axis=0)


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
