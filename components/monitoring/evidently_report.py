"""The Evidently adapter: a judged window as a page, as JSON, and as a run in a workspace.

`evidently ui --workspace FOLDER` opens the workspace; each shop is one project there. Columns are compared by
ValueDrift with the calibrated threshold as its test. A metric that is one number per window (query vectors,
concentration, undiscoverable share) is a column of that number: Evidently's own embedding metric draws a
t-SNE plot, which takes minutes.
"""

from pathlib import Path
from typing import Any

import numpy as np

from components.contract.files import stage_folder, write_json
from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms
from components.monitoring.drift_report import DriftMetric, DriftReport
from components.monitoring.judging import WindowSamples, cut, window_samples
from components.monitoring.metrics import METRICS, Metric, without_telemetry
from components.monitoring.reference import Reference
from components.monitoring.samples import ReferenceSamples, Sample
from components.monitoring.window import Window

HTML_FILE, JSON_FILE, REPORT_FILE = "drift.html", "evidently.json", "drift.json"
_COLUMN_METHODS = {"wasserstein", "jensenshannon"}


def publish(
    report: DriftReport,
    window: Window,
    reference: Reference,
    alarms: Alarms,
    settings: MonitoringSettings,
    out: Path,
    *,
    workspace: Path | None = None,
    shop: str = "shop",
) -> None:
    """Writes drift.json (the report), drift.html (one file that needs no network) and evidently.json into
    `out`, whole; and adds the run to `workspace`, in the project named `shop`.

    Takes seconds. Without a judged metric there is nothing to draw: then drift.json alone is written.
    """
    judged = [metric for metric in report.metrics if metric.outcome != "not judged"]
    snapshot = _snapshot(report, judged, window, reference, alarms, settings) if judged else None
    with stage_folder(out) as folder:
        write_json(folder / REPORT_FILE, report.model_dump(mode="json"))
        if snapshot is not None:
            snapshot.save_html(str(folder / HTML_FILE))
            snapshot.save_json(str(folder / JSON_FILE))
    if workspace is not None and snapshot is not None:
        _add_run(workspace, shop, snapshot)


def _snapshot(
    report: DriftReport,
    judged: list[DriftMetric],
    window: Window,
    reference: Reference,
    alarms: Alarms,
    settings: MonitoringSettings,
) -> Any:
    without_telemetry()
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report

    known = ReferenceSamples.of(reference)
    live = window_samples(window, reference, known)
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for metric in judged:
        before[metric.name], after[metric.name] = _columns(metric, live, known, alarms, settings)
    categories = [metric.name for metric in judged if metric.method == "jensenshannon"]
    numbers = [metric.name for metric in judged if metric.name not in categories]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    # Requests and items are tables of different lengths: pandas fills shorter columns with missing values.
    tables = [
        Dataset.from_pandas(pd.DataFrame({k: pd.Series(v) for k, v in side.items()}), definition)
        for side in (after, before)
    ]
    evidently = Report([_test(metric) for metric in judged])
    tags = [f"release {report.release[:12]}", report.verdict]
    return evidently.run(*tables, timestamp=report.end, tags=tags, name=f"{report.start:%Y-%m-%d %H:%M}")


def _columns(
    metric: DriftMetric,
    window: WindowSamples,
    known: ReferenceSamples,
    alarms: Alarms,
    settings: MonitoringSettings,
) -> tuple[Any, Any]:
    """The values that were compared; of a metric that is one number, 0 and that number."""
    spec = _column(metric)
    if spec is None:
        return np.asarray([0.0]), np.asarray([metric.value])
    live = window.sample(spec.frame)
    calibrated = alarms.level(metric.name, len(live))
    assert calibrated is not None  # it was judged
    pair = known.sample(spec.frame), cut(live, calibrated.size, settings.seed)
    before, after = (_values(sample, spec.column) for sample in pair)
    return before, after


def _values(sample: Sample, column: str) -> Any:
    labels = sample.labels.get(column)
    values = sample.columns[column]
    return values if labels is None else np.asarray(labels, dtype=object)[values]


def _column(metric: DriftMetric) -> Metric | None:
    """The metric whose column Evidently can compare by itself; None for one number per window."""
    methods = _COLUMN_METHODS | {"difference"}
    return next((one for one in METRICS if one.name == metric.name and one.method in methods), None)


def _test(metric: DriftMetric) -> Any:
    from evidently.metrics import MeanValue, ValueDrift
    from evidently.tests import gte, lte

    threshold = metric.threshold or 0.0
    if metric.method in _COLUMN_METHODS:
        return ValueDrift(
            column=metric.name, method=metric.method, threshold=threshold, tests=[lte(threshold)]
        )
    if metric.method == "embedding distance":
        return MeanValue(column=metric.name, tests=[lte(threshold)])
    # A column's mean is tested where its difference from the reference's was judged.
    middle = metric.expected + ((metric.reference or 0.0) if _column(metric) else 0.0)
    return MeanValue(column=metric.name, tests=[gte(middle - threshold), lte(middle + threshold)])


def _add_run(workspace: Path, shop: str, snapshot: Any) -> None:
    without_telemetry()
    from evidently.ui.workspace import Workspace

    opened = Workspace.create(str(workspace))
    found = [project for project in opened.search_project(shop) if project.name == shop]
    project = found[0] if found else opened.create_project(shop)
    opened.add_run(project.id, snapshot)
