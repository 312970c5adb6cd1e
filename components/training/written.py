"""Queries written for the training-side items that few have asked for: further training pairs, in a folder.

search.parquet has the columns query and item_id, as the split's own searches have them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from components.augment.endpoint import EndpointWriter
from components.augment.written import Writer, low_click_rows, written_pairs
from components.contract.files import disk_errors
from components.contract.learning import AugmentSettings
from components.contract.records import RetrievalPlan
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.encoder.writer import QueryWriter
from components.index.live import LiveIndex
from components.index.retrieval import read_snapshot
from components.split.catalogue import plain_query
from components.split.judged import judged_queries
from components.training.pairs import TrainingPart, trainable, training_rows

SEARCHES = "search.parquet"
ROUND_TRIP = RetrievalPlan(lexical_weight=2.0, grams_share=0.25)
"""How the way back is searched: as home_depot's validation weighs words beside the untrained encoder."""


def write_for_few_clicks(
    split: Path,
    part: TrainingPart,
    augment: AugmentSettings,
    writer: Path | None,
    encoder: Path,
    vectors: Path,
    out: Path,
) -> dict[str, int]:
    """Writes search.parquet into `out`; returns counts (see `written_pairs`).

    writer: folder of a QueryWriter; None: the settings' endpoint. encoder, vectors: the champion's, and the
    split's catalogue as it encodes it. Raises DataError where the endpoint does not answer.
    """
    items = pl.read_parquet(split / "items.parquet")
    loaded = TransformerEncoder.load_saved(encoder)
    fields = loaded.settings.item_fields
    eligible = trainable(items, part).to_numpy()
    searches = training_rows(split, part, "search", items)
    asked = np.empty(0, dtype=np.int64) if searches is None else searches.get_column("row").to_numpy()
    seed = augment.writer.seed
    rows = low_click_rows(asked, eligible, augment.written_below, augment.written_items, seed)
    pairs, counts = written_pairs(
        _writer(augment, writer),
        item_texts(items, fields),
        rows,
        augment.written_queries,
        retriever=LiveIndex("round trip", read_snapshot(vectors), loaded, ROUND_TRIP, fields),
        eligible=eligible,
        depth=augment.round_trip,
        judged=set().union(*judged_queries(split).values()),
    )
    ids = items.get_column("item_id")
    # As the shop spells it: in another spelling the same words would be another query, with other answers.
    spelt = {} if searches is None else {plain_query(query): query for query in searches.get_column("query")}
    pairs = pairs.with_columns(pl.col("query").replace(spelt))
    with disk_errors(out):
        pairs.select("query", item_id=ids[pairs.get_column("row")]).write_parquet(out / SEARCHES)
    return counts


def written_rows(folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Normalised queries and item_ids of what `write_for_few_clicks` left."""
    found = [pl.read_parquet(folder / SEARCHES) for folder in folders]
    queries, items = ({key for rows in found for key in rows[name]} for name in ("query", "item_id"))
    return sorted(map(plain_query, queries)), sorted(items)


def _writer(augment: AugmentSettings, folder: Path | None) -> Writer:
    own = augment.writer
    if own.endpoint is not None and own.model is not None:
        return EndpointWriter(own.endpoint, own.model, own.seed).write
    if folder is None:
        raise ValueError("neither an endpoint nor a writer's folder")
    loaded = QueryWriter.load(folder)
    return lambda texts, count: loaded.write(texts, count, own.seed)
