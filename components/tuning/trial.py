"""One trial: the shop's own training, and the recall of what it leaves on the validation part."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from components.contract.errors import JudgeError, TrainingError
from components.contract.files import disk_errors
from components.contract.learning import EncoderSettings, TrainingSettings
from components.contract.records import Entrance
from components.contract.retrieving import RetrievalSettings
from components.cost.usage import USAGE, read_usage
from components.encoder.transformer import TransformerEncoder
from components.index.fusion import fused_recall, fusions, scored_queries
from components.index.lexical import LexicalSnapshot
from components.index.live_rows import Snapshot
from components.training.launch import ENCODER, METRICS, train
from components.training.spec import TrainingSpec
from components.training.validation import read_validation, stopping_recall, validation_recall

INTERIM = 2
"""Places within a trial's steps – a third, two thirds – at which trials are compared and the poor ones end,
however many epochs each has: at equal shares of their learning rate's schedule."""
READER = "tuning"


State = Literal["done", "stopped early", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    state: State
    """interrupted: time was up or the search was ended; the trial goes on with the next call."""
    recall: float | None
    """Of the finished encoder, on the validation part."""
    seconds: float
    """That its training took, over all calls; its end included."""


@dataclass(frozen=True)
class Watch:
    """How a running trial is followed; all of it is called from the thread that trains."""

    stops: Callable[[int, float], bool]
    """(number of the place, validation recall there) → whether to stop it."""
    interrupted: Callable[[], bool]
    """Asked several times a second."""
    metrics: Callable[[Path], None]
    """Gets the file of the finished training's metrics, which is gone afterwards."""


class _EndedError(Exception):
    """Ends the ranks from within the launcher that follows them."""

    def __init__(self, state: State) -> None:
        self.state = state


def run_trial(
    spec: TrainingSpec, folder: Path, watch: Watch, retrieval: RetrievalSettings, *, beside: int = 0
) -> Outcome:
    """Trains, measures what training left, and takes it away.

    folder: of these values' own; an interrupted trial continues there from its newest checkpoint. retrieval:
    how it would rank. beside: trials that run at the same time. Raises TrainingError where a rank failed.
    """
    if spec.validation is None:
        raise ValueError("a trial is judged on the validation part")
    out, began = folder / "out", time.monotonic()
    try:
        if not read_usage([out / USAGE]):  # written last: else it was trained, and interrupted after that
            shutil.rmtree(out, ignore_errors=True)
            train(spec, folder, out, _follow(watch), on_poll=_poll(watch), beside=beside)
    except _EndedError as ended:
        if ended.state == "stopped early":
            remove(folder)
        return Outcome(ended.state, None, time.monotonic() - began)
    recall = validated(out / ENCODER, Path(spec.validation), spec.training, spec.primary, retrieval)
    if recall is None:
        raise TrainingError(f"{folder}: the validation recall of a trial could not be measured.")
    [usage] = read_usage([out / USAGE])
    watch.metrics(out / METRICS)
    remove(folder)
    return Outcome("done", recall, usage.seconds)


def _follow(watch: Watch) -> Callable[[dict[str, Any]], None]:
    def follow(line: dict[str, Any]) -> None:
        if line["kind"] != "interim" or line["recall"] is None:
            return
        if watch.stops(line["interim"], line["recall"]):
            raise _EndedError("stopped early")

    return follow


def _poll(watch: Watch) -> Callable[[], None]:
    def poll() -> None:
        if watch.interrupted():
            raise _EndedError("interrupted")

    return poll


def validated(
    encoder: Path, split: Path, training: TrainingSettings, primary: Entrance, retrieval: RetrievalSettings
) -> float | None:
    """Recall@10 of a saved encoder on the validation part: of the primary entrance the mean of new and
    established items. It is the encoder as a release would hold it – of the best epoch, adapters merged,
    averaged with its start –, for queries with the lexical side at the weight that suits it best.
    `check_validation` has found judged requests."""
    loaded = TransformerEncoder.load_saved(encoder)
    validation = read_validation(split, loaded.settings, training, reader=READER)
    vectors = loaded.encode_items(validation.texts)
    if primary == "search":
        lexical = LexicalSnapshot.build(list(validation.texts), loaded.settings.language)
        items = pl.DataFrame({"item_id": validation.item_ids})
        snapshot = Snapshot(items, vectors, lexical)
        queries = scored_queries(validation.judged[primary], validation.new, snapshot, loaded)
        return max(fused_recall(queries, fusion.weights) for fusion in fusions(retrieval))
    return stopping_recall(validation_recall(validation, vectors, loaded), primary)


def check_validation(
    split: Path, encoder: EncoderSettings, training: TrainingSettings, primary: Entrance
) -> int:
    """How many requests of the primary entrance trials are judged on. Raises JudgeError where there are
    none: before anything is trained."""
    judged = read_validation(split, encoder, training, reader=READER).judged.get(primary)
    if judged is None or not judged.requests:
        raise JudgeError(
            f"The validation part has no judged {primary} request, so no trial can be judged: give "
            f"split.validation_window_days (or, for undated data, split.validation_queries) more room."
        )
    return len(judged.requests)


def remove(folder: Path) -> None:
    """A trial's weights: what is wanted is trained again by a retrain, whose gate judges it."""
    with disk_errors(folder):
        shutil.rmtree(folder)
