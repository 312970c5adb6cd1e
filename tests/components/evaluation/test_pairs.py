"""Judgements as arrays, and judged sets that do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from components.contract.errors import JudgeError
from components.contract.ports import Request
from components.evaluation.pairs import judged_pairs
from components.split.judged import JudgedSet


@pytest.fixture
def judged():
    return JudgedSet(
        entrance="search",
        requests=(Request("p", text="p"), Request("q", text="q")),
        relevant={"p": frozenset({"b"}), "q": frozenset({"a", "c"})},
        judged={"p": {"c": 0.0, "b": 3.0}, "q": {"a": 2.0, "c": 2.5}},
        has_nonrelevant=True,
        frequency={"p": 0, "q": 1},
    )


def test_pairs_are_in_request_and_row_order(judged):
    pairs = judged_pairs(judged, ["a", "b", "c"])
    assert pairs.request.tolist() == [0, 0, 1, 1]
    assert pairs.row.tolist() == [1, 2, 0, 2]
    assert pairs.grade.tolist() == [3.0, 0.0, 2.0, 2.5]
    assert pairs.relevant.tolist() == [True, False, True, True]


def test_find_gives_the_pair_or_minus_one(judged):
    """Judged, unjudged and empty places of a ranking."""
    pairs = judged_pairs(judged, ["a", "b", "c"])
    rows = np.array([[1, 0, 2, -1], [2, 1, 0, -1]])
    assert pairs.find(rows).tolist() == [[0, -1, 1, -1], [3, -1, 2, -1]]


def test_an_item_outside_the_catalogue_is_named(judged):
    with pytest.raises(JudgeError, match=r"request 'p' names item 'c'.*split the data again"):
        judged_pairs(judged, ["a", "b"])


def test_a_relevant_item_without_a_grade_is_named(judged):
    broken = replace(judged, judged=judged.judged | {"q": {"a": 2.0}})
    with pytest.raises(JudgeError, match="'q': item 'c' is relevant but has no grade"):
        judged_pairs(broken, ["a", "b", "c"])


def test_a_request_without_relevant_items_is_named(judged):
    broken = replace(judged, relevant={"p": frozenset({"b"})})
    with pytest.raises(JudgeError, match="'q': has no relevant item"):
        judged_pairs(broken, ["a", "b", "c"])
