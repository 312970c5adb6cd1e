"""Judging tasks on the test rows: a candidate's heads through its own inference, and the baseline beside
them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.ports import Encoder
from components.contract.task import Task
from components.split.judged import JUDGE
from components.tasks.baselines import baseline_answers, constant_answer
from components.tasks.heads import Head, same_question
from components.tasks.rows import read_rows


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
    vectors = encoder.encode_items(test.get_column("text").to_list())
    known = test.select("item_id", "is_new", "target")
    if head.task.head == "regression":
        value, low, high = head.values(vectors)
        return known.with_columns(answer=pl.Series(value), low=pl.Series(low), high=pl.Series(high))
    probabilities = head.probabilities(vectors)
    labels = np.asarray(head.labels, dtype=object)[probabilities.argmax(axis=1)]
    return known.with_columns(
        answer=pl.Series(labels.tolist(), dtype=pl.String), probability=pl.Series(probabilities.max(axis=1))
    )


def judge_baselines(tasks: Sequence[Task], rows: Path) -> dict[str, pl.DataFrame]:
    """The same by TF-IDF and a linear model; `constant`: what the most frequent class, or the median,
    answers."""
    answers = {}
    for task in tasks:
        train = read_rows(rows, task, "train", reader=JUDGE)
        test = read_rows(rows, task, "test", reader=JUDGE)
        kind = test.schema["target"]
        found = baseline_answers(task, train, test.get_column("text").to_list())
        constant = pl.lit(constant_answer(task, train), dtype=kind)
        answers[task.name] = test.select("item_id", "is_new", "target").with_columns(
            answer=pl.Series(found.tolist(), dtype=kind), constant=constant
        )
    return answers
