"""Which new items a release cannot find by any of their own likely queries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.files import write_json
from components.contract.live import Change
from components.contract.ports import Encoder, Vectors
from components.encoder.texts import item_text, item_texts
from components.encoder.word_pieces import word_pieces
from components.evaluation.undiscoverable import check_split
from components.evaluation.undiscoverable_report import UndiscoverableReport
from components.index.live import LiveIndex, Snapshot
from components.index.postings import Postings
from components.index.retrieval import ENCODER, open_candidate
from components.index.vectors import read_vectors

CSV, SUMMARY = "undiscoverable.csv", "undiscoverable.json"


def check_release(
    candidate: Path, vectors: Path, split: Path, k: int, out: Path, changes: Sequence[Change] = ()
) -> UndiscoverableReport:
    """Writes undiscoverable.csv and undiscoverable.json into `out`.

    candidate: folder `candidates/<D>`; vectors: the split's catalogue as it encodes it; changes: live items,
    which are new items too. Items and queries do not depend on the release, so two releases that are checked
    on one split, with the same changes, compare.
    """
    index = open_candidate(candidate, candidate.name[:12], vectors)
    items, known = pl.read_parquet(split / "items.parquet"), read_vectors(vectors)[1]
    if changes:
        items, known = _with_changes(items, known, changes, index.encoder, index.fields)
        snapshot = Snapshot(items, known, Postings.build(item_texts(items, index.fields)))
        index = LiveIndex(index.name, snapshot, index.encoder, index.plan, index.fields)
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
    """The catalogue as it is now, ascending item_id, with its vectors: what was PUT replaces or joins the
    snapshot's items and is new, what was deleted is gone."""
    stays = ~items.get_column("item_id").is_in([change.item_id for change in changes]).to_numpy()
    live = [change.item.model_dump() for change in changes if change.item is not None]
    if not live:
        return items.filter(stays), vectors[stays]
    listed = pl.DataFrame(live, schema_overrides={"listed_at": pl.Datetime("us")}, infer_schema_length=None)
    listed = listed.with_columns(first_seen=pl.col("listed_at"), group=pl.col("item_id"), is_new=True)
    joined = pl.concat([items.filter(stays), listed], how="diagonal_relaxed")
    encoded = encoder.encode_items([item_text(item, fields) for item in live])
    order = joined.get_column("item_id").arg_sort().to_numpy()
    return joined[order], np.concatenate([vectors[stays], encoded])[order]
