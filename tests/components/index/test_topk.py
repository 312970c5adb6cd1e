"""The exact top k against sorting everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.index.topk import candidate_rows, catalogue_rows, empty_ranking, place, top_columns


def brute_force(row: np.ndarray, k: int) -> list[int]:
    candidates = [column for column in range(len(row)) if row[column] > -np.inf]
    return sorted(candidates, key=lambda column: (-row[column], column))[:k]


@given(
    levels=st.lists(st.sampled_from([-np.inf, -1.0, 0.0, 0.25, 0.5]), max_size=400),
    k=st.integers(1, 20),
)
@settings(max_examples=200, deadline=None)
def test_ties_at_every_place_are_broken_by_column(levels, k):
    """Few distinct scores, so that ties cross the k-th place almost always: the same as a full sort."""
    row = np.array(levels, dtype=np.float32)
    assert top_columns(row, k).tolist() == brute_force(row, k)


@given(seed=st.integers(0, 2**32 - 1), items=st.integers(1, 3_000), k=st.integers(1, 120))
@settings(max_examples=60, deadline=None)
def test_agrees_with_a_full_sort_on_long_rows(seed, items, k):
    """Rows longer than k blocks take the shortcut by block maxima; the result does not show it."""
    rng = np.random.default_rng(seed)
    row = rng.integers(0, max(2, items // 3), items).astype(np.float32)
    row[rng.random(items) < 0.2] = -np.inf
    assert top_columns(row, k).tolist() == brute_force(row, k)


@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 30))
@settings(max_examples=50, deadline=None)
def test_a_shorter_list_is_the_beginning_of_a_longer_one(seed, k):
    row = np.random.default_rng(seed).integers(0, 9, 500).astype(np.float32)
    assert top_columns(row, k).tolist() == top_columns(row, k + 7)[:k].tolist()


def test_places_without_a_candidate_stay_minus_one():
    """Two candidates of three places: the third keeps row -1 and score -inf."""
    ranking = empty_ranking(1, 3)
    place(ranking, 0, np.array([-np.inf, 2.0, 3.0], dtype=np.float32), np.array([4, 7, 9]))
    assert ranking.rows.tolist() == [[9, 7, -1]]
    assert ranking.scores.tolist() == [[3.0, 2.0, -np.inf]]


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k must be at least 1"):
        empty_ranking(2, 0)


@pytest.mark.parametrize("ids", [["b", "a"], ["a", "a"]])
def test_item_ids_must_ascend(ids):
    """Row numbers break ties, so rows that are not in item_id order are refused."""
    with pytest.raises(ValueError, match="ascending"):
        catalogue_rows(ids)


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 items"):
        candidate_rows(3, np.array([True, False]))
