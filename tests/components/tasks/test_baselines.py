"""What a team would try first, beside a head."""

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.task import Task
from components.evaluation.task_measures import value_of
from components.tasks.baselines import MANY_CLASSES, baseline_answers, fit_words, goodness
from components.tasks.folds import FEW_ROWS, folds_of
from tests.components.tasks.conftest import task

BRAND = Task(name="brand", says="Brand", rows="SELECT 1", text=("title",), head="classification")


@pytest.mark.parametrize("classes", [4, MANY_CLASSES + 1])
def test_the_class_that_shares_the_text_s_words_comes_first(classes: int) -> None:
    """Few classes and many are told apart by their own word, though all share another."""
    names = [f"maker{number:03d}" for number in range(classes)]
    train = pl.DataFrame(
        {"text": [f"{name} mug {n}" for name in names for n in "abc"], "target": [*np.repeat(names, 3)]}
    )
    found = baseline_answers(BRAND, train, [f"mug {names[1]}", f"{names[3]} mug d"], best=2)
    assert found[:, 0].tolist() == [names[1], names[3]]
    assert found.shape == (2, 2)


@pytest.mark.parametrize("targets", [["a", "b"], ["a", "a", "a", "b"]])
def test_a_handful_of_rows_is_answered_without_a_search(targets: list[str]) -> None:
    """No part of two rows of two classes has both."""
    train = pl.DataFrame({"text": [f"{name} mug" for name in targets], "target": targets})
    assert baseline_answers(BRAND, train, ["b"])[0, 0] in {"a", "b"}


@pytest.mark.parametrize("count", [40, FEW_ROWS + 500])
def test_a_class_of_one_row_is_no_obstacle(count: int) -> None:
    """Left out of the only fold of many rows, or of one of few, there is nothing to fit there."""
    texts = [f"mug number {row}" for row in range(count)]
    [rare, *_] = folds_of(texts, 0)[0][1]
    train = pl.DataFrame({"text": texts, "target": ["b" if row == rare else "a" for row in range(count)]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert baseline_answers(BRAND, train, ["mug"])[0].tolist() == ["a"]


@pytest.mark.parametrize(
    ("declared", "targets", "answer"),
    [({}, ["a", "b", "b"], "b"), ({"head": "regression"}, [1.0, 2.0, 9.0], 2.0)],
)
def test_texts_without_a_word_get_the_constant_answer(
    declared: dict[str, Any], targets: list[Any], answer: str | float
) -> None:
    """And a head nothing to read beside the vector."""
    texts = ["!!!", "👍", "..."]
    own = task(**declared)
    train = pl.DataFrame({"text": texts, "target": targets})
    assert baseline_answers(own, train, ["a mug", "?"]).tolist() == [[answer], [answer]]
    assert fit_words(own, texts, targets) is None


def test_a_strength_is_not_chosen_on_texts_that_the_fit_has_read() -> None:
    """Copies of a text lie on one side. Words that say nothing, five copies of each text: by rows the weakest
    penalty looks best, because it knows the copies by heart."""
    rng = np.random.default_rng(0)
    texts = [f"{' '.join(rng.choice(list('abcdefghij'), 4))} own{number}" for number in range(200)]
    targets = rng.choice(["yes", "no"], 200).tolist()
    words = fit_words(task(), texts * 5, targets * 5)
    assert words is not None
    assert np.abs(words.weights).max() < 1.0


def test_a_share_is_chosen_by_the_macro_f1_that_the_judge_measures() -> None:
    """One answer of a class that never occurs is one mistake, not a class."""
    true = ["a"] * 30 + ["b"] * 30
    answers = ["c", "b", *true[2:]]
    own = task(metrics=("macro_f1",))
    judged = pl.DataFrame({"target": true, "answer": answers})
    assert goodness(own, true, answers) == pytest.approx(value_of(own, "macro_f1", judged))


def test_a_strength_is_chosen_by_what_the_task_is_judged_by() -> None:
    """A rare class whose word is a hint alone: a strong penalty never answers it. By accuracy nothing does
    better here, in macro-F1 that is half of everything."""
    rng = np.random.default_rng(4)
    rare = rng.random(300) < 0.15
    hinted = rare | (rng.random(300) < 0.17)
    texts = [f"{'hint' if hint else 'plain'} {' '.join(rng.choice(list('abcdefgh'), 3))}" for hint in hinted]
    train = pl.DataFrame({"text": texts, "target": np.where(rare, "rare", "common")})
    by_accuracy, by_f1 = (
        baseline_answers(task(metrics=(metric,)), train, texts)[:, 0] for metric in ("accuracy", "macro_f1")
    )
    assert (by_accuracy == "common").all() and (by_f1 == "rare").sum() > 20
