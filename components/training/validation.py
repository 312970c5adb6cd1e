"""Recall on the validation part, by which the number of epochs is chosen.

Only the validation part is read (`components.split.judged`), with the item texts of the catalogue as it
was before the cut-off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.learning import EncoderSettings, TrainingSettings
from components.contract.ports import Encoder, Retriever, Rows, Vectors
from components.contract.records import Entrance
from components.contract.retrieving import HistoryScoring
from components.encoder.texts import item_texts
from components.index.exact import ExactIndex
from components.split.judged import JudgedSet, read_judged

K = 10


@dataclass(frozen=True)
class Validation:
    """Judged requests per entrance and the items they are ranked among (ascending item_id)."""

    judged: dict[Entrance, JudgedSet]
    item_ids: tuple[str, ...]
    texts: tuple[str, ...]
    new: frozenset[str]
    """Items that were new in the validation window."""


def read_validation(
    split: Path, encoder: EncoderSettings, training: TrainingSettings, reader: str = "training"
) -> Validation:
    """All relevant and past items of the validation requests and, up to `validation_items`, others drawn by
    seed. Items that are new in the test are left out: they did not exist yet."""
    judged = read_judged(split, "validation", reader=reader)
    items = pl.read_parquet(split / "items.parquet")
    needed = {item for of in judged.values() for relevant in of.relevant.values() for item in relevant}
    needed |= {item for of in judged.values() for request in of.requests for item in request.history}
    kept = items[_drawn(items, needed, training)]
    return Validation(
        judged=judged,
        item_ids=tuple(kept.get_column("item_id")),
        texts=tuple(item_texts(kept, encoder.item_fields)),
        new=frozenset(kept.filter("is_validation_new").get_column("item_id")),
    )


def _drawn(items: pl.DataFrame, needed: set[str], training: TrainingSettings) -> Rows:
    """Ascending rows: the needed items and a draw of the others."""
    is_needed = items.get_column("item_id").is_in(list(needed)).to_numpy()
    others = np.flatnonzero(~is_needed & ~items.get_column("is_new").to_numpy())
    if training.validation_items is not None:
        room = max(0, training.validation_items - int(is_needed.sum()))
        rng = np.random.default_rng(training.seed)
        others = rng.permutation(others)[:room]
    return np.sort(np.concatenate([np.flatnonzero(is_needed), others])).astype(np.int64)


def validation_recall(
    validation: Validation, vectors: Vectors, encoder: Encoder, scoring: HistoryScoring = "mean"
) -> dict[Entrance, dict[str, float | None]]:
    """Per entrance recall@10 of the "new" and of the "established" items; None where no request has one.

    vectors: (items, d) of `validation.texts`. Without `scoring` a history is scored by its mean vector, as it
    was trained.
    """
    return recall_of(ExactIndex("validation", validation.item_ids, vectors, encoder, scoring), validation)


def with_new_only(
    validation: Validation, vectors: Vectors, encoder: Encoder
) -> dict[Entrance, dict[str, float | None]]:
    """`validation_recall`, and "new_only": the same of new items, ranked among the new ones alone. A constant
    on the scores of all new items lifts "new" and not this one."""
    index = ExactIndex("validation", validation.item_ids, vectors, encoder, "mean")
    recalls = recall_of(index, validation)
    among = np.asarray([item in validation.new for item in validation.item_ids], dtype=bool)
    for entrance, found in recall_of(index, validation, among).items():
        recalls[entrance]["new_only"] = found["new"]
    return recalls


def recall_of(
    retriever: Retriever, validation: Validation, among: NDArray[np.bool_] | None = None
) -> dict[Entrance, dict[str, float | None]]:
    """The same for a retriever over `validation.item_ids`; of those alone where `among` is true."""
    slices: dict[str, Callable[[str], bool]] = {
        "new": lambda item: item in validation.new,
        "established": lambda item: item not in validation.new,
    }
    recalls: dict[Entrance, dict[str, float | None]] = {}
    for entrance, judged in validation.judged.items():
        rows = retriever.search(judged.requests, K, among).rows
        found = [{validation.item_ids[row] for row in line if row >= 0} for line in rows.tolist()]
        recalls[entrance] = {name: _recall(judged, found, inside) for name, inside in slices.items()}
    return recalls


def _recall(judged: JudgedSet, found: Sequence[set[str]], inside: Callable[[str], bool]) -> float | None:
    """Mean over the requests with a relevant item in the slice of the share of them that was found."""
    shares = []
    for request, items in zip(judged.requests, found, strict=True):
        relevant = {item for item in judged.relevant[request.request_id] if inside(item)}
        if relevant:
            shares.append(len(relevant & items) / len(relevant))
    return float(np.mean(shares)) if shares else None


def stopping_recall(recalls: dict[Entrance, dict[str, float | None]], primary: Entrance) -> float | None:
    """What decides on stopping: the mean of the primary entrance's new and established recall@10.

    New items alone would let an epoch win that forgets the established ones, which the gate refuses. Where
    one of the two has no request the other decides; None where neither has.
    """
    known = [value for value in recalls.get(primary, {}).values() if value is not None]
    return float(np.mean(known)) if known else None
