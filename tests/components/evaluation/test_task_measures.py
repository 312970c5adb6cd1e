"""Measures of answers, held against scikit-learn's."""

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, f1_score

from components.contract.task import Task
from components.evaluation.task_measures import measured, statistics_of, value_of

KIND = Task(name="kind", says="Kind", rows="SELECT 1", text=("title",), head="classification")
PRICE = Task(name="price", says="Price", rows="SELECT 1", text=("title",), head="regression", log_scale=True)


def answers(count: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    true = rng.choice(["a", "b", "c"], count, p=[0.7, 0.2, 0.1])
    answered = np.where(rng.random(count) < 0.6, true, rng.choice(["a", "b", "unheard of"], count))
    return pl.DataFrame(
        {
            "item_id": [str(n) for n in range(count)],
            "is_new": np.arange(count) < 100,
            "target": true.tolist(),
            "answer": answered.tolist(),
            "probability": rng.random(count),
        }
    )


def test_classification_measures_are_scikit_learns() -> None:
    """On all rows and on new items' alone; classes that nobody asked for do not count in macro-F1."""
    frame = answers()
    found = measured(KIND, frame)
    for population, rows in {"all": frame, "new": frame.filter("is_new")}.items():
        true, answered = rows["target"].to_list(), rows["answer"].to_list()
        assert found[population]["rows"] == len(rows)
        assert found[population]["accuracy"] == pytest.approx(accuracy_score(true, answered), abs=1e-6)
        expected = f1_score(true, answered, labels=["a", "b", "c"], average="macro")
        assert found[population]["macro_f1"] == pytest.approx(expected, abs=1e-6)


def test_macro_f1_of_thousands_of_classes_keeps_a_few_numbers_a_row() -> None:
    """20,000 rows of 8,000 brands: at most three statistics a row, not three per brand."""
    names = np.random.default_rng(0).integers(0, 8_000, (2, 20_000)).astype(str)
    frame = pl.DataFrame({"target": names[0].tolist(), "answer": names[1].tolist()})
    found = statistics_of(KIND, "macro_f1", frame)
    assert found is not None
    assert found.shape == (20_000, 3 * len(np.unique(names[0])))
    assert found.nnz <= 3 * 20_000


def test_calibration_error_is_the_mean_gap_of_its_bins() -> None:
    """Two bins: 0.15 says 15 % and is right in half, 0.95 says 95 % and is always right."""
    frame = pl.DataFrame(
        {
            "item_id": list("abcd"),
            "is_new": [False] * 4,
            "target": ["x"] * 4,
            "answer": ["x", "y", "x", "x"],
            "probability": [0.15, 0.15, 0.95, 0.95],
        }
    )
    assert value_of(KIND, "calibration_error", frame) == pytest.approx((0.35 + 0.05) / 2, abs=1e-5)
    assert value_of(KIND, "calibration_error", frame.drop("probability")) is None


def test_regression_measures_are_on_the_tasks_scale() -> None:
    """A price twice too high is off by log 2; an interval that is missing is not measured."""
    frame = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "is_new": [True, False],
            "target": [10.0, 10.0],
            "answer": [20.0, 10.0],
            "low": [15.0, 5.0],
            "high": [30.0, 20.0],
        }
    )
    found = measured(PRICE, frame)["all"]
    assert found["absolute_error"] == pytest.approx(np.log(2) / 2, abs=1e-5)
    assert found["interval_coverage"] == 0.5
    assert found["interval_width"] == pytest.approx((np.log(2) + np.log(4)) / 2, abs=1e-5)
    without = frame.with_columns(low=pl.lit(float("nan")), high=pl.lit(float("nan")))
    assert measured(PRICE, without)["all"]["interval_coverage"] is None


def test_no_rows_give_no_figures() -> None:
    """A shop whose new items have no target is told so by None, not by 0."""
    assert measured(KIND, answers().filter(~pl.col("is_new")))["new"] == {
        "rows": 0, "accuracy": None, "macro_f1": None, "calibration_error": None,
    }  # fmt: skip


def test_what_abstains_counts_neither_as_right_nor_as_wrong() -> None:
    """Of four answers two are given, one of them rightly; the first five hold three of the targets."""
    answer = KIND.model_copy(update={"head": "nearest", "precision": 0.8})
    frame = pl.DataFrame(
        {
            "item_id": [None] * 4,
            "is_new": [False] * 4,
            "target": ["x"] * 4,
            "answer": ["x", "y", "x", "y"],
            "in_best": [True, True, True, False],
            "probability": [0.9, 0.8, 0.2, 0.1],
            "abstained": [False, False, True, True],
        }
    )
    found = measured(answer, frame)["all"]
    assert (found["answered_share"], found["answered_accuracy"]) == (0.5, 0.5)
    assert (found["accuracy"], found["recall_at_5"]) == (0.5, 0.75)
    silent = measured(answer, frame.with_columns(abstained=pl.lit(True)))["all"]
    assert (silent["answered_share"], silent["answered_accuracy"]) == (0.0, 1.0)
