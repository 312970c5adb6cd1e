from typing import Any

import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.records import LoadedData
from components.contract.settings import Settings
from components.quality.missing import require_rows, warnings

SELECTS = {
    "items": "SELECT * FROM feed",
    "events": "SELECT * FROM Clicks JOIN feed USING (sku)",
    "judgements": "SELECT * FROM judged",
    "reviews": "SELECT * FROM clicks_old",
}


def shop(*tables: str, method: str = "auto") -> Settings:
    names = ("feed", "clicks", "judged", "clicks_old")
    return Settings.model_validate(
        {
            "shop": "s",
            "sources": {name: {"path": f"{name}.csv"} for name in names},
            "tables": {name: SELECTS[name] for name in ("items", *tables)},
            "split": {"method": method},
        }
    )


def loaded(**rows: int) -> LoadedData:
    return LoadedData(path="", digest="", input_digests={}, rows={"items": 9} | rows, control_characters={})


@pytest.mark.parametrize(
    ("method", "rows", "named"),
    [
        ("auto", {"events": 0}, "tables.events gives no row (feed.csv, clicks.csv)"),
        ("auto", {"events": 9, "judgements": 0}, "tables.judgements gives no row (judged.csv)"),
        ("by_time", {"events": 0, "judgements": 9}, "tables.events gives no row"),
        ("by_item", {"judgements": 0}, "tables.judgements gives no row"),
        ("auto", {"events": 0, "judgements": 9}, None),
        ("by_time", {"events": 9, "judgements": 0}, None),
        ("auto", {"reviews": 0}, None),
        ("auto", {}, None),
    ],
)
def test_the_table_to_judge_by_needs_a_row(method: str, rows: dict[str, int], named: str | None) -> None:
    """Its files are named; a shop without any such table is checked all the same."""
    settings = shop(*rows, method=method)
    if named is None:
        require_rows(loaded(**rows), settings)
        return
    with pytest.raises(DataError) as told:
        require_rows(loaded(**rows), settings)
    assert str(told.value).startswith(named)


def test_other_empty_tables_are_warned_of(tmp_path: Any) -> None:
    """With their own files: `clicks` is no part of the name clicks_old."""
    rows = {"events": 0, "judgements": 9, "reviews": 0}
    events, reviews = warnings(loaded(**rows), tmp_path, shop(*rows))
    assert events.startswith("tables.events gives no row (feed.csv, clicks.csv); check the SELECT")
    assert reviews.startswith("tables.reviews gives no row (clicks_old.csv); check the SELECT")


@pytest.mark.parametrize(
    ("queries", "told"),
    [
        ([None, None], "2 of 2 search_clicks have no query: search is not trained or judged by them"),
        (["lamp", None], "1 of 2 search_clicks has no query"),
        (["lamp", "mug"], None),
        ([], None),
    ],
)
def test_searches_without_a_query_are_counted(
    tmp_path: Any, table: Any, queries: list[str | None], told: str | None
) -> None:
    """A purchase needs none."""
    clicks = [{"kind": "search_click", "query": query} for query in queries]
    frame: pl.DataFrame = table("events", {}, *clicks)
    frame.write_parquet(tmp_path / "events.parquet")
    found = warnings(loaded(events=3), tmp_path, shop("events"))
    assert [sentence.startswith(told or "") for sentence in found] == ([True] if told else [])
