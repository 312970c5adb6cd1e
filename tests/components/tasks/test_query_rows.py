"""Rows of tasks whose text is a query: which part they belong to, and one answer per query."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl

from components.contract.task import Task
from components.tasks.query_rows import cut_queries

T = datetime(2026, 3, 1)
WEEK = timedelta(days=7)
CUTOFFS = (T - WEEK, T, T + WEEK)
UNDATED = (None, None, None)
ITEMS = pl.DataFrame(
    {
        "item_id": ["old", "other", "waiting", "new"],
        "is_new": [False, False, False, True],
        "is_validation_new": [False, False, True, False],
    }
)
NONE: dict[Any, set[str]] = {"validation": set(), "test": set()}


def task(head: str = "classification") -> Task:
    return Task(name="kind", says="Kind", rows="SELECT 1", text=("query",), head=head)  # type: ignore[arg-type]


def rows(*given: tuple[str, str, int | None, Any]) -> pl.DataFrame:
    """query, item, day after T (None: undated), target."""
    return pl.DataFrame(
        {
            "text": [query for query, *_ in given],
            "item_id": [item for _, item, *_ in given],
            "at": [None if day is None else T + timedelta(days=day) for *_, day, _ in given],
            "target": [target for *_, target in given],
        },
        schema_overrides={"at": pl.Datetime("us")},
    )


def queries(parts: dict[Any, pl.DataFrame]) -> dict[str, set[str]]:
    return {part: set(frame.get_column("text")) for part, frame in parts.items()}


def test_dated_queries_follow_the_cut_off_whatever_is_asked_later() -> None:
    """A query that comes again in a later part, judged there or not, was learned before, as where it serves;
    what was asked from T on is learned by nobody."""
    given = rows(
        ("lamp", "old", -30, "a"),
        ("oak desk", "old", -3, "a"),
        ("Red  Mug", "old", -30, "a"),
        ("red mug", "old", 2, "b"),
        ("oak desk", "old", -30, "b"),
        ("late", "old", 9, "a"),
    )
    for judged in (NONE, {"validation": {"oak desk"}, "test": {"red mug", "lamp"}}):
        parts = cut_queries(task(), given, ITEMS, CUTOFFS, judged)
        assert queries(parts) == {
            "train": {"lamp", "oak desk", "Red  Mug"}, "validation": {"oak desk"}, "test": {"red mug"}
        }  # fmt: skip
        assert dict(parts["train"].select("group", "target").rows())["red mug"] == "a"
        assert parts["train"].get_column("at").max() < T - WEEK


def test_undated_rows_beside_dated_ones_are_held_out_by_query() -> None:
    """Nobody knows when they were written: a judged query's are of its part, and what a later row asks is
    learned from dated rows alone."""
    given = rows(
        ("lamp", "old", None, "b"),
        ("lamp", "old", -30, "a"),
        ("lamp", "old", 1, "a"),
        ("mug", "old", None, "b"),
        ("mug", "old", -30, "a"),
        ("mug", "old", -29, "a"),
        ("mug", "old", -3, "a"),
        ("desk", "old", None, "b"),
    )
    parts = cut_queries(task(), given, ITEMS, CUTOFFS, {"validation": set(), "test": {"lamp"}})
    told = {part: frame.select("text", "at", "target").rows() for part, frame in parts.items()}
    day = timedelta(days=1)
    assert told == {
        "train": [("desk", None, "b"), ("lamp", T - 30 * day, "a"), ("mug", T - 29 * day, "a")],
        "validation": [("mug", T - 3 * day, "a")],
        "test": [("lamp", T + day, "a")],
    }


def test_undated_judgements_are_held_out_by_query() -> None:
    """As the split does: judged queries in their part, all others learned; a query judged in both is the
    test's."""
    given = rows(*[(query, "old", None, "a") for query in ("one", "two", "three", "both")])
    judged: Any = {"validation": {"two", "both"}, "test": {"three", "both"}}
    found = queries(cut_queries(task(), given, ITEMS, UNDATED, judged))
    assert found == {"train": {"one"}, "validation": {"two"}, "test": {"three", "both"}}


def test_nothing_of_a_new_item_is_learned_and_other_rows_of_its_query_are() -> None:
    """A training query about a new item too teaches by its established ones; the test tells them apart."""
    given = rows(
        ("one", "old", None, "a"),
        ("one", "new", None, "b"),
        ("one", "waiting", None, "b"),
        ("two", "waiting", None, "c"),
        ("two", "new", None, "d"),
        ("three", "old", None, "a"),
        ("three", "new", None, "d"),
        ("three", "gone", None, "e"),
    )
    parts = cut_queries(task(), given, ITEMS, UNDATED, {"validation": {"two"}, "test": {"three"}})
    told = {part: frame.select("text", "target", "is_new").rows() for part, frame in parts.items()}
    assert told == {
        "train": [("one", "a", False)],
        "validation": [("two", "c", True)],
        "test": [("three", "a", False), ("three", "d", True)],
    }


def test_what_was_new_in_its_own_window_is_new_on_validation_alone() -> None:
    """There its rows are a line of their own beside the established items', as a new item's are on the test,
    where an item that was new on validation is established."""
    given = rows(*[("mug", item, day, item) for item in ("old", "waiting") for day in (-3, -2)])
    parts = cut_queries(task(), given, ITEMS, CUTOFFS, NONE)
    assert parts["validation"].select("target", "is_new").rows() == [("old", False), ("waiting", True)]
    later = cut_queries(task(), rows(("mug", "waiting", 2, "a")), ITEMS, CUTOFFS, NONE)
    assert later["test"].get_column("is_new").to_list() == [False]


def test_a_query_has_the_target_of_most_of_its_rows() -> None:
    """Of equal counts the first in order; of numbers the median."""
    given = rows(*[("lamp", "old", None, target) for target in "abbcc"])
    assert cut_queries(task(), given, ITEMS, UNDATED, NONE)["train"].get_column("target").to_list() == ["b"]
    prices = rows(*[("lamp", "old", None, target) for target in (1.0, 2.0, 90.0)])
    found = cut_queries(task("regression"), prices, ITEMS, UNDATED, NONE)["train"]
    assert found.get_column("target").to_list() == [2.0]
