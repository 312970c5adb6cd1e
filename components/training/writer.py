"""Trains the writer of queries on the shop's own training pairs: what was asked, and what answered."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import torch

from components.contract.errors import DataError
from components.contract.learning import EncoderSettings, WriterSettings
from components.encoder.texts import item_texts
from components.encoder.writer import QueryWriter
from components.training.length_groups import batches_of_like_length
from components.training.pairs import TrainingPart, trainable, training_rows
from components.training.schedule import warmed_up

logger = logging.getLogger(__name__)


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
    rng = np.random.default_rng(settings.seed)
    steps = settings.epochs * -(-len(pairs) // settings.batch_size)
    learned = list(writer.model.decoder.parameters())
    optimizer = torch.optim.AdamW(learned, lr=settings.learning_rate)
    schedule = warmed_up(optimizer, steps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # of dropout
        writer.model.decoder.train()
        for epoch in range(settings.epochs):
            losses = []
            for batch in batches_of_like_length(lengths, settings.batch_size, rng):
                states = writer.encode([read[row] for row in batch])
                loss = writer.loss(states, [wanted[row] for row in batch])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(learned, 1.0)
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
            logger.info("query writer, epoch %d: loss %.3f", epoch + 1, float(np.mean(losses)))
    writer.model.eval()
    return writer
