"""How often the gate is wrong, by simulation; tests/benchmarks/gate_power.py prints the full table."""

import json
import math
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.judging import GatePolicy
from components.evaluation.scorecard import Scorecard
from components.gate.verdict import decide

PAIRS = 2_000


@pytest.fixture
def record(record_property, capsys) -> Callable[[str, object], None]:
    """Keeps figures in the JUnit report and shows them as one line of JSON."""

    def write(name: str, figures: object) -> None:
        text = json.dumps({name: figures})
        record_property(name, text)
        with capsys.disabled():
            sys.stdout.write(f"\n{text}\n")

    return write


@pytest.mark.slow
def test_no_true_gain_promotes_in_at_most_one_of_forty(simulation, record):
    """2,000 pairs of scorecards without a true gain: PROMOTE in ≤ 2.5 % plus Monte Carlo noise."""
    rates = simulation.promotion_rate(0.0, PAIRS, sub_slices=False, resamples=250)
    record("verdicts_without_gain", rates)
    assert rates["PROMOTE"] <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / PAIRS)
    assert rates["INCONCLUSIVE"] > 0.8


def test_power_at_one_two_and_four_points(simulation, record):
    """With 10,000 resamples, the simulated power of a primary is the planned one, up to noise."""
    figures = {gain: simulation.shown_better(gain, 500) for gain in (0.0, 0.01, 0.02, 0.04)}
    record("power", figures)
    assert figures[0.0]["new"] <= 0.05
    for gain in (0.01, 0.02, 0.04):
        planned = simulation.planned(figures[gain]["sd_new"])[f"{gain:g}"]["power_at_608"]
        assert figures[gain]["new"] == pytest.approx(planned, abs=0.07)
    assert 0.29 <= figures[0.02]["sd_new"] <= 0.45


def _search(rng: np.random.Generator, bonus: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of 150 requests × 300 items (the last 60 new) and which items are relevant; a bonus on
    the new ones."""
    scores = rng.normal(size=(150, 300))
    relevant = rng.random((150, 300)) < 0.012
    relevant[:, 0] |= ~relevant[:, :240].any(axis=1)
    relevant[:, 299] |= ~relevant[:, 240:].any(axis=1)
    scores += 2.5 * relevant
    scores[:, 240:] += bonus
    return scores, relevant


def _card(cards, name: str, scores: np.ndarray, relevant: np.ndarray) -> Scorecard:
    def recall(ranked: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        top = np.argsort(-ranked, axis=1)[:, :10]
        hits = np.take_along_axis(wanted, top, axis=1).sum(axis=1)
        return hits / wanted.sum(axis=1)

    new = np.arange(300) >= 240
    only_new = np.where(new, scores, -np.inf)
    of_new, of_established = recall(scores, relevant & new), recall(scores, relevant & ~new)
    by_slice = {
        "new": of_new,
        "new_condensed": of_new,
        "new_only": recall(only_new, relevant & new),
        "new_only_condensed": recall(only_new, relevant & new),
        **dict.fromkeys(("established", "established_trained", "established_untrained"), of_established),
    }
    return cards.make(name, recall(scores, relevant), **by_slice)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.0, 2.0))
def test_a_constant_bonus_for_new_items_never_promotes(cards, seed, bonus):
    """A bonus buys new-item recall without learning anything; new-only recall does not move."""
    plain = _card(cards, "champion", *_search(np.random.default_rng(seed), 0.0))
    lifted = _card(cards, "challenger", *_search(np.random.default_rng(seed), bonus))
    report = decide(lifted, plain, GatePolicy(resamples=200))
    assert report.verdict == "REJECT"
    only = next(g for g in report.gates if g.name == "new_only/recall@10")
    assert (only.difference, only.outcome) == (0.0, "fail")


def test_a_moderate_bonus_does_lift_new_item_recall(cards):
    """The case above is a real temptation: the first primary alone would promote."""
    plain = _card(cards, "champion", *_search(np.random.default_rng(1), 0.0))
    lifted = _card(cards, "challenger", *_search(np.random.default_rng(1), 0.6))
    report = decide(lifted, plain, GatePolicy(resamples=200))
    first = next(g for g in report.gates if g.name == "new/recall@10")
    assert (first.outcome, report.verdict) == ("pass", "REJECT")
