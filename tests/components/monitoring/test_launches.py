"""Undiscoverable items by launch."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from components.contract.errors import MonitoringError
from components.contract.files import write_json
from components.monitoring.launches import undiscoverable_launches

MONDAY = datetime(2026, 3, 2)


@pytest.fixture
def counted(tmp_path: Path):
    """The counts where an item is listed after each of these numbers of days, and these items are hidden."""

    def count(days: list[int | None], hidden: list[str], checked: int | None = None):
        listed = [None if day is None else MONDAY + timedelta(days=day) for day in days]
        ids = [f"i{number}" for number in range(len(days))]
        items = pl.DataFrame(
            {"item_id": [*ids, "old"], "listed_at": [*listed, MONDAY], "is_new": [True] * len(ids) + [False]},
            schema_overrides={"listed_at": pl.Datetime("us")},
        )
        items.write_parquet(tmp_path / "items.parquet")
        told = {"undiscoverable": len(hidden), "checked": len(ids) if checked is None else checked}
        told |= {"items": [{"item_id": item_id} for item_id in hidden]}
        write_json(tmp_path / "undiscoverable.json", told)
        return undiscoverable_launches(tmp_path / "undiscoverable.json", tmp_path)

    return count


def test_items_are_counted_by_week_of_listing(counted) -> None:
    """From the newest item back; the items that are not new do not count."""
    found = counted([0, 1, 8, 15, 22, 22], ["i0", "i5"])
    assert (found.found, found.checked) == (2, 6)
    assert found.launches == ((1, 2), (0, 1), (0, 1), (1, 2))


def test_items_of_few_weeks_are_counted_by_day(counted) -> None:
    assert counted([0, 1, 2, 3, 3], ["i4"]).launches == ((1, 2), (0, 1), (0, 1), (0, 1))


@pytest.mark.parametrize("days", [[0, 0, 1, 2], [0, 1, 2, 3, None]])
def test_few_days_and_undated_items_have_no_launches(counted, days) -> None:
    found = counted(days, ["i1"])
    assert (found.found, found.checked, found.launches) == (1, len(days), ())


def test_another_sample_than_was_checked_has_no_launches(counted) -> None:
    assert counted([0, 1, 2, 3, 4], ["i1"], checked=3).launches == ()


def test_a_damaged_summary_says_so(tmp_path: Path) -> None:
    (tmp_path / "undiscoverable.json").write_text("half")
    with pytest.raises(MonitoringError, match="damaged"):
        undiscoverable_launches(tmp_path / "undiscoverable.json", tmp_path)
