"""What reviews say of their items: a task of `opinions`, and its reading of them for the second stage.

The second stage reads reviews by the task's counted words, not by a release's head: what was observed of an
item is then the same for champion and challenger, and no review is encoded for it.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from components.contract.files import disk_errors
from components.contract.task import NEGATIVE, POSITIVE, Task, tells_sentiment
from components.split.statistics import read_reviews
from components.tasks.baselines import baseline_answers
from components.tasks.folds import folds_of
from components.tasks.heads import prompted
from components.tasks.rows import read_rows

READ = "reviews.parquet"
_VALUES = {NEGATIVE: 0.0, POSITIVE: 1.0}
_NEITHER = 0.5


def opinion_task(tasks: Sequence[Task]) -> Task | None:
    """The one that reads a review as positive or negative, as far as its declaration shows."""
    return next((task for task in tasks if task.opinions), None)


def write_read_reviews(task: Task, rows: Path, split: Path, out: Path) -> None:
    """Writes READ into `out`: the split's reviews (split.statistics: of before the cut-off) without their
    text, and where the task tells positive from negative `sentiment`, from 0 (negative) to 1. Learned from
    the task's training rows in `rows`; where these are reviews' texts alone, a review among them is read by
    what was learned without it."""
    reviews = read_reviews(split)
    assert reviews is not None
    train = read_rows(rows, task, "train", reader="second stage")
    read = reviews.drop("text")
    if tells_sentiment(train.get_column("target").unique()):
        texts = reviews.get_column("text").unique().sort().to_list()
        answers = _answers(task, train, [text.strip() for text in texts])  # as training rows have theirs
        values = [_VALUES.get(answer, _NEITHER) for answer in answers]
        of_text = pl.DataFrame({"text": texts, "sentiment": values})
        read = reviews.join(of_text, on="text", how="left", maintain_order="left").drop("text")
    with disk_errors(out):
        read.write_parquet(out / READ)


def _answers(task: Task, train: pl.DataFrame, texts: Sequence[str]) -> list[str]:
    """To each text. Who has learned a text answers it as it was labelled: the second stage would come to
    trust that more than what is read of reviews that nobody labelled."""
    asked = [prompted(task, text) for text in texts]
    answers = dict(zip(asked, baseline_answers(task, train, asked)[:, 0], strict=True))
    learned = train.get_column("text").to_list()
    for fit, left_out in folds_of(learned, 0):
        others = train[fit]
        again = sorted({learned[row] for row in left_out} & answers.keys())
        if others.get_column("target").n_unique() > 1:
            answers.update(zip(again, baseline_answers(task, others, again)[:, 0], strict=True))
    return [str(answers[text]) for text in asked]


def read_opinions(split: Path, folder: Path | None) -> pl.DataFrame | None:
    """The split's reviews; with `sentiment` where `folder` has them read. None where it has none."""
    if folder is None:
        return read_reviews(split)
    with disk_errors(folder / READ):
        return pl.read_parquet(folder / READ)
