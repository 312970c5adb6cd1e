"""The columns that reference and windows share."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from components.monitoring import facts
from components.monitoring.facts import answer_facts, item_facts

END = datetime(2026, 2, 1)


def test_scores_and_new_items_are_counted_in_what_the_ranking_showed() -> None:
    """The drawn item is left out; an answer without items has no value."""
    answers = pl.DataFrame(
        {
            "item_ids": [["a", "b", "c"], []],
            "scores": [[0.9, 0.5, 0.1], []],
            "exploration_positions": [[2], []],
        },
        schema_overrides={"item_ids": pl.List(pl.String), "exploration_positions": pl.List(pl.Int64)},
    )
    first, second = answer_facts(answers, {"b", "c"}).to_dicts()
    assert first == {
        "item_ids": ["a", "c"],
        "scores": [0.9, 0.1],
        "top_score": 0.9,
        "mean_score": 0.5,
        "new_share": 0.5,
        "new_score": 0.1,
    }
    assert set(second.values()) == {None}


def test_answers_are_compared_by_their_first_ten_items() -> None:
    answers = pl.DataFrame({"item_ids": [[f"i{n}" for n in range(20)]], "scores": [[1.0] * 10 + [0.0] * 10]})
    row = answer_facts(answers, {"i15"}).row(0, named=True)
    assert row["item_ids"] == [f"i{n}" for n in range(10)]
    assert (row["mean_score"], row["new_share"], row["new_score"]) == (1.0, 0.0, None)


@pytest.fixture
def catalogue() -> pl.DataFrame:
    ages = {"new": 1, "edge": 30, "old": 31, "later": -1}
    rows = [
        {
            "item_id": name,
            "title": "four",
            "price": 2.0,
            "brand": " ",
            "listed_at": END - timedelta(days=days),
        }
        for name, days in ages.items()
    ]
    return pl.DataFrame([*rows, {"item_id": "undated", "title": None}], infer_schema_length=None)


def test_an_item_is_new_for_so_many_days_after_it_was_listed(catalogue: pl.DataFrame) -> None:
    found = item_facts(catalogue, END, 30)
    assert set(found.filter("is_new")["item_id"]) == {"new", "edge"}
    marked = catalogue.with_columns(is_new=pl.lit(True))
    assert set(item_facts(marked, END, 30).filter("is_new")["item_id"]) == {"new", "edge", "undated"}


def test_when_it_was_first_seen_stands_in_for_a_missing_date(catalogue: pl.DataFrame) -> None:
    seen = catalogue.with_columns(first_seen=pl.lit(END - timedelta(days=2)))
    assert set(item_facts(seen, END, 30).filter("is_new")["item_id"]) == {"new", "edge", "undated"}


def test_completeness_counts_what_is_filled(catalogue: pl.DataFrame) -> None:
    """A price, but a blank brand and no description, category or attributes: one of five."""
    rows = {row["item_id"]: row for row in item_facts(catalogue, END, 30).iter_rows(named=True)}
    assert rows["new"]["completeness"] == pytest.approx(0.2)
    assert rows["new"]["brand"] is None
    assert (rows["new"]["title_length"], rows["undated"]["title_length"]) == (4.0, 0.0)


def test_attributes_with_a_value_are_counted() -> None:
    """One yes or no would not show that an import lost one of three."""
    texts = {"all": "colour: red; size: 3; of: oak", "one": "colour: red; size: ; of:", "none": None}
    items = pl.DataFrame({"item_id": list(texts), "title": "t", "attributes": list(texts.values())})
    found = item_facts(items, END, 30).select("item_id", "attributes").iter_rows()
    assert dict(found) == {"all": 3.0, "one": 1.0, "none": 0.0}


def test_a_large_catalogue_is_sampled_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same items in both states of it; new ones are all kept."""
    monkeypatch.setattr(facts, "MAX_ITEMS", 100)
    old = pl.DataFrame({"item_id": [f"{n:04d}" for n in range(1_000)], "title": "t"})
    old = old.with_columns(listed_at=pl.lit(END - timedelta(days=900)))
    extra = pl.DataFrame({"item_id": ["zz"], "title": ["t"], "listed_at": [END - timedelta(days=1)]})
    before, after = (item_facts(items, END, 30) for items in (old, pl.concat([old, extra])))
    common = set(before["item_id"]) & set(after["item_id"])
    assert len(before) == 100
    assert len(common) >= 99
    assert "zz" in set(after["item_id"])
