"""The gates of tasks: what each requirement leads to, and that a task's harm counts as its policy says."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.errors import JudgeError
from components.contract.judging import GatePolicy
from components.contract.task import Task
from components.evaluation.scorecard import Scorecard
from components.gate import statistics
from components.gate.report import _drawing, _extent
from components.gate.tasks import task_gates
from components.gate.verdict import decide

ROWS = 400


def task(**changes: Any) -> Task:
    given = {"name": "kind", "says": "Kind", "rows": "SELECT 1", "text": ("title",), "head": "classification"}
    return Task(**given | changes)


def answers(right: float, seed: int) -> pl.DataFrame:
    """Two classes, answered rightly in this share of the rows; a quarter are new items'."""
    rng = np.random.default_rng(seed)
    true = np.arange(ROWS) % 2
    answered = np.where(np.random.default_rng(seed).random(ROWS) < right, true, 1 - true)
    return pl.DataFrame(
        {
            "item_id": [str(n) for n in range(ROWS)],
            "group": [f"{n:03}" for n in range(ROWS)],
            "is_new": np.arange(ROWS) % 4 == 0,
            "target": np.asarray(["a", "b"])[true].tolist(),
            "answer": np.asarray(["a", "b"])[answered].tolist(),
            "probability": rng.random(ROWS),
        }
    )


@pytest.fixture
def judged(cards):
    """`judged(task, ours, theirs)`: the lines on all items, of answers that are right in these shares."""

    def gates(one: Task, ours: float, theirs: float, **policy: Any):
        challenger, champion = cards.promoted()
        challenger = replace(challenger, tasks={one.name: answers(ours, 1)})
        champion = replace(champion, tasks={one.name: answers(theirs, 2)})
        return task_gates([one], challenger, champion, champion, GatePolicy(resamples=400, **policy))

    return gates


@pytest.mark.parametrize(
    ("requirement", "ours", "theirs", "outcome"),
    [
        ("better", 0.9, 0.6, "pass"),
        ("better", 0.6, 0.9, "fail"),
        ("better", 0.8, 0.8, "unsure"),
        ("non_inferior", 0.9, 0.6, "pass"),
        ("non_inferior", 0.6, 0.9, "fail"),
        ("non_inferior", 0.77, 0.8, "unsure"),
        ("not_harmed", 0.77, 0.8, "pass"),
        ("not_harmed", 0.6, 0.9, "fail"),
        ("reported", 0.6, 0.9, "not applicable"),
    ],
)
def test_each_requirement(judged, requirement, ours, theirs, outcome) -> None:
    """Shown better, shown not to lose more than the margin, or reported only."""
    one = task(policy={"against_champion": requirement, "populations": ["all"]})
    first, second = judged(one, ours, theirs)
    assert (first.outcome, second.outcome) == (outcome, "not applicable")
    assert first.requests == ROWS and first.challenger is not None
    assert second.name == "TF-IDF kind all/accuracy"


def test_new_items_and_all_items_are_judged_apart(judged) -> None:
    """One line each; the default policy judges both, against the champion only."""
    lines = [gate for gate in judged(task(), 0.9, 0.6) if not gate.name.startswith("TF-IDF")]
    assert [(gate.name, gate.requests) for gate in lines] == [
        ("kind new/accuracy", ROWS // 4),
        ("kind all/accuracy", ROWS),
    ]


def test_few_rows_are_not_judged(judged) -> None:
    """They do not block either."""
    one = task(policy={"min_rows": 200, "populations": ["new"]})
    assert {gate.outcome for gate in judged(one, 0.1, 0.9)} == {"not judged"}


def test_few_groups_are_not_judged_however_many_rows_they_have(cards) -> None:
    one = task(policy={"min_rows": 50, "populations": ["all"]})
    frame = answers(0.5, 1).with_columns(group=pl.Series([str(n % 40) for n in range(ROWS)]))
    challenger, champion = (replace(card, tasks={"kind": frame}) for card in cards.promoted())
    [gate] = task_gates([one], challenger, champion, None, GatePolicy(resamples=400))
    assert (gate.outcome, gate.requests) == ("not judged", 40)


def test_rows_of_one_group_are_one_piece_of_evidence(cards) -> None:
    """Two systems that are equally good, 50 questions asked eight times each: by rows 0.15 of the gates say
    that one is shown to lose more than the margin, of at most 0.05 that may."""
    one = task(policy={"populations": ["all"], "against_champion": "non_inferior", "margin": 0.0})
    group = np.repeat(np.arange(50), 8)
    false = 0
    for seed in range(100):
        drawn = np.random.default_rng(seed).random((2, 50)) < 0.7
        frames = [
            answers(1.0, 1).with_columns(
                group=pl.Series([f"{n:02}" for n in group]),
                answer=pl.when(pl.Series(right[group])).then("target").otherwise(pl.lit("neither")),
            )
            for right in drawn
        ]
        challenger, champion = (
            replace(card, tasks={"kind": frame}) for card, frame in zip(cards.promoted(), frames, strict=True)
        )
        [gate] = task_gates([one], challenger, champion, None, GatePolicy(resamples=400))
        false += gate.outcome == "fail"
    assert 0 < false <= 10


def test_an_accuracys_interval_is_the_gates_own(judged, cards) -> None:
    """The bootstrap by sums equals the one that recall is judged by, on the same draws."""
    one = task(policy={"against_champion": "better", "populations": ["all"]})
    gate = judged(one, 0.8, 0.7)[0]
    right = [(frame["answer"] == frame["target"]).to_numpy() for frame in (answers(0.8, 1), answers(0.7, 2))]
    units = statistics.to_units(right[0].astype(float)) - statistics.to_units(right[1].astype(float))
    means = statistics.resampled_means({"x": units}, 400, 0)["x"]
    assert (gate.low, gate.high) == pytest.approx(statistics.two_sided_interval(means, 0.95), abs=1e-9)


def test_less_is_better_for_an_error(cards) -> None:
    """A challenger whose prices are nearer passes; the line's difference keeps its own sign."""
    price = task(head="regression", policy={"against_champion": "better", "populations": ["all"]})
    rng = np.random.default_rng(0)

    def priced(noise: float) -> pl.DataFrame:
        target = rng.normal(10, 3, ROWS)
        frame = answers(1.0, 1).drop("target", "answer")
        return frame.with_columns(target=pl.Series(np.arange(ROWS, dtype=float)),
                                  answer=pl.Series(np.arange(ROWS) + noise * target))  # fmt: skip

    challenger, champion = cards.promoted()
    challenger = replace(challenger, tasks={"kind": priced(0.1)})
    champion = replace(champion, tasks={"kind": priced(0.5)})
    [gate] = task_gates([price], challenger, champion, None, GatePolicy(resamples=400))
    assert gate.outcome == "pass" and "less is better" in gate.sentence
    assert gate.difference < 0 and gate.high < 0


def test_the_margin_of_an_error_is_drawn_where_it_counts(cards) -> None:
    """A challenger that is off by more lies right of the dashed line, not left of it as a loss of recall."""
    price = task(head="regression", policy={"against_champion": "non_inferior", "populations": ["all"]})
    off = answers(1.0, 1).drop("target", "answer")
    off = off.with_columns(target=pl.Series(np.arange(ROWS, dtype=float)))
    challenger, champion = (
        replace(card, tasks={"kind": off.with_columns(answer=pl.col("target") + error)})
        for card, error in zip(cards.promoted(), (2.0, 1.0), strict=True)
    )
    [gate] = task_gates([price], challenger, champion, None, GatePolicy(resamples=400))
    assert gate.outcome == "fail" and gate.margin < 0
    drawing = _drawing(gate, _extent(gate))
    assert drawing.zero < drawing.margin < drawing.low


def test_missing_answers_never_promote_and_a_new_task_is_not_compared(cards, policy) -> None:
    """The challenger must answer; a champion of before the task need not."""
    challenger, champion = cards.promoted()
    answered = replace(challenger, tasks={"kind": answers(0.8, 1)})
    missing = decide(challenger, champion, policy, tasks=[task()])
    assert missing.verdict == "INCONCLUSIVE"
    fresh = decide(answered, champion, policy, tasks=[task()])
    assert fresh.verdict == "PROMOTE"
    assert {gate.outcome for gate in fresh.gates if gate.kind == "task"} == {"not applicable"}


def test_what_is_no_number_passes_no_policy(cards) -> None:
    """A price that is infinite has no interval; no bound of it is below a margin either."""
    price = task(head="regression", policy={"populations": ["all"], "against_baseline": "reported"})
    frame = answers(1.0, 1).with_columns(target=pl.lit(1.0), answer=pl.lit(1.0))
    broken = frame.with_columns(answer=pl.lit(float("nan")))
    challenger, champion = (replace(cards.promoted()[0], tasks={"kind": one}) for one in (broken, frame))
    first, reported = task_gates([price], challenger, champion, champion, GatePolicy(resamples=400))
    assert (first.outcome, reported.outcome) == ("missing", "not applicable")


def test_a_baseline_that_is_only_reported_need_not_have_the_measure(cards) -> None:
    """TF-IDF gives no probabilities, so its calibration is no reason to promote nothing for ever."""
    one = task(metrics=["calibration_error"], policy={"populations": ["all"]})
    challenger, champion = cards.promoted()
    challenger, champion = (replace(c, tasks={"kind": answers(0.8, 1)}) for c in (challenger, champion))
    tfidf = replace(champion, tasks={"kind": answers(0.8, 1).drop("probability")})
    first, reported = task_gates([one], challenger, champion, tfidf, GatePolicy(resamples=400))
    assert (first.outcome, reported.outcome) == ("pass", "not applicable")


def test_a_tasks_harm_rejects_only_by_its_policy(cards, policy) -> None:
    """The same loss rejects under the default policy and is told under one that only reports."""
    challenger, champion = cards.promoted()
    challenger = replace(challenger, tasks={"kind": answers(0.5, 1)})
    champion = replace(champion, tasks={"kind": answers(0.95, 2)})
    assert decide(challenger, champion, policy, tasks=[task()]).verdict == "REJECT"
    told = task(policy={"against_champion": "reported"})
    assert decide(challenger, champion, policy, tasks=[told]).verdict == "PROMOTE"


def test_scorecards_of_other_rows_are_refused(cards) -> None:
    """Champion and challenger are judged on one split or not at all."""
    challenger, champion = cards.promoted()
    challenger = replace(challenger, tasks={"kind": answers(0.8, 1)})
    champion = replace(champion, tasks={"kind": answers(0.8, 1).reverse()})
    with pytest.raises(JudgeError, match="different rows"):
        task_gates([task()], challenger, champion, None, GatePolicy())


def test_answers_are_kept_with_the_scorecard(cards, tmp_path) -> None:
    """A scorecard that is written and read has the same answers."""
    card = replace(cards.promoted()[0], tasks={"kind": answers(0.8, 1)})
    card.write(tmp_path)
    assert Scorecard.read(tmp_path).tasks["kind"].equals(card.tasks["kind"])
