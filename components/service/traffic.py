"""The traffic log: what was asked, what was shown and what was done with it, in rotated Parquet files.

`requests/` and `events/` under the log's folder hold files `<utc>-<pid>-<start>-<n>.parquet` with the columns
of traffic_records.SCHEMAS: utc, when the file was written; start, eight random hex digits of this log, for
replicas in containers all have the same pid; n, counted from 1. A file appears whole or not at all.
"""

import logging
import os
import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.errors import DebutError, StorageError
from components.contract.files import write_bytes
from components.service.traffic_records import SCHEMAS, ActRecord, Kind, TrafficRecord

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_WARN_SECONDS = 60.0
_SLICE = 500
_Row = dict[str, Any]


@dataclass
class _Buffer:
    """Rows of one kind that wait for their file."""

    rows: list[_Row] = field(default_factory=list)
    since: float = 0.0
    """When the oldest row came, by the log's clock."""


@dataclass
class _Flush:
    """A place in the queue: everything put in before it is to be in a file when `done` is set."""

    last: bool
    done: threading.Event = field(default_factory=threading.Event)
    error: DebutError | None = None


class TrafficLog:
    """Takes records without making a request wait; one thread writes them. To be opened in the process that
    serves: a fork does not take the thread along.

    A record that finds the queue full is dropped and counted. Where a file cannot be written its rows are
    kept and tried again every five seconds; past twice `rotate_rows` newer rows are dropped and counted.
    """

    def __init__(
        self,
        folder: Path,
        rotate_rows: int = 10_000,
        rotate_seconds: float = 60.0,
        max_queue: int = 10_000,
        remembered: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """rotate_rows, rotate_seconds: a file is written at so many rows, or when its oldest row is so old;
        remembered: request ids that `recent` knows; clock: seconds that never run backwards."""
        self._folder = folder
        self._rotate_rows = rotate_rows
        self._rotate_seconds = rotate_seconds
        self._remembered = remembered
        self._clock = clock
        self._queue: queue.Queue[tuple[Kind, _Row] | _Flush] = queue.Queue(max_queue)
        self._buffers: dict[Kind, _Buffer] = {"requests": _Buffer(), "events": _Buffer()}
        self._start = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._files = 0
        self._retry_at = float("-inf")
        self._marks = threading.Lock()  # so that no mark follows the last one
        self._lock = threading.Lock()  # of what several threads of requests change: the next four
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._dropped = 0
        self._warned_at = float("-inf")
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="traffic-log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Records that no file holds or will hold, since the log was opened."""
        return self._dropped

    def write(self, record: TrafficRecord | ActRecord) -> None:
        """Queues a record; never waits, and never raises for a full queue or disk.

        An act's column `joined` is `recent(request_id)` at this moment.
        """
        kind: Kind = "requests" if isinstance(record, TrafficRecord) else "events"
        row = record.row()
        if kind == "events":
            row["joined"] = self.recent(record.request_id)
        with self._lock:  # also against `close`: a row put in behind its mark would never be written
            taken = not self._closed and self._put(kind, row)
            if taken and kind == "requests":
                self._remember(record.request_id)
        if not taken:
            self._drop(1, "the queue is full" if not self._closed else "the log is closed")

    def recent(self, request_id: str) -> bool:
        """Whether this log took that request among its last `remembered` ones."""
        with self._lock:
            return request_id in self._recent

    def flush(self, timeout: float = 30.0) -> None:
        """Waits until everything written so far is in files; raises StorageError where it cannot be."""
        mark = _Flush(last=False)
        with self._marks:
            if self._closed:
                return
            self._queue.put(mark)  # the thread makes room
        if not mark.done.wait(timeout):
            raise StorageError(f"{self._folder}: the traffic log was not written within {timeout:g} s.")
        if mark.error is not None:
            raise mark.error

    def close(self) -> None:
        """Writes what is queued and ends the thread; what cannot be written is dropped, counted and logged.
        A second call does nothing."""
        with self._marks:
            with self._lock:
                first, self._closed = not self._closed, True
            if first:
                self._queue.put(_Flush(last=True))
        self._thread.join()

    def _put(self, kind: Kind, row: _Row) -> bool:
        try:
            self._queue.put_nowait((kind, row))
        except queue.Full:
            return False
        return True

    def _remember(self, request_id: str) -> None:
        self._recent[request_id] = None
        self._recent.move_to_end(request_id)
        if len(self._recent) > self._remembered:
            self._recent.popitem(last=False)

    def _drop(self, count: int, reason: str) -> None:
        """Counts lost records; says so at most once a minute."""
        with self._lock:
            self._dropped += count
            now = self._clock()
            due = now - self._warned_at >= _WARN_SECONDS
            self._warned_at = now if due else self._warned_at
        if due:
            logger.error("Traffic log: %s; %d records dropped so far.", reason, self._dropped)

    def _run(self) -> None:
        """The thread: takes entries one by one and writes files when they are due."""
        last = False
        while not last:
            entry = self._next()
            if isinstance(entry, _Flush):
                last = entry.last
                entry.error = self._write_all()
                entry.done.set()
            elif entry is not None:
                self._append(*entry)
            for kind, buffer in self._buffers.items():
                if self._due(buffer):
                    self._write(kind)
        for buffer in self._buffers.values():
            if buffer.rows:
                self._drop(len(buffer.rows), "the last rows could not be written")

    def _next(self) -> tuple[Kind, _Row] | _Flush | None:
        """The next entry; None where none came within a tenth of the rotation time (at most a second)."""
        try:
            return self._queue.get(timeout=min(1.0, max(0.01, self._rotate_seconds / 10)))
        except queue.Empty:
            return None

    def _append(self, kind: Kind, row: _Row) -> None:
        buffer = self._buffers[kind]
        if len(buffer.rows) >= 2 * self._rotate_rows:
            self._drop(1, "its files cannot be written")
            return
        if not buffer.rows:
            buffer.since = self._clock()
        buffer.rows.append(row)

    def _due(self, buffer: _Buffer) -> bool:
        now = self._clock()
        old = bool(buffer.rows) and now - buffer.since >= self._rotate_seconds
        return now >= self._retry_at and (old or len(buffer.rows) >= self._rotate_rows)

    def _write_all(self) -> DebutError | None:
        """Writes all buffers; the first error."""
        errors = [self._write(kind) for kind, buffer in self._buffers.items() if buffer.rows]
        return next((error for error in errors if error is not None), None)

    def _write(self, kind: Kind) -> DebutError | None:
        """One file of the buffered rows; keeps them where the disk refuses, drops them where they do not fit
        the columns (a defect of the caller's that would come back at every try)."""
        buffer = self._buffers[kind]
        self._files += 1
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self._start}-{self._files}.parquet"
        try:
            write_bytes(self._folder / kind / name, _parquet(kind, buffer.rows))
        except StorageError as error:
            logger.error("Traffic log: %s Trying again in %g s.", error, _RETRY_SECONDS)
            self._retry_at = self._clock() + _RETRY_SECONDS
            return error
        except Exception as error:
            logger.exception("Traffic log: %d rows do not fit the columns of %s", len(buffer.rows), kind)
            self._drop(len(buffer.rows), "rows did not fit their columns")
            buffer.rows = []
            return StorageError(f"{self._folder / kind}: rows did not fit the columns ({error}).")
        buffer.rows = []
        return None


def _parquet(kind: Kind, rows: list[_Row]) -> bytes:
    # In slices: pyarrow keeps the interpreter lock for a whole column of Python values, and requests wait.
    slices = range(0, len(rows), _SLICE)
    tables = [pa.Table.from_pylist(rows[start : start + _SLICE], schema=SCHEMAS[kind]) for start in slices]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables).combine_chunks(), sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data
