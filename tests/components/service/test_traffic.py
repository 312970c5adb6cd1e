"""The traffic log: nobody waits, files rotate, what is lost is counted."""

import logging
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.contract.errors import StorageError
from components.service import traffic
from components.service.traffic import TrafficLog
from components.service.traffic_records import ActRecord, TrafficRecord

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def request(number: int = 0, k: int = 10) -> TrafficRecord:
    return TrafficRecord(
        request_id=f"r-{number}",
        at=NOW,
        entrance="recommendation",
        release="d" * 64,
        query_sealed=None,
        user=None,
        query_characters=0,
        query_words=0,
        language="und",
        unknown_word_rate=0.0,
        query_vector=None,
        k=k,
        filters="{}",
        item_ids=["i1", "i2"],
        scores=[0.75, 0.5],
        zero_result=False,
        latency_ms=12.5,
    )


def act() -> ActRecord:
    return ActRecord(request_id="r-0", at=NOW, kind="view", item_id="i1", user=None)


def rows(folder: Path, kind: str) -> list[dict]:
    """All rows of a kind, in the order of the files' numbers."""
    files = sorted((folder / kind).glob("*.parquet"), key=lambda path: int(path.stem.rsplit("-", 1)[1]))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def wait_for(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.005)


def test_file_names_hold_time_process_and_number(tmp_path: Path) -> None:
    """They sort by time, and two logs of one process and second do not write over each other."""
    logs = [TrafficLog(tmp_path) for _ in range(2)]
    for log in logs:
        log.write(request())
        log.close()
    names = sorted(path.name for path in (tmp_path / "requests").iterdir())
    assert len(names) == 2
    for name in names:
        utc, pid, start, number = name.removesuffix(".parquet").split("-")
        assert abs(datetime.strptime(utc, "%Y%m%dT%H%M%S%z") - datetime.now(UTC)) < timedelta(minutes=5)
        assert (int(pid), len(start), number) == (os.getpid(), 8, "1")


def test_a_file_is_written_at_so_many_rows(tmp_path: Path) -> None:
    """Without flush or close; the rest waits for its time."""
    log = TrafficLog(tmp_path, rotate_rows=3, rotate_seconds=3_600)
    for number in range(7):
        log.write(request(number))
    wait_for(lambda: len(list((tmp_path / "requests").glob("*.parquet"))) == 2)
    assert [row["request_id"] for row in rows(tmp_path, "requests")] == [f"r-{n}" for n in range(6)]
    log.close()
    assert len(rows(tmp_path, "requests")) == 7


def test_a_file_is_written_when_its_oldest_row_is_old(tmp_path: Path) -> None:
    """Without further traffic."""
    log = TrafficLog(tmp_path, rotate_seconds=0.05)
    log.write(request())
    wait_for(lambda: len(rows(tmp_path, "requests")) == 1)
    log.close()


def test_only_the_last_requests_are_remembered(tmp_path: Path) -> None:
    """Memory is bounded; an id that comes again is new again."""
    log = TrafficLog(tmp_path, remembered=3)
    for number in (0, 1, 2, 0, 3):
        log.write(request(number))
    assert [log.recent(f"r-{number}") for number in range(4)] == [True, False, True, True]
    log.close()


def test_a_full_queue_drops_counts_and_warns_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the disk hangs nobody waits; each lost record is counted, and what was taken is written later."""
    held, entered, real = threading.Event(), threading.Event(), traffic.write_bytes

    def hang(path: Path, data: bytes) -> Path:
        entered.set()
        held.wait(30)
        return real(path, data)

    now = [0.0]
    monkeypatch.setattr(traffic, "write_bytes", hang)
    log = TrafficLog(tmp_path, rotate_rows=1, rotate_seconds=3_600, max_queue=5, clock=lambda: now[0])
    log.write(request(0))
    assert entered.wait(10)
    started = time.monotonic()
    for number in range(1, 11):
        log.write(request(number))
    assert time.monotonic() - started < 20  # a queue that waits for the writer takes 30 s
    assert log.dropped == 5
    assert not log.recent("r-10")
    now[0] = 61.0
    log.write(request(11))
    warnings = [record for record in caplog.records if "queue is full" in record.message]
    assert [record.levelno for record in warnings] == [logging.ERROR] * 2
    held.set()
    log.close()
    assert [row["request_id"] for row in rows(tmp_path, "requests")] == [f"r-{n}" for n in range(6)]
    assert log.dropped == 6


def test_flush_puts_all_into_files_and_the_log_goes_on(tmp_path: Path) -> None:
    """Both kinds; an empty flush makes no file."""
    log = TrafficLog(tmp_path)
    log.flush()
    assert list(tmp_path.iterdir()) == []
    log.write(request(0))
    log.write(act())
    log.flush()
    assert (len(rows(tmp_path, "requests")), len(rows(tmp_path, "events"))) == (1, 1)
    log.write(request(1))
    log.close()
    log.close()
    log.flush()
    assert len(rows(tmp_path, "requests")) == 2


def test_after_close_records_are_counted_as_dropped(tmp_path: Path) -> None:
    """A request that ends during shut-down does not fail."""
    log = TrafficLog(tmp_path)
    log.close()
    log.write(request())
    assert log.dropped == 1
    assert list(tmp_path.iterdir()) == []


def test_a_refusing_disk_is_tried_again_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flush` says so; once there is space the rows are written."""
    monkeypatch.setattr(traffic, "_RETRY_SECONDS", 0.02)
    (tmp_path / "requests").write_text("a file where the folder should be")
    log = TrafficLog(tmp_path, rotate_seconds=0.02)
    log.write(request(0))
    with pytest.raises(StorageError, match="requests"):
        log.flush()
    (tmp_path / "requests").unlink()
    wait_for(lambda: len(rows(tmp_path, "requests")) == 1)
    log.close()
    assert log.dropped == 0


def test_a_disk_that_stays_full_costs_bounded_memory_and_is_counted(tmp_path: Path) -> None:
    """Past twice the rotation newer rows are dropped; at the end so are those that were kept."""
    (tmp_path / "requests").write_text("a file where the folder should be")
    log = TrafficLog(tmp_path, rotate_rows=5, rotate_seconds=3_600)
    for number in range(40):
        log.write(request(number))
    log.write(act())
    wait_for(lambda: log.dropped == 30)
    log.close()
    assert log.dropped == 40
    assert len(rows(tmp_path, "events")) == 1


def test_a_row_that_does_not_fit_ends_neither_thread_nor_log(tmp_path: Path) -> None:
    """Its file's rows are counted as dropped; the next ones are written."""
    log = TrafficLog(tmp_path)
    log.write(request(0, k="ten"))
    with pytest.raises(StorageError, match="did not fit"):
        log.flush()
    log.write(request(1))
    log.close()
    assert (log.dropped, len(rows(tmp_path, "requests"))) == (1, 1)


def test_many_threads_lose_no_record(tmp_path: Path) -> None:
    """Each record is in a file exactly once."""
    log = TrafficLog(tmp_path, rotate_rows=37)

    def send(start: int) -> None:
        for number in range(start, start + 100):
            log.write(request(number))

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = [row["request_id"] for row in rows(tmp_path, "requests")]
    assert sorted(found) == sorted(f"r-{number}" for number in range(400))
