"""The report on undiscoverable items: figures, CSV, JSON."""

import csv
import json
import math
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from components.contract.errors import StorageError
from components.evaluation.likely_queries import LikelyQuery
from components.evaluation.undiscoverable_report import SCHEMA, UndiscoverableItem, UndiscoverableReport


def item(**changes: object) -> UndiscoverableItem:
    values: dict[str, object] = {
        "item_id": "i1",
        "title": "Oak lamp",
        "category": "Home > Lamps",
        "brand": None,
        "listed_at": datetime(2024, 5, 1),
        "first_seen": datetime(2024, 5, 1),
        "age_days": 3.5,
        "reason": "outranked",
        "fix": "Say more.",
        "best_query": "oak lamp",
        "best_place": 14,
        "queries": (LikelyQuery("oak lamp", "own words"), LikelyQuery("lamp", "asked for similar items")),
        "crowding": ("i2", "i3"),
    }
    return UndiscoverableItem(**(values | changes))  # type: ignore[arg-type]


def report(*items: UndiscoverableItem, checked: int = 50, new_items: int = 50) -> UndiscoverableReport:
    return UndiscoverableReport("model", 10, new_items, checked, 99, items)


@pytest.mark.parametrize(("count", "checked"), [(0, 5), (1, 5), (5, 5), (37, 2_000)])
def test_the_interval_is_wilsons(count, checked):
    """Against the closed form (Wilson 1927)."""
    z, share = 1.959963984540054, count / checked
    centre = share + z**2 / (2 * checked)
    half = z * math.sqrt(share * (1 - share) / checked + z**2 / (4 * checked**2))
    expected = [(centre - half) / (1 + z**2 / checked), (centre + half) / (1 + z**2 / checked)]
    found = report(*[item()] * count, checked=checked)
    assert found.share == share
    assert found.interval == pytest.approx(expected, abs=1e-9)


def test_every_reason_is_counted_and_absent_ones_read_zero():
    found = report(item(), item(reason="no title"), item(reason="no title"))
    assert found.by_reason == {
        "no title": 2,
        "unknown words": 0,
        "filtered": 0,
        "near-duplicates": 0,
        "outranked": 1,
    }


def test_the_sentence_says_when_a_sample_was_checked():
    assert "fixed sample of 10,934" in report(item(), checked=2_000, new_items=10_934).sentence
    assert "sample" not in report(item()).sentence
    assert report(item()).sentence.startswith("1 of 50 new items are in the top 10 of none")


def test_without_checked_items_there_is_no_share():
    empty = report(checked=0, new_items=0)
    assert (empty.share, empty.interval, empty.sentence) == (None, None, "No new item was checked.")
    assert empty.as_json()["interval"] is None


def test_the_frame_has_a_row_per_item_and_its_columns_also_when_empty():
    assert report().to_frame().schema == pl.Schema(SCHEMA)
    row = report(item()).to_frame().row(0, named=True)
    assert row["queries"] == ["oak lamp", "lamp"]
    assert row["query_sources"] == ["own words", "asked for similar items"]
    assert (row["crowding"], row["age_days"], row["best_place"]) == (["i2", "i3"], 3.5, 14)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])
def test_no_cell_of_the_csv_starts_a_formula(tmp_path: Path, start):
    evil = f'{start}cmd|" /c calc"!A1'
    bad = item(
        item_id=evil,
        title=evil,
        category=evil,
        brand=evil,
        fix=evil,
        best_query=evil,
        queries=(LikelyQuery(evil, "own words"),),
        crowding=(evil, evil),
    )
    path = report(bad).write_csv(tmp_path / "new" / "undiscoverable.csv")
    with path.open(encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    cells = dict(zip(header, row, strict=True))
    for name in ("item_id", "title", "category", "brand", "fix", "best_query", "queries"):
        assert cells[name] == "'" + evil
    assert cells["crowding"] == f"'{evil} | {evil}"


def test_harmless_cells_stay_as_they_are(tmp_path: Path):
    path = report(item(title="3-inch lamp = nice, “cheap”", brand=None)).write_csv(tmp_path / "u.csv")
    row = pl.read_csv(path).row(0, named=True)
    assert (row["title"], row["brand"]) == ("3-inch lamp = nice, “cheap”", None)
    assert (row["best_place"], row["crowding"], row["queries"]) == (14, "i2 | i3", "oak lamp | lamp")


def test_a_file_that_cannot_be_written_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        report(item()).write_csv(tmp_path / "file" / "u.csv")


def test_as_json_survives_json():
    value = report(item(), checked=4, new_items=9).as_json()
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert (value["checked"], value["new_items"], value["undiscoverable"], value["share"]) == (4, 9, 1, 0.25)
    (one,) = value["items"]
    assert one["first_seen"] == "2024-05-01T00:00:00"
    assert one["queries"][1] == {"text": "lamp", "source": "asked for similar items"}
