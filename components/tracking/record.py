"""What a retrain leaves in its run: the stages' records, the scorecards and the reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.contract.records import CheckedData, GateReport, LoadedData, PreparedData, TrainedModel
from components.contract.settings import Settings
from components.contract.task import Task
from components.cost.summary import Cost, cost_metrics
from components.evaluation.scorecard import Scorecard
from components.evaluation.task_measures import measured
from components.tracking.run import DataInput, Tracker


@dataclass(frozen=True)
class RunRecord:
    """All of a retrain; a run that stopped early gives what it has."""

    loaded: LoadedData | None = None
    checked: CheckedData | None = None
    prepared: PreparedData | None = None
    trained: TrainedModel | None = None
    metrics_file: Path | None = None
    """Training's metrics.jsonl."""
    scorecards: Mapping[str, Scorecard] = field(default_factory=dict)
    """By role: "challenger", "champion", "bm25"."""
    report: GateReport | None = None
    because: str = ""
    """Why it was asked for."""
    cost: Cost | None = None
    undiscoverable: Mapping[str, int] = field(default_factory=dict)
    """By role: new items that none of their likely queries finds."""
    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    """Per artifact folder ("gate", "quality", "plots", "scorecards") files and whole folders."""


def record_run(tracker: Tracker, settings: Settings, record: RunRecord) -> None:
    """Writes data inputs with digests, metrics, tags and files; raises TrackingError."""
    if inputs := data_inputs(settings, record):
        tracker.inputs(inputs)
    if record.metrics_file:
        tracker.epochs(record.metrics_file)
    tracker.metrics(stage_metrics(record))
    for role, card in record.scorecards.items():
        tracker.metrics(scorecard_metrics(role, card) | task_metrics(role, card, settings.tasks))
    if record.cost:
        tracker.metrics(cost_metrics(record.cost))
    if record.report:
        tracker.tags({"verdict": record.report.verdict, "candidate": record.report.challenger_digest[:12]})
        tracker.describe(_description(settings.shop, record.report, record.because))
    for folder, paths in record.files.items():
        tracker.files(folder, paths)


def _description(shop: str, report: GateReport, because: str) -> str:
    """The verdict and its sentence, the shop, and why the run was asked for where somebody said so."""
    asked = f" Asked for because: {because}" if because else ""
    return f"{report.verdict} for {shop}: {report.sentence}{asked}"


def data_inputs(settings: Settings, record: RunRecord) -> list[DataInput]:
    """Every source by the digest of its bytes, then the checked tables and the split made of them."""
    inputs = []
    if record.loaded:
        sources = settings.sources
        inputs += [
            DataInput(name, sources[name].path if name in sources else name, digest, "source", {})
            for name, digest in record.loaded.input_digests.items()
        ]
    if record.checked:
        checked = record.checked
        inputs.append(DataInput("checked tables", checked.path, checked.digest, "preparation", checked.rows))
    if record.prepared:
        split = record.prepared
        inputs.append(DataInput("split", split.path, split.digest, "training and test", split.counts))
    return inputs


def stage_metrics(record: RunRecord) -> dict[str, float | None]:
    metrics: dict[str, float | None] = {}
    if record.checked:
        metrics |= {f"quarantine/{table}": count for table, count in record.checked.quarantined.items()}
    if record.prepared:
        metrics |= {f"split/{name}": count for name, count in record.prepared.counts.items()}
    if record.trained:
        names = ("epochs", "steps", "pairs", "seconds", "best_validation_recall")
        metrics |= {f"training/{name}": getattr(record.trained, name) for name in names}
    metrics |= {f"{role}/undiscoverable_items": count for role, count in record.undiscoverable.items()}
    return metrics


def scorecard_metrics(role: str, card: Scorecard) -> dict[str, float | None]:
    """`role/entrance/slice/metric` of the main slices, and the bounds.

    Categories, ages and query lengths are in the scorecard's files: as metrics they would be hundreds.
    """
    metrics: dict[str, float | None] = {f"{role}/bounds/{name}": value for name, value in card.bounds.items()}
    for entrance in card.entrances:
        for name, figures in card.summary(entrance).items():
            if ":" not in name:
                metrics |= {f"{role}/{entrance}/{name}/{metric}": value for metric, value in figures.items()}
    return metrics


def task_metrics(role: str, card: Scorecard, tasks: Sequence[Task]) -> dict[str, float | None]:
    """`role/task/name/population/metric` of the tasks that it answers."""
    return {
        f"{role}/task/{task.name}/{population}/{metric}": value
        for task in tasks
        if task.name in card.tasks
        for population, figures in measured(task, card.tasks[task.name]).items()
        for metric, value in figures.items()
    }
