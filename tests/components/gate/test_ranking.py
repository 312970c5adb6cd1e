"""The second stage's own gate: the release with it beside the same release without."""

from dataclasses import replace

import numpy as np
import pytest

from components.gate.ranking import ranking_gates
from components.gate.verdict import decide

CHANGES = {"ranker_new_item_share_change": 0.01, "ranker_top_1_percent_share_change": 0.0}


@pytest.fixture
def pair(cards):
    """A challenger that would be promoted, and its champion."""
    return cards.promoted()


def with_stage(cards, challenger, found, changes=CHANGES, population="new_only"):
    """The challenger with a second stage, whose first stage alone finds so much of a population."""
    values = challenger.entrances["search"].measures["new_only/recall@10"]
    plain = cards.make(challenger.name, values, **{population: found})
    reasons = {name: why for name, why in challenger.not_applicable.items() if name not in CHANGES}
    bounds = challenger.bounds | changes
    return replace(challenger, first_stage=plain, bounds=bounds, not_applicable=reasons)


def test_a_release_without_a_second_stage_has_no_such_gate(pair, policy):
    assert ranking_gates(pair[0], policy) == []


def test_one_that_costs_nothing_passes_and_is_promoted(cards, pair, policy):
    challenger, _ = pair
    values = challenger.entrances["search"].measures["new_only/recall@10"]
    staged = with_stage(cards, challenger, values)
    new, new_only, *others = ranking_gates(staged, policy)
    assert [gate.name for gate in (new, new_only)] == [
        "second stage new/recall@10",
        "second stage new_only/recall@10",
    ]
    assert {(gate.kind, gate.outcome) for gate in (new, new_only)} == {("ranking", "pass")}
    assert all(other.outcome in ("pass", "not judged", "missing") for other in others)
    assert new.sentence.startswith("With the second stage beside without it, new items")


@pytest.mark.parametrize("population", ["new", "new_only"])
def test_one_that_loses_new_items_is_rejected(cards, pair, policy, population):
    challenger, champion = pair
    values = challenger.entrances["search"].measures["new_only/recall@10"]
    staged = with_stage(cards, challenger, np.minimum(values + 0.3, 1.0), population=population)
    report = decide(staged, champion, policy)
    assert report.verdict == "REJECT"
    assert f"second stage {population}/recall@10 (shown worse than allowed)" in report.sentence


def test_a_missing_comparison_never_promotes(pair, policy):
    challenger, champion = pair
    staged = replace(challenger, bounds=challenger.bounds | CHANGES)
    assert [gate.outcome for gate in ranking_gates(staged, policy)] == ["missing"]
    assert decide(staged, champion, policy).verdict == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ({}, "pass"),
        ({"ranker_new_item_share_change": 0.11}, "fail"),
        ({"ranker_new_item_share_change": -0.06}, "fail"),
        ({"ranker_top_1_percent_share_change": 0.11}, "fail"),
        ({"ranker_top_1_percent_share_change": None}, "missing"),
    ],
)
def test_exposure_is_bounded(cards, pair, policy, changed, outcome):
    challenger, champion = pair
    values = challenger.entrances["search"].measures["new_only/recall@10"]
    staged = with_stage(cards, challenger, values, CHANGES | changed)
    lines = decide(staged, champion, policy).gates
    outcomes = {gate.outcome for gate in lines if gate.name in CHANGES}
    assert (outcome in outcomes) and outcomes <= {"pass", outcome}
