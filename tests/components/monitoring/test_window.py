"""Reading a window from the traffic log."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract.errors import MonitoringError
from components.contract.operations import MonitoringSettings
from components.monitoring.facts import REQUEST_COLUMNS
from components.monitoring.window import read_window
from components.service.traffic import TrafficLog
from components.service.traffic_records import TrafficRecord

START = datetime(2026, 1, 5)
SETTINGS = MonitoringSettings()
ITEMS = pl.DataFrame({"item_id": ["i1"], "title": ["oak"], "listed_at": [START - timedelta(days=3)]})


def record(number: int, at: datetime) -> TrafficRecord:
    return TrafficRecord(
        request_id=f"r{number}",
        at=at,
        entrance="search",
        release="a" * 64,
        query_sealed=None,
        user="f" * 32,
        query_characters=7,
        query_words=2,
        language="und",
        unknown_word_rate=0.5,
        query_vector=np.asarray([0.5, -0.5]),
        k=10,
        filters="{}",
        item_ids=["i1", "i2"],
        scores=[0.5, 0.25],
        zero_result=False,
        latency_ms=1.0,
    )


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    """A log as the service writes it, of two files, an answer every six hours from START on."""
    folder = tmp_path / "traffic"
    for part in (range(4), range(4, 8)):
        log = TrafficLog(folder)
        for number in part:
            log.write(record(number, START.replace(tzinfo=UTC) + timedelta(hours=6 * number)))
        log.close()
    return folder


def test_a_window_holds_the_answers_from_its_start_to_before_its_end(traffic: Path) -> None:
    end = START + timedelta(hours=24)
    window = read_window(traffic, ITEMS, START, end, SETTINGS)
    assert window.requests["at"].to_list() == [START + timedelta(hours=6 * n) for n in range(4)]
    assert dict(window.requests.schema) == REQUEST_COLUMNS


def test_times_of_other_zones_are_converted(traffic: Path) -> None:
    zone = timezone(timedelta(hours=6))
    start = datetime(2026, 1, 5, 6, tzinfo=zone)
    window = read_window(traffic, ITEMS, start, start + timedelta(hours=6), SETTINGS)
    assert (window.start, len(window.requests)) == (START, 1)


def test_the_columns_are_those_of_the_reference(traffic: Path) -> None:
    window = read_window(traffic, ITEMS, START, START + timedelta(hours=1), SETTINGS)
    row = window.requests.row(0, named=True)
    assert row["query_vector"] == [0.5, -0.5]
    assert (row["top_score"], row["mean_score"]) == (0.5, 0.375)
    assert (row["new_share"], row["new_score"]) == (0.5, 0.5)
    assert "user" not in row


def test_no_traffic_in_the_window_is_no_error(traffic: Path) -> None:
    assert read_window(traffic, ITEMS, START - timedelta(days=2), START, SETTINGS).requests.is_empty()


def test_no_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(MonitoringError, match="no traffic log"):
        read_window(tmp_path / "absent", ITEMS, START, START + timedelta(days=1), SETTINGS)


def test_a_damaged_file_is_said_and_the_others_are_read(
    traffic: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One bad file of months ago must not end the monitor."""
    bad = traffic / "requests" / "20270105T000000Z-1-0-1.parquet"
    bad.write_bytes(b"half")
    window = read_window(traffic, ITEMS, START, START + timedelta(days=1), SETTINGS)
    assert len(window.requests) == 4
    assert bad.name in caplog.text


def test_files_written_before_the_window_are_not_opened(
    traffic: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A year of them is there."""
    (traffic / "requests" / "20251231T000000Z-1-0-1.parquet").write_bytes(b"half")
    read_window(traffic, ITEMS, START, START + timedelta(days=1), SETTINGS)
    assert not caplog.text


def test_answers_that_are_cut_short_or_filtered_are_left_out(tmp_path: Path) -> None:
    """Scores and exposure of a top 5, or of one category, are none of the reference's."""
    log = TrafficLog(tmp_path / "traffic")
    at = START.replace(tzinfo=UTC)
    for number, changes in enumerate([{}, {"k": 5}, {"filters": '{"category": "Mugs"}'}, {"k": 100}]):
        log.write(replace(record(number, at), **changes))
    log.close()
    window = read_window(tmp_path / "traffic", ITEMS, START, START + timedelta(days=1), SETTINGS)
    assert (len(window.requests), window.left_out) == (2, 2)


def test_a_freshness_bonus_is_no_drift(tmp_path: Path) -> None:
    """Where the service raised what is fresh, the release's own ranking is compared; a log of before the
    columns were there is read as it stands."""
    plain, bonus = ("a", "b"), {"item_ids": ["i2", "i1"], "scores": [9.5, 9.0]}
    ranked = {"ranked_item_ids": ["i1", "i2"], "ranked_scores": [0.5, 0.25]}
    windows = {}
    for name, changes in zip(plain, ({}, bonus | ranked | {"exploration_positions": ()}), strict=True):
        log = TrafficLog(tmp_path / name)
        log.write(replace(record(0, START.replace(tzinfo=UTC)), **changes))
        log.close()
        windows[name] = read_window(tmp_path / name, ITEMS, START, START + timedelta(days=1), SETTINGS)
    assert windows["a"].requests.equals(windows["b"].requests)
    [file] = (tmp_path / "a" / "requests").glob("*.parquet")
    pl.read_parquet(file).drop("ranked_item_ids", "ranked_scores").write_parquet(file)
    older = read_window(tmp_path / "a", ITEMS, START, START + timedelta(days=1), SETTINGS)
    assert older.requests.equals(windows["a"].requests)


def test_of_a_large_window_a_share_is_read(traffic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hash of the request: twice the same ones."""
    monkeypatch.setattr("components.monitoring.window.MAX_REQUESTS", 4)
    first, second = (
        read_window(traffic, ITEMS, START, START + timedelta(days=2), SETTINGS).requests for _ in range(2)
    )
    assert 0 < len(first) < 8
    assert first.equals(second)
