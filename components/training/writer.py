"""Trains the writer of queries on the shop's own training pairs: what was asked, and what answered."""

from pathlib import Path

import numpy as np
import polars as pl
from torch import Tensor

from components.contract.errors import DataError
from components.contract.learning import EncoderSettings, WriterSettings
from components.contract.ports import Rows
from components.encoder.texts import item_texts
from components.encoder.writer import QueryWriter
from components.training.epochs import learn
from components.training.pairs import TrainingPart, trainable, training_rows


def train_writer(
    split: Path, part: TrainingPart, base: Path, encoder: EncoderSettings, settings: WriterSettings
) -> QueryWriter:
    """A writer trained on a split's training rows, which name no item that is held out; the same arguments
    give the same weights. Raises DataError where nobody searched."""
    items = pl.read_parquet(split / "items.parquet")
    searches = training_rows(split, part, "search", items)
    if searches is None or not len(searches):
        raise DataError(
            f"{split / part}: there is no query with a relevant item to learn writing from; set "
            f"augment.written_queries to 0, or name an endpoint in augment.writer."
        )
    pairs = searches.select("query", "row").unique(maintain_order=True)
    texts = item_texts(items, encoder.item_fields)
    queries, known = pairs.get_column("query").to_list(), np.flatnonzero(trainable(items, part).to_numpy())
    writer = QueryWriter.begin(
        base,
        [*queries, *(texts[row] for row in known)],
        layers=settings.layers,
        max_length=encoder.max_length,
        seed=settings.seed,
    )
    read = writer.text_tokens([texts[row] for row in pairs.get_column("row")])
    wanted = writer.query_tokens(queries)
    lengths = np.asarray([len(text) + len(query) for text, query in zip(read, wanted, strict=True)])

    def loss_of(batch: Rows) -> Tensor:
        return writer.loss(writer.encode([read[row] for row in batch]), [wanted[row] for row in batch])

    rng = np.random.default_rng(settings.seed)
    learn(writer.model.decoder, loss_of, lengths, settings, rng, "query writer")
    return writer
