"""Which new items a release cannot find by any of their own likely queries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.files import write_json
from components.contract.live import Change
from components.contract.ports import Encoder, Vectors
from components.encoder.texts import item_texts
from components.encoder.word_pieces import word_pieces
from components.evaluation.undiscoverable import check_split
from components.evaluation.undiscoverable_report import UndiscoverableReport
from components.index.catalogue import catalogue_now
from components.index.lexical import LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.retrieval import ENCODER, open_candidate
from components.index.vectors import read_vectors

CSV, SUMMARY = "undiscoverable.csv", "undiscoverable.json"


def check_release(
    candidate: Path, vectors: Path, split: Path, k: int, out: Path, changes: Sequence[Change] = ()
) -> UndiscoverableReport:
    """Writes undiscoverable.csv and undiscoverable.json into `out`.

    candidate: folder `candidates/<D>`; vectors: the split's catalogue as it encodes it; changes: what was PUT
    and deleted since; an item that the split does not have is a new item. Items and queries do not depend on
    the release, so two releases that are checked on one split, with the same changes, compare.
    """
    index = open_candidate(candidate, candidate.name[:12], vectors)
    items, known = pl.read_parquet(split / "items.parquet"), read_vectors(vectors)[1]
    if changes:
        items, known = _with_changes(items, known, changes, index.encoder, index.fields)
        lexical = LexicalSnapshot.build(item_texts(items, index.fields), index.language)
        row_of = {item_id: row for row, item_id in enumerate(index.item_ids)}
        own = np.asarray([row_of.get(item_id, -1) for item_id in items.get_column("item_id")])
        signals = index.signals and index.signals.taken(own)
        snapshot = Snapshot(items, known, lexical, signals=signals, history_encoder=index.history_encoder)
        index = LiveIndex(
            index.name,
            snapshot,
            index.encoder,
            index.plan,
            index.fields,
            understanding=index.understanding,
            rankers=index.rankers,
        )
    hidden = {one.item_id for one in changes if one.item is not None and not one.item.in_stock}
    report = check_split(
        index,
        split,
        fields=index.fields,
        k=k,
        vectors=known,
        unknown_words=word_pieces(candidate / ENCODER),
        filtered=lambda item_id: "not in stock" if item_id in hidden else None,
        catalogue=items,
    )
    report.write_csv(out / CSV)
    write_json(out / SUMMARY, report.as_json())
    return report


def _with_changes(
    items: pl.DataFrame,
    vectors: Vectors,
    changes: Sequence[Change],
    encoder: Encoder,
    fields: Sequence[str],
) -> tuple[pl.DataFrame, Vectors]:
    """The catalogue as it is now, ascending item_id, with its vectors."""
    now = catalogue_now(items, changes)
    row_of = {item_id: row for row, item_id in enumerate(items.get_column("item_id"))}
    put = now.get_column("put").to_numpy()
    known = np.empty((len(now), vectors.shape[1]), dtype=vectors.dtype)
    known[~put] = vectors[[row_of[item_id] for item_id in now.filter(~pl.col("put")).get_column("item_id")]]
    live = now.filter("put")
    if len(live):
        known[put] = encoder.encode_items(item_texts(live, fields))
    return now, known
