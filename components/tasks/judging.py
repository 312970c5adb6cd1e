"""Judging tasks on the test rows: a candidate's heads through its own inference, and the baseline beside
them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.ports import Encoder, Vectors
from components.contract.task import Task
from components.split.judged import JUDGE
from components.tasks.baselines import baseline_answers, constant_answer
from components.tasks.coding import Floats
from components.tasks.heads import Head, encoded, most_rows, same_question
from components.tasks.rows import read_rows

BEST = 5
"""Answers that `recall_at_5` looks at."""


def judge_heads(
    tasks: Sequence[Task], rows: Path, encoder: Encoder, heads: Mapping[str, Head]
) -> dict[str, pl.DataFrame]:
    """Per task the answers to its test rows (evaluation.task_measures); none of a head that the release does
    not have, or that answers another question."""
    answers = {}
    for task in tasks:
        head = heads.get(task.name)
        if head is not None and same_question(head.task, task):
            test = read_rows(rows, task, "test", reader=JUDGE)
            answers[task.name] = _answered(head, test, encoder)
    return answers


def _answered(head: Head, test: pl.DataFrame, encoder: Encoder) -> pl.DataFrame:
    texts = test.get_column("text").to_list()
    vectors = encoded(head.task, encoder, texts)
    known = test.select("item_id", "group", "is_new", "target")
    if head.task.head == "regression":
        value, low, high = head.values(vectors, texts)
        return known.with_columns(answer=pl.Series(value), low=pl.Series(low), high=pl.Series(high))
    best, probability = _best(head, vectors, texts)
    return _with_answers(known, np.asarray(head.labels, dtype=object)[best]).with_columns(
        probability=pl.Series(probability), abstained=pl.Series(probability < head.threshold)
    )


def _best(head: Head, vectors: Vectors, texts: list[str]) -> tuple[NDArray[np.int64], Floats]:
    """(n, BEST or fewer) label numbers, see `Head.ranked`, and (n,) the first one's probability."""
    count, step = min(BEST, len(head.labels)), most_rows(head)
    best, probability = np.zeros((len(texts), count), dtype=np.int64), np.zeros(len(texts))
    for start in range(0, len(texts), step):
        rows = slice(start, start + step)
        probabilities = head.probabilities(vectors[rows], texts[rows])
        best[rows] = head.ranked(probabilities)[:, :count]
        probability[rows] = np.take_along_axis(probabilities, best[rows, :1], axis=1)[:, 0]
    return best, probability


def _with_answers(known: pl.DataFrame, best: NDArray[Any]) -> pl.DataFrame:
    """best: (n, BEST or fewer) answers, the first one first."""
    right = (best == known.get_column("target").to_numpy()[:, None]).any(axis=1)
    answer = pl.Series(best[:, 0].tolist(), dtype=known.schema["target"])
    return known.with_columns(answer=answer, in_best=pl.Series(right))


def judge_baselines(tasks: Sequence[Task], rows: Path) -> dict[str, pl.DataFrame]:
    """The same by TF-IDF and a linear model; `constant`: what the most frequent class, or the median,
    answers."""
    answers = {}
    for task in tasks:
        train = read_rows(rows, task, "train", reader=JUDGE)
        test = read_rows(rows, task, "test", reader=JUDGE)
        kind = test.schema["target"]
        found = baseline_answers(task, train, test.get_column("text").to_list(), BEST)
        constant = pl.lit(constant_answer(task, train), dtype=kind)
        known = test.select("item_id", "group", "is_new", "target")
        answers[task.name] = _with_answers(known, found).with_columns(constant=constant)
    return answers
