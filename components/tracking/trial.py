"""A search's trials as MLflow runs below the search's own run."""

from collections.abc import Sequence
from pathlib import Path

from components.contract.files import write_json
from components.contract.settings import Settings
from components.tracking.run import Tracker, start
from components.training.spec import TrainingSpec
from components.tuning.limits import Limits
from components.tuning.study import Finished, Study
from components.tuning.trial import Outcome, Watch, run_trial

PICTURE, TABLE = "parallel_coordinates.png", "trials.json"


def tracked_trial(
    number: int,
    spec: TrainingSpec,
    folder: Path,
    study: Study,
    limits: Limits,
    parent: Tracker,
    where: tuple[Settings, Path],
) -> Outcome:
    """Runs a trial inside a run of its own, with the trial's settings as parameters, and tells the study how
    it ended; an interrupted one stays open there.

    where: those settings, and the workspace. Raises TrackingError; TrainingError, which the run ends with.
    """
    tags = {"kind": "trial", "trial": str(number)}
    with start(*where, name=f"trial {number}", tags=tags, parent=parent) as tracker:

        def stops(interim: int, recall: float) -> bool:
            tracker.metrics({"interim_recall": recall}, step=interim)
            return study.stops(number, interim, recall)

        watch = Watch(stops, limits.over, tracker.epochs)
        outcome = run_trial(spec, folder, watch, where[0].retrieval, beside=limits.parallel - 1)
        # Before MLflow hears of it: an error there loses no training.
        if outcome.state == "stopped early":
            study.stopped(number, outcome.seconds)
        if outcome.recall is not None:
            study.done(number, outcome.recall, outcome.seconds)
        tracker.metrics({"validation_recall": outcome.recall, "seconds": outcome.seconds})
        tracker.tags({"state": outcome.state})
    return outcome


def record_search(tracker: Tracker, study: Study, finished: Sequence[Finished]) -> None:
    """The search's own run: how many trials, the best one's values, and all of them as a table and as
    parallel coordinates, which are left in the study's folder too. Raises TrackingError, StorageError."""
    best = finished[0]
    tracker.metrics(
        {
            "validation_recall": best.recall,
            "trials": len(finished),
            "stopped_early": sum(one.recall is None for one in finished),
        }
    )
    tracker.tags({f"best.{name}": f"{value:g}" for name, value in best.values.items()})
    rows = [
        {"trial": one.number, "recall": one.recall, "seconds": one.seconds, **one.values} for one in finished
    ]
    files = [write_json(study.folder / TABLE, rows), study.plot(study.folder / PICTURE)]
    tracker.files("tune", [file for file in files if file is not None])
