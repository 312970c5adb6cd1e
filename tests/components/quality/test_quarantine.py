import csv
from datetime import datetime

import polars as pl
import pytest

from components.contract.errors import ConfigError, DataError
from components.contract.settings import QualitySettings
from components.quality import checks, quarantine


@pytest.fixture
def found(loaded, table, tmp_path) -> pl.DataFrame:
    items = table(
        "items", {}, {"item_id": "B2", "title": None, "price": float("nan")}, {"title": '=1+1, "x"\n2'}
    )
    events = table("events", {"kind": "refund", "at": datetime(2024, 1, 1, 1, 1, 1, 500)})
    checks.inspect(loaded(items=items, events=events), QualitySettings(), tmp_path / "out")
    return quarantine.read(tmp_path / "out")


def test_read_without_a_run(tmp_path) -> None:
    """Before the first run there is no quarantine, and the message says what to do."""
    with pytest.raises(DataError, match="run `debut check` first"):
        quarantine.read(tmp_path)


def test_counts(found) -> None:
    """Bad rows are counted per table and expectation."""
    assert quarantine.counts(found).select("table", "column", "rows").rows() == [
        ("events", "kind", 1),
        ("items", "title", 1),
        ("items", "price", 1),
        ("items", "item_id", 1),
    ]


def test_export(found, tmp_path) -> None:
    """The export has one line per bad row: its reasons, its key, and every cell as it was."""
    assert quarantine.export(found, tmp_path / "bad.csv") == 3
    with (tmp_path / "bad.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines[0]["reason"] == "title is given; price is a number (not NaN or infinite)"
    assert (lines[0]["table"], lines[0]["source_row"], lines[0]["price"]) == ("items", "2", "NaN")
    assert lines[1]["title"] == '=1+1, "x"\n2'
    assert (lines[2]["table"], lines[2]["at"], lines[2]["title"]) == (
        "events",
        "2024-01-01 01:01:01.000500",
        "",
    )


def test_export_to_parquet_and_elsewhere(found, tmp_path) -> None:
    """Parquet holds the same cells; another suffix is refused."""
    quarantine.export(found, tmp_path / "bad.parquet")
    assert pl.read_parquet(tmp_path / "bad.parquet").equals(quarantine.bad_rows(found))
    with pytest.raises(ConfigError, match=r"\.csv or \.parquet"):
        quarantine.export(found, tmp_path / "bad.xlsx")


def test_an_export_makes_no_folder(found, tmp_path) -> None:
    """A mistyped place is refused with its name."""
    with pytest.raises(ConfigError, match=r"there is no folder .*/nowhere; make it"):
        quarantine.export(found, tmp_path / "nowhere" / "bad.csv")
    assert not (tmp_path / "nowhere").exists()


def test_export_of_nothing(found, tmp_path) -> None:
    """An empty quarantine exports to a header."""
    assert quarantine.export(found.clear(), tmp_path / "bad.csv") == 0
