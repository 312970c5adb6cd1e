"""Which items and requests are in which slice."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.contract.judging import JudgeSettings
from components.contract.ports import Request
from components.evaluation.slices import age_slices_reason, item_slices, request_slices, trained_items
from components.split.judged import JudgedSet

UNTIL = datetime(2024, 6, 15)


def catalogue(**columns) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    defaults = {
        "item_id": [f"i{n}" for n in range(rows)],
        "category": pl.Series([None] * rows, dtype=pl.String),
        "first_seen": pl.Series([None] * rows, dtype=pl.Datetime("us")),
        "is_new": [False] * rows,
    }
    return pl.DataFrame(defaults | columns)


def members(slices, prefix: str = "") -> dict[str, list[int]]:
    return {
        n.removeprefix(prefix): np.flatnonzero(m).tolist() for n, m in slices.items() if n.startswith(prefix)
    }


def test_established_items_divide_into_trained_and_untrained():
    """A new item is in neither, even if it were named as trained."""
    items = catalogue(is_new=[False, False, True])
    slices = members(item_slices(items, {"i0", "i2"}, JudgeSettings(), None))
    assert slices == {
        "new": [2],
        "established": [0, 1],
        "established_trained": [0],
        "established_untrained": [1],
        "all": [0, 1, 2],
    }


def test_the_largest_top_level_categories_have_a_slice_each():
    """Ties in size go by name; the rest and items without a category are "other"."""
    items = catalogue(category=["B > x", "B", "A > y > z", "A>q", "C", None, "D", ""])
    slices = item_slices(items, (), JudgeSettings(max_categories=2), None)
    assert members(slices, "category:") == {"A": [2, 3], "B": [0, 1], "other": [4, 5, 6, 7]}


def test_a_category_called_other_takes_in_the_rest():
    items = catalogue(category=["other", "other", "A"])
    slices = item_slices(items, (), JudgeSettings(max_categories=1), None)
    assert members(slices, "category:") == {"other": [0, 1, 2]}


@pytest.mark.parametrize("most", [0, 5])
def test_no_category_slices_without_categories_or_by_configuration(most):
    items = catalogue(category=[None, None] if most else ["A", "B"]).with_columns(
        pl.col("category").cast(pl.String)
    )
    assert not members(item_slices(items, (), JudgeSettings(max_categories=most), None), "category:")


def test_age_buckets_count_days_to_the_end_of_the_judge_window():
    """A bucket's start belongs to it, its end does not; undated items and later ones are in none."""
    days = [0.0, 0.99, 1.0, 6.9, 7.0, 45.0, 60.0, 4_000.0, -2.0]
    seen = [UNTIL - timedelta(days=d) for d in days] + [None]
    slices = item_slices(catalogue(first_seen=seen), (), JudgeSettings(), UNTIL)
    assert members(slices, "age:") == {
        "0-1": [0, 1],
        "1-7": [2, 3],
        "7-14": [4],
        "14-30": [],
        "30-60": [5],
        "60+": [6, 7],
    }


def test_undated_data_has_no_age_slices_and_says_why():
    undated, dated = catalogue(is_new=[True]), catalogue(first_seen=[UNTIL])
    assert not members(item_slices(undated, (), JudgeSettings(), UNTIL), "age:")
    assert "items are undated" in age_slices_reason(undated, UNTIL)
    assert not members(item_slices(dated, (), JudgeSettings(), None), "age:")
    assert "judgements are undated" in age_slices_reason(dated, None)
    assert age_slices_reason(dated, UNTIL) is None


@pytest.mark.parametrize("entrance", ["search", "recommendation"])
def test_requests_are_sliced_by_words_and_frequency(entrance):
    """Words are counted for queries only; every request is in one slice of each kind."""
    texts = ["saw", "hand saw", "a b c", "a b c d", "a b  c d e", "a b c d e f"]
    search = entrance == "search"
    requests = tuple(
        Request(f"r{n}", text=text if search else None, history=() if search else ("i0",))
        for n, text in enumerate(texts)
    )
    frequency = {"r0": 0, "r1": 1, "r2": 2, "r3": 3, "r4": 90}
    slices = request_slices(JudgedSet(entrance, requests, {}, {}, False, frequency))
    assert members(slices, "query_frequency:") == {"unseen": [0, 5], "rare": [1, 2], "frequent": [3, 4]}
    by_words = {"1": [0], "2": [1], "3": [2], "4-5": [3, 4], "6+": [5]}
    assert members(slices, "query_length:") == (by_words if search else {})


def test_trained_items_are_those_of_all_training_files(tmp_path):
    """Search and purchase rows, and the rows of a refit."""
    for name, item in (("train/search", "a"), ("train/purchases", "b"), ("refit/search", "c")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pl.DataFrame({"item_id": [item], "grade": [1.0]}).write_parquet(tmp_path / f"{name}.parquet")
    assert trained_items(tmp_path) == {"a", "b", "c"}
