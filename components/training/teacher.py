"""Trains a cross-encoder on what the shop's judges said of training queries and items: a teacher.

What it learns from names no item that is held out and no query that something is judged by: the split's own
training rows, and – where the shop has judgements – those below `split.positive_grade` as well, which the
encoder itself is not trained on.
"""

from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from components.contract.errors import DataError
from components.contract.learning import DistillationSettings, EncoderSettings
from components.contract.ports import Rows
from components.encoder.cross_encoder import CrossEncoder
from components.encoder.texts import item_texts
from components.training.epochs import learn
from components.training.pairs import TrainingPart, duplicate_groups, rows_of, trainable, training_rows

GRADED = "graded/search.parquet"


def train_teacher(
    split: Path, part: TrainingPart, base: Path, encoder: EncoderSettings, settings: DistillationSettings
) -> CrossEncoder:
    """A cross-encoder that begins as the base encoder and learns the grades, as shares of the highest.

    Beside each query's judged items stands one that is drawn from all others, at a grade of 0: judges see
    little of what is plainly wrong. Unjudged items that look right are not taken for wrong; many are not.

    Raises DataError where nothing is graded, or everything alike; LeakageError; EncoderError.
    """
    items = pl.read_parquet(split / "items.parquet")
    judged = _judged(split, part, items)
    if judged.get_column("grade").n_unique() < 2:
        found = "is no graded search" if not len(judged) else "are searches of one grade only"
        raise DataError(
            f"{split / part}: there {found}, and a teacher learns from differences in grade; set "
            f"training.distillation.weight to 0."
        )
    judged = judged.with_columns(pl.col("grade") / pl.col("grade").max())
    rng = np.random.default_rng(settings.seed)
    some = _some(judged, settings.judgements, rng)
    eligible = np.flatnonzero(trainable(items, part).to_numpy())
    queries, rows, targets = _with_drawn(some, judged, eligible, duplicate_groups(items), rng)
    texts = item_texts(items, encoder.item_fields)
    teacher = CrossEncoder.load(base, encoder.max_length, settings.seed)
    tokens = teacher.tokenize(queries, [texts[row] for row in rows])
    lengths = np.asarray([len(ids) for ids in tokens["input_ids"]], dtype=np.int64)
    wanted = torch.from_numpy(targets).to(teacher.model.device)

    def loss_of(batch: Rows) -> Tensor:
        return binary_cross_entropy_with_logits(teacher.logits(tokens, batch.tolist()), wanted[batch])

    learn(teacher.model, loss_of, lengths, settings, rng, "teacher")
    return teacher


def _judged(split: Path, part: TrainingPart, items: pl.DataFrame) -> pl.DataFrame:
    """query, row, grade: each pair once, at its best grade."""
    found = rows_of(split / GRADED, part, items)
    if found is None:
        found = training_rows(split, part, "search", items)
    if found is None or "grade" not in found.columns:
        return pl.DataFrame(schema={"query": pl.String, "row": pl.Int64, "grade": pl.Float64})
    best = found.drop_nulls("grade").group_by("query", "row").agg(pl.col("grade").max())
    return best.sort("query", "row")


def _some(judged: pl.DataFrame, most: int | None, rng: np.random.Generator) -> pl.DataFrame:
    if most is None or len(judged) <= most:
        return judged
    return judged[np.sort(rng.choice(len(judged), most, replace=False))]


def _with_drawn(
    some: pl.DataFrame, judged: pl.DataFrame, eligible: Rows, groups: Rows, rng: np.random.Generator
) -> tuple[list[str], Rows, np.ndarray[tuple[int], np.dtype[np.float32]]]:
    """Queries, item rows and targets of `some` of the judged pairs, and per query of one drawn item that is
    no duplicate of a judged one. groups: (n,) of the items."""
    asked = some.get_column("query").unique(maintain_order=True)
    known = {(query, int(groups[row])) for query, row in judged.select("query", "row").iter_rows()}
    drawn = [
        (query, int(row))
        for query, row in zip(asked, rng.choice(eligible, len(asked)), strict=True)
        if (query, int(groups[row])) not in known
    ]
    targets = np.concatenate([some.get_column("grade").to_numpy(), np.zeros(len(drawn))])
    queries = [*some.get_column("query"), *(query for query, _ in drawn)]
    rows = [*some.get_column("row"), *(row for _, row in drawn)]
    return queries, np.asarray(rows, dtype=np.int64), targets.astype(np.float32)
