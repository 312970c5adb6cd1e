"""Scorecards that do not compare: refused with a sentence, without a verdict."""

from dataclasses import replace

import numpy as np
import pytest

from components.contract.errors import JudgeError
from components.gate.verdict import decide


def test_other_requests_are_an_error(cards, policy):
    """Other requests, or the same in another order, name the first that differs."""
    challenger, champion = cards.promoted()
    scores = champion.entrances["search"]
    for ids in (scores.request_ids[::-1], scores.request_ids[:-1]):
        other = replace(champion, entrances=champion.entrances | {"search": replace(scores, request_ids=ids)})
        with pytest.raises(JudgeError, match="not judged on the same search requests"):
            decide(challenger, other, policy)


def test_a_request_twice_is_an_error(cards, policy):
    """The resampling unit is the distinct request."""
    pair = []
    for card in cards.promoted():
        scores = card.entrances["search"]
        ids = (*scores.request_ids[:-1], scores.request_ids[0])
        pair.append(replace(card, entrances=card.entrances | {"search": replace(scores, request_ids=ids)}))
    with pytest.raises(JudgeError, match="more than once"):
        decide(*pair, policy)


@pytest.mark.parametrize("field, value", [("k", 5), ("primary", "recommendation")])
def test_another_k_or_primary_is_an_error(cards, policy, field, value):
    """Scorecards of two configurations do not compare."""
    challenger, champion = cards.promoted()
    with pytest.raises(JudgeError, match=f"{field} is"):
        decide(challenger, replace(champion, **{field: value}), policy)


@pytest.mark.parametrize("role", [0, 1])
def test_a_lost_entrance_is_an_error(cards, policy, role):
    """An entrance that only one side was judged on cannot be a guardrail."""
    pair = list(cards.promoted())
    pair[role] = replace(pair[role], entrances={"search": pair[role].entrances["search"]})
    with pytest.raises(JudgeError, match="not judged on recommendation"):
        decide(*pair, policy)


def test_a_primary_entrance_that_was_not_judged_is_an_error(cards, policy):
    """The primary entrance must be in the scorecards."""
    pair = [
        replace(card, entrances={"recommendation": card.entrances["recommendation"]})
        for card in cards.promoted()
    ]
    with pytest.raises(JudgeError, match="not judged on search"):
        decide(*pair, policy)


def test_a_challenger_without_digest_is_an_error(cards, policy):
    """A verdict names the candidate it is about."""
    challenger, champion = cards.promoted()
    with pytest.raises(JudgeError, match="names no candidate"):
        decide(replace(challenger, digest=None), champion, policy)


@pytest.mark.parametrize(
    "values, message",
    [
        (np.where(np.arange(120) == 7, np.nan, 0.5), 'request "request 7" has a value for one'),
        (np.full(120, np.nan), "120 such requests"),
        (np.where(np.arange(120) == 7, 1.5, 0.5), 'is 1.5 for search request "request 7"'),
        (np.where(np.arange(120) == 7, -np.inf, 0.5), "outside 0 … 1"),
        (np.full(119, 0.5), "119 values for 120"),
    ],
)
def test_damaged_values_are_an_error(cards, policy, change, values, message):
    """NaN on one side only, no recall, a wrong number of values: which request, what to do."""
    challenger, champion = cards.promoted()
    with pytest.raises(JudgeError, match=message):
        decide(change(challenger, "new/recall@10", values), champion, policy)
