"""The gates of tasks: each task's first metric beside the champion's and the baseline's, by the task's own
policy.

The bootstrap draws groups of rows as `statistics.py` draws requests: variants of one item, or a question that
is asked again, are right or wrong together and no further evidence (pairs cluster bootstrap: Cameron, Gelbach
and Miller, Review of Economics and Statistics 2008). A resample's metric is computed from its sums, which are
exact, so that equal scorecards give equal lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from components.contract.errors import JudgeError
from components.contract.judging import GatePolicy
from components.contract.records import Gate, Outcome
from components.contract.task import Population, Requirement, Task
from components.evaluation.scorecard import Scorecard
from components.evaluation.task_measures import MEASURES, rows_of, statistics_of, value_of
from components.gate import statistics, wording
from components.gate.gates import line
from components.gate.statistics import Floats

_WITH_MARGIN = ("non_inferior", "not_harmed")
_POPULATION = {"new": "new items", "all": "all items"}


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Gains are in the metric's direction: above 0 the challenger is better."""

    ours: float
    theirs: float
    gains: Floats
    """(resamples,)"""


def task_gates(
    tasks: Sequence[Task],
    challenger: Scorecard,
    champion: Scorecard,
    baseline: Scorecard | None,
    policy: GatePolicy,
) -> list[Gate]:
    """Per task and population one line against the champion and one against the baseline."""
    lines = []
    for task in tasks:
        for population in task.policy.populations:
            against = [(champion, task.policy.against_champion, "the champion")]
            if baseline is not None:
                against.append((baseline, task.policy.against_baseline, "TF-IDF"))
            for other, requirement, name in against:
                lines.append(_gate(task, population, challenger, other, name, requirement, policy))
    return lines


def _gate(
    task: Task,
    population: Population,
    challenger: Scorecard,
    other: Scorecard,
    other_name: str,
    requirement: Requirement,
    policy: GatePolicy,
) -> Gate:
    metric = task.measured[0]
    name = f"{task.name} {population}/{metric}"
    name = name if other_name == "the champion" else f"{other_name} {name}"
    said = f"{task.says}, {_POPULATION[population]}"
    if task.name not in challenger.tasks:
        return line("task", name, "missing", f"{said}: the challenger's answers are missing.")
    if task.name not in other.tasks:
        return line("task", name, "not applicable", f"{said}: {other_name} does not answer this question.")
    ours, theirs = (rows_of(population, card.tasks[task.name]) for card in (challenger, other))
    _check_same_rows(task, ours, theirs)
    different = ours.get_column("group").n_unique()
    if different < task.policy.min_rows:
        told = f"{said}: {different} different test rows, fewer than {task.policy.min_rows} – not judged."
        return line("task", name, "not judged", told, requests=different)
    found = _compared(task, ours, theirs, policy)
    if found is None:
        outcome: Outcome = "not applicable" if requirement == "reported" else "missing"
        return line("task", name, outcome, f"{said}: {metric} could not be measured.")
    return _judged(task, name, said, other_name, requirement, found, len(ours), policy)


def _judged(
    task: Task,
    name: str,
    said: str,
    other_name: str,
    requirement: Requirement,
    found: _Comparison,
    rows: int,
    policy: GatePolicy,
) -> Gate:
    margin = task.policy.margin * abs(found.theirs)
    if requirement in _WITH_MARGIN:
        low, high = statistics.one_sided_bounds(found.gains, policy.confidence)
    else:
        low, high = statistics.two_sided_interval(found.gains, policy.confidence)
    outcome, finding = _outcome(requirement, low, high, margin)
    better = "" if MEASURES[task.measured[0]].higher_is_better else ", less is better"
    text = (
        f"{said}: {task.measured[0]} {found.ours:.3f} against {found.theirs:.3f} of {other_name}{better}; "
        f"gain {wording.interval(low, high)} on {rows:,} rows – {finding}."
    )
    return line(
        "task", name, outcome, text,
        champion=found.theirs, challenger=found.ours, difference=found.ours - found.theirs,
        margin=_signed(task, margin) if requirement in _WITH_MARGIN else None, requests=rows,
        **_ends(task, low, high),
    )  # fmt: skip


def _signed(task: Task, margin: float) -> float:
    """Of an error below 0: it may rise by so much."""
    return margin if MEASURES[task.measured[0]].higher_is_better else -margin


def _ends(task: Task, low: float, high: float) -> dict[str, float]:
    """The interval of the difference challenger − other, which runs against the gain where less is better."""
    higher = MEASURES[task.measured[0]].higher_is_better
    return {"low": low, "high": high} if higher else {"low": -high, "high": -low}


def _outcome(requirement: Requirement, low: float, high: float, margin: float) -> tuple[Outcome, str]:
    if requirement == "reported":
        return "not applicable", "reported only"
    if requirement == "better":
        if low > 0.0:
            return "pass", "shown better"
        return ("fail", "shown no better") if high <= 0.0 else ("unsure", "not shown better")
    if high < -margin:
        return "fail", f"shown to lose more than {margin:.3f}"
    if low >= -margin:
        return "pass", f"shown to lose no more than {margin:.3f}"
    if requirement == "not_harmed":
        return "pass", f"not shown to lose more than {margin:.3f}"
    return "unsure", f"not shown to lose no more than {margin:.3f}"


def _check_same_rows(task: Task, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
    if not ours.select("item_id", "target").equals(theirs.select("item_id", "target")):
        raise JudgeError(f"task {task.name}: two scorecards are of different rows: judge both on one split.")


def _compared(task: Task, ours: pl.DataFrame, theirs: pl.DataFrame, policy: GatePolicy) -> _Comparison | None:
    metric = task.measured[0]
    measure = MEASURES[metric]
    sides = [statistics_of(task, metric, rows) for rows in (ours, theirs)]
    values = [value_of(task, metric, rows) for rows in (ours, theirs)]
    if sides[0] is None or sides[1] is None or values[0] is None or values[1] is None:
        return None
    members, chunks = _members(ours), []
    sums = [members @ side for side in sides if side is not None]
    for indices in statistics.resample_indices(members.shape[0], policy.resamples, policy.seed):
        counts = _counts(indices, members.shape[0])
        rows = counts @ members.sum(axis=1)
        first, second = (measure.value(counts @ side, rows) for side in sums)
        chunks.append(first - second)
    gains = np.concatenate(chunks)
    if not np.isfinite(gains).all():  # no bound would be below a margin, so that NaN would pass
        return None
    return _Comparison(values[0], values[1], gains if measure.higher_is_better else -gains)


def _members(rows: pl.DataFrame) -> csr_array:
    """(groups, n) 1 where the row is of the group."""
    group = rows.get_column("group").rank("dense").cast(pl.Int64).to_numpy() - 1
    return csr_array((np.ones(len(rows)), (group, np.arange(len(rows)))))


def _counts(indices: np.ndarray, n: int) -> Floats:
    """(r, n) drawn rows → (r, n) how often each was drawn."""
    lines = len(indices)
    flat = (indices + n * np.arange(lines)[:, None]).ravel()
    return np.bincount(flat, minlength=lines * n).reshape(lines, n).astype(np.float64)
