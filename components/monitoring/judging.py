"""One window against the reference, by the calibrated alarms."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from components.contract.errors import MonitoringError
from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms, Spread
from components.monitoring.drawn_windows import FRAMES, UNDISCOVERABLE, metrics_of
from components.monitoring.drift_report import DriftMetric, DriftOutcome, DriftReport
from components.monitoring.metrics import Metric, level, measure, values
from components.monitoring.reference import Reference, Undiscoverable
from components.monitoring.samples import Frame, ReferenceSamples, Sample
from components.monitoring.window import Window


@dataclass(frozen=True, eq=False)
class WindowSamples:
    requests: Sample
    items: Sample
    new_items: Sample
    left_out: int
    """Answers of other releases and entrances, with filters, or cut short."""

    def sample(self, frame: Frame) -> Sample:
        return {"requests": self.requests, "items": self.items, "new items": self.new_items}[frame]


def judge(window: Window, reference: Reference, alarms: Alarms, settings: MonitoringSettings) -> DriftReport:
    """Which metrics of the window drifted, with all that is needed to say so.

    Only answers of the reference's release and entrance are compared: another release's scores and vectors
    are others. The verdict is "not judged" where there were fewer than min_rows requests, even if the
    catalogue drifted, which the sentence then says; else "drift" where any metric did. Raises MonitoringError
    where reference and alarms do not belong together, or the alarms were calibrated by other settings.
    """
    if alarms.release != reference.facts.release:
        raise MonitoringError(
            f"The alarms belong to {alarms.release[:12]}, the reference to {reference.facts.release[:12]}: "
            "calibrate again."
        )
    if changed := alarms.changed(settings):
        raise MonitoringError(
            f"monitoring.{', monitoring.'.join(changed)}: changed since {alarms.release[:12]} was "
            "calibrated; `debut retrain --force` calibrates again, whether or not it promotes."
        )
    before = ReferenceSamples.of(reference)
    live = window_samples(window, reference, before)
    metrics = [
        _judged(metric, before.sample(frame), live.sample(frame), alarms, settings)
        for frame in FRAMES
        for metric in metrics_of(frame, reference)
    ]
    metrics += _undiscoverable(reference.facts.undiscoverable, window.undiscoverable, alarms, settings)
    return _report(window, alarms, settings, live, metrics)


def window_samples(window: Window, reference: Reference, known: ReferenceSamples) -> WindowSamples:
    """The rows of a window that are compared with the reference."""
    facts = reference.facts
    same = (pl.col("release") == facts.release) & (pl.col("entrance") == facts.entrance)
    requests = window.requests.filter(same)
    return WindowSamples(
        known.coding.requests(requests),
        known.coding.items(window.items.filter("in_sample")),
        known.coding.items(window.items.filter("is_new")),
        len(window.requests) - len(requests) + window.left_out,
    )


def cut(sample: Sample, size: int, seed: int) -> Sample:
    """So many rows by seed; one sample is cut to the same rows for every metric."""
    rows = np.random.default_rng([seed, len(sample)]).permutation(len(sample))[:size]
    return sample.take(np.sort(rows))


def _judged(
    metric: Metric, reference: Sample, live: Sample, alarms: Alarms, settings: MonitoringSettings
) -> DriftMetric:
    if len(live) < settings.min_rows:
        reason = f"{len(live)} {metric.frame}, fewer than the {settings.min_rows} of min_rows."
        return _not_judged(metric, len(live), reason)
    calibrated = alarms.level(metric.name, len(live))
    if calibrated is None:
        return _not_judged(metric, len(live), "The reference has too few values to tell what is normal.")
    taken = cut(live, calibrated.size, settings.seed)
    usual = values(metric, reference) / len(reference) * calibrated.size
    if values(metric, taken) < usual / 2:
        reason = (
            f"Only {values(metric, taken)} of {calibrated.size} rows have a value; {usual:.0f} are usual."
        )
        return _not_judged(metric, len(taken), reason)
    spread = calibrated.metrics[metric.name]
    value = measure(metric, reference, taken)
    levels = level(metric, reference), level(metric, taken)
    facts = DriftMetric(
        name=metric.name,
        group=metric.group,
        method=metric.method,
        reference=levels[0],
        current=levels[1],
        rows=len(taken),
        outcome="no drift",
        sentence="",
    )
    return _with_outcome(facts, value, spread, alarms)


def _with_outcome(facts: DriftMetric, value: float, spread: Spread, alarms: Alarms) -> DriftMetric:
    deviation = spread.deviation(value)
    drifted = deviation > alarms.critical
    p = alarms.p_adjusted(deviation)
    moved = ""
    if facts.reference is not None and facts.current is not None:
        moved = f" (from {facts.reference:.4g} to {facts.current:.4g})"
    limit = (
        f"{spread.expected:+.3g} ± {spread.threshold:.3g}" if spread.two_sided else f"{spread.threshold:.3g}"
    )
    what = "beyond" if drifted else "within"
    return facts.model_copy(
        update={
            "value": value,
            "expected": spread.expected,
            "threshold": spread.threshold,
            "p_adjusted": p,
            "outcome": "drift" if drifted else "no drift",
            "sentence": f"{facts.method} {value:.3g}, {what} {limit}{moved}; adjusted p = {p:.3f}.",
        }
    )


def _not_judged(metric: Metric, rows: int, reason: str) -> DriftMetric:
    return DriftMetric(
        name=metric.name,
        group=metric.group,
        method=metric.method,
        rows=rows,
        outcome="not judged",
        sentence=reason,
    )


def _undiscoverable(
    before: Undiscoverable | None, now: Undiscoverable | None, alarms: Alarms, settings: MonitoringSettings
) -> list[DriftMetric]:
    """One metric, or none where either side was not counted."""
    if before is None or now is None:
        return []
    facts = DriftMetric(
        name=UNDISCOVERABLE,
        group="new items",
        method="difference",
        reference=before.found / max(1, before.checked),
        current=now.found / max(1, now.checked),
        rows=now.checked,
        outcome="not judged",
        sentence=f"{now.checked} new items were checked, fewer than the {settings.min_rows} of min_rows.",
    )
    calibrated = alarms.level(UNDISCOVERABLE, now.checked)
    if calibrated is None or facts.current is None or facts.reference is None:
        return [facts]
    spread = calibrated.metrics[UNDISCOVERABLE]
    return [_with_outcome(facts, facts.current - facts.reference, spread, alarms)]


def _report(
    window: Window,
    alarms: Alarms,
    settings: MonitoringSettings,
    live: WindowSamples,
    metrics: Iterable[DriftMetric],
) -> DriftReport:
    metrics = tuple(metrics)
    raised = tuple(metric.name for metric in metrics if metric.outcome == "drift")
    enough = len(live.requests) >= settings.min_rows
    verdict: DriftOutcome = "not judged" if not enough else "drift" if raised else "no drift"
    return DriftReport(
        release=alarms.release,
        start=window.start,
        end=window.end,
        verdict=verdict,
        sentence=_sentence(raised, metrics, len(live.requests), alarms),
        raised=raised,
        requests=len(live.requests),
        requests_left_out=live.left_out,
        items=len(live.items),
        new_items=len(live.new_items),
        undiscoverable=window.undiscoverable.found if window.undiscoverable else None,
        false_alarm_rate=alarms.false_alarm_rate,
        rate_known=alarms.rate_known,
        metrics=metrics,
    )


def _sentence(
    raised: tuple[str, ...], metrics: tuple[DriftMetric, ...], requests: int, alarms: Alarms
) -> str:
    rate, least = alarms.rate_in_words, alarms.settings.min_rows
    if requests < least:
        though = f", though {', '.join(raised)} drifted" if raised else ""
        return f"Not judged: {requests} answered requests, fewer than {least}{though}."
    if raised:
        return f"Drift in {', '.join(raised)}: live data are not what the champion was judged on ({rate})."
    judged = sum(metric.outcome != "not judged" for metric in metrics)
    return f"No drift in {judged} metrics ({rate})."
