"""Risk against coverage of a task's answers."""

import numpy as np
import polars as pl
import pytest

from components.contract.task import Task
from components.evaluation.risk_coverage import AREA, risk_at_coverage, risk_coverage_area
from components.evaluation.risk_plot import plot_risk_coverage
from components.evaluation.task_measures import measured

TASK = Task(name="answer", says="Answer", rows="SELECT 1", text=("q",), head="nearest", precision=0.8)


def answers(right: list[int], probability: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "target": ["a"] * len(right),
            "answer": ["a" if one else "b" for one in right],
            "probability": probability,
            "in_best": [True] * len(right),
            "is_new": [False] * len(right),
            "abstained": [False] * len(right),
        }
    )


def test_risk_is_the_share_of_wrong_answers_among_the_surest() -> None:
    """By hand: of the most probable none is wrong, of the first two one in two, of all three one in three."""
    frame = answers([1, 1, 0], [0.2, 0.9, 0.5])
    assert risk_at_coverage(frame) == pytest.approx([0, 1 / 2, 1 / 3])
    assert risk_coverage_area(frame) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_equally_probable_answers_count_alike_in_any_order() -> None:
    """Else the order of the rows would decide."""
    both = [risk_at_coverage(answers(right, [0.5, 0.5, 0.4])) for right in ([1, 0, 1], [0, 1, 1])]
    assert both[0] == pytest.approx(both[1])
    assert both[0] == pytest.approx([1 / 2, 1 / 2, 1 / 3])


def test_the_area_is_smaller_the_better_the_probabilities_order_the_answers() -> None:
    """From the best order to the worst; the risk of all answers is the same."""
    rng = np.random.default_rng(0)
    right = (rng.random(300) < 0.7).astype(int)
    chance = rng.random(300)
    orders = (right + chance / 9, right + rng.normal(0, 1, 300), chance, -right + chance / 9)
    areas = [risk_coverage_area(answers(right.tolist(), order.tolist())) for order in orders]
    assert areas == sorted(areas) and areas[0] < areas[-1] / 3


def test_it_is_a_figure_of_the_task_where_there_are_probabilities() -> None:
    frame = answers([1, 0], [0.9, 0.1])
    assert measured(TASK, frame)["all"][AREA] == pytest.approx(0.25)
    assert AREA not in measured(TASK, frame)["new"]  # no row is of a new item
    assert AREA not in measured(TASK, frame.drop("probability"))["all"]


def test_the_plot_holds_each_system_that_gives_probabilities(tmp_path) -> None:
    frame = answers([1, 0, 1], [0.9, 0.5, 0.1])
    systems = {"challenger": frame, "champion": frame, "bm25": frame.drop("probability")}
    png, page = plot_risk_coverage(TASK, systems, tmp_path)
    assert png.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert "champion, area 0.278" in text and "precision 0.8" in text and "bm25" not in text
    assert plot_risk_coverage(TASK, {"bm25": systems["bm25"]}, tmp_path / "none") is None
