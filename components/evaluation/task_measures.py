"""Measures of a task's answers, each a function of sums over rows, so that a bootstrap needs only the sums.

Answers come as a frame, one line per test row: item_id, group (rows that ask the same), is_new, target,
answer, in_best (whether the first five hold the target) and – where the system gives them –
probability and abstained, or low and high. Legend of shapes: n rows, m statistics of a measure, r resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from components.contract.task import Population, Task, TaskMetric
from components.evaluation.risk_coverage import AREA, risk_coverage_area

Floats = NDArray[np.float64]
Statistics: TypeAlias = Floats | csr_array
"""(n, m); sparse where m grows with the classes, of which there may be thousands."""
POPULATIONS: tuple[Population, ...] = ("all", "new")
BINS = 10
GRID = 2.0**20
"""Statistics are rounded to multiples of 1 / GRID, so that their sums are exact in any order."""


@dataclass(frozen=True)
class Measure:
    statistics: Callable[[Task, pl.DataFrame], Statistics | None]
    """None: the system does not give what the measure is of."""
    value: Callable[[Floats, Floats], Floats]
    """(r, m) sums over (r,) numbers of rows → (r,)"""
    higher_is_better: bool


def measured(task: Task, answers: pl.DataFrame) -> dict[str, dict[str, float | int | None]]:
    """{population: {metric: value, …, "rows": n}}; None: there is none. Where answers have probabilities, the
    area under their risk–coverage curve, too."""
    found: dict[str, dict[str, float | int | None]] = {}
    for population in POPULATIONS:
        rows = rows_of(population, answers)
        found[population] = {"rows": len(rows)}
        found[population].update({str(name): value_of(task, name, rows) for name in task.measured})
        area = risk_coverage_area(rows)
        if area is not None:
            found[population][AREA] = area
    return found


def rows_of(population: Population, answers: pl.DataFrame) -> pl.DataFrame:
    return answers.filter("is_new") if population == "new" else answers


def value_of(task: Task, metric: TaskMetric, rows: pl.DataFrame) -> float | None:
    found = statistics_of(task, metric, rows) if len(rows) else None
    if found is None:
        return None
    return float(MEASURES[metric].value(np.ones((1, len(rows))) @ found, np.asarray([float(len(rows))]))[0])


def statistics_of(task: Task, metric: TaskMetric, rows: pl.DataFrame) -> Statistics | None:
    """On the grid."""
    found = MEASURES[metric].statistics(task, rows)
    if found is None or isinstance(found, csr_array):  # a sparse one counts: whole numbers
        return found
    return np.rint(found * GRID) / GRID


def _right(rows: pl.DataFrame) -> Floats:
    return (rows.get_column("answer") == rows.get_column("target")).to_numpy().astype(np.float64)


def _accuracy(_: Task, rows: pl.DataFrame) -> Floats:
    return _right(rows)[:, None]


def _in_best(_: Task, rows: pl.DataFrame) -> Floats:
    return rows.get_column("in_best").to_numpy().astype(np.float64)[:, None]


def _answered(_: Task, rows: pl.DataFrame) -> Floats | None:
    """Right and answered, answered; (n, 2)"""
    if "abstained" not in rows.columns:
        return None
    answered = ~rows.get_column("abstained").to_numpy()
    return np.stack([_right(rows) * answered, answered.astype(np.float64)], axis=1)


def _confusion(_: Task, rows: pl.DataFrame) -> csr_array:
    """Per class of the targets: right, answered, true; (n, 3 · classes)."""
    targets, answers = (rows.get_column(name).to_numpy() for name in ("target", "answer"))
    labels, true = np.unique(targets, return_inverse=True)
    answered = np.minimum(np.searchsorted(labels, answers), len(labels) - 1)
    known = np.flatnonzero(labels[answered] == answers)
    right = np.flatnonzero(targets == answers)
    columns = [true[right], len(labels) + answered[known], 2 * len(labels) + true]
    places = np.concatenate([right, known, np.arange(len(rows))]), np.concatenate(columns)
    return csr_array((np.ones(len(places[0])), places), shape=(len(rows), 3 * len(labels)))


def _macro_f1(sums: Floats, _: Floats) -> Floats:
    """Mean over the classes that occur of 2 · right ÷ (answered + true)."""
    right, answered, true = np.split(sums, 3, axis=1)
    scores = 2 * right / np.maximum(answered + true, 1.0)
    return np.asarray((scores * (true > 0)).sum(axis=1) / (true > 0).sum(axis=1))


def _calibration(_: Task, rows: pl.DataFrame) -> Floats | None:
    """right − probability, in the column of the probability's bin; (n, BINS)."""
    if "probability" not in rows.columns:
        return None
    probability = rows.get_column("probability").to_numpy()
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    found = np.zeros((len(rows), BINS))
    found[np.arange(len(rows)), bins] = _right(rows) - probability
    return found


def _absolute_error(task: Task, rows: pl.DataFrame) -> Floats:
    return np.abs(_number(task, rows, "answer") - _number(task, rows, "target"))[:, None]


def _inside(_: Task, rows: pl.DataFrame) -> Floats | None:
    if not _has_intervals(rows):
        return None
    target = rows.get_column("target").to_numpy()
    low, high = (rows.get_column(name).to_numpy() for name in ("low", "high"))
    return ((low <= target) & (target <= high)).astype(np.float64)[:, None]


def _width(task: Task, rows: pl.DataFrame) -> Floats | None:
    if not _has_intervals(rows):
        return None
    return (_number(task, rows, "high") - _number(task, rows, "low"))[:, None]


def _has_intervals(rows: pl.DataFrame) -> bool:
    return "low" in rows.columns and rows.get_column("low").is_not_nan().all()


def _number(task: Task, rows: pl.DataFrame, name: str) -> Floats:
    """(n,) on the task's scale."""
    values = rows.get_column(name).to_numpy()
    return np.log(values) if task.log_scale else values


def _mean(sums: Floats, n: Floats) -> Floats:
    return sums[:, 0] / n


MEASURES: dict[TaskMetric, Measure] = {
    "accuracy": Measure(_accuracy, _mean, True),
    "recall_at_5": Measure(_in_best, _mean, True),
    # 1 where everything abstains: what is not answered is not answered wrongly.
    "answered_accuracy": Measure(
        _answered, lambda sums, _: np.where(sums[:, 1] > 0, sums[:, 0] / np.maximum(sums[:, 1], 1), 1.0), True
    ),
    "answered_share": Measure(_answered, lambda sums, n: sums[:, 1] / n, True),
    "macro_f1": Measure(_confusion, _macro_f1, True),
    # Expected calibration error (Naeini et al. 2015), ten bins of equal width.
    "calibration_error": Measure(_calibration, lambda sums, n: np.abs(sums).sum(axis=1) / n, False),
    "absolute_error": Measure(_absolute_error, _mean, False),
    "interval_coverage": Measure(_inside, _mean, True),
    "interval_width": Measure(_width, _mean, False),
}
"""absolute_error and interval_width are on the task's scale: of a price's logarithm."""
