"""The shop's live items: one LanceDB table, a row per item (docs/decisions/0006-serving.md)."""

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

import lancedb
import polars as pl
import pyarrow as pa
from lancedb.expr import Expr, col, lit
from lancedb.index import BTree

from components.contract.errors import StorageError
from components.contract.live import Change, LiveItem
from components.contract.paths import at_home
from components.index.empty_table import create_if_absent
from components.index.item_rows import (
    SCHEMA,
    change,
    is_unicode,
    put_rows,
    snapshot_rows,
    stamped,
    tombstones,
)
from components.index.lance_connection import S3_SCHEME, CommitConflictError, connect, lance_errors
from components.index.synced_folder import SyncedFolder

TABLE = "items"
INDEXED = ("item_id", "seq")
ATTEMPTS = 6
"""Of one write while others write; each of them is repeated by Lance up to ten times."""
PAUSE_SECONDS = 0.2
"""Longest wait before the second attempt; doubles for each further one."""
COMMIT_SECONDS = 5.0
"""A write that took longer is repeated with a new seq: readers look back 10 s from the newest they know."""
OLDER = "target.seq < source.seq"
"""Of two writes at the same time Lance repeats one by itself: without this an item's row could end with the
lower seq, which no replica that knows the higher one would take."""
REMEMBERED = 1_000
"""Changes of the last poll that are kept, so that the next one has nothing to read while nobody writes."""
KEPT_VERSIONS = timedelta(hours=1)
"""A read that began on an older version than that may fail."""

T = TypeVar("T")


class ItemsTable:
    """The live items at one address; see `open`. Every method raises StorageError where the address
    cannot be read or written. Threads may share an object; several processes may write at the same time."""

    def __init__(self, uri: str, storage_options: Mapping[str, str] | None = None) -> None:
        """Use `open`."""
        self._uri = uri if "://" in uri else str(at_home(uri))
        connection = connect(self._uri, storage_options)
        self._folder = None if uri.startswith(S3_SCHEME) else SyncedFolder(Path(self._uri))
        self._table = self._retried(lambda: _open_or_create(connection, self._uri))
        self._clock = threading.Lock()
        self._last_seq = 0
        self.head()
        self._polled: tuple[int, int, list[Change]] = (0, 0, [])
        """A version of the table, a seq, and the changes beyond it, where they are few."""

    @classmethod
    def open(cls, uri: str, storage_options: Mapping[str, str] | None = None) -> Self:
        """The table in a local folder or under s3://bucket/prefix; it is made where there is none.

        On S3 the endpoint, credentials and region come from the variables that boto3 reads;
        `storage_options` are Lance's others. Raises ConfigError for an address of another kind.
        """
        return cls(uri, storage_options)

    def upsert(self, items: Sequence[LiveItem]) -> int:
        """Writes items over what was there; of an item_id given twice the last. Returns their common seq.

        When it returns, the items outlive a power cut and every process's next read finds them.
        """
        return self._write(put_rows(items))

    def delete(self, item_ids: Sequence[str]) -> int:
        """Marks items as deleted, also ids that the table has never seen: a release's snapshot may hold
        them. Durable as `upsert`; returns the seq. Raises DataError for an id that is no Unicode text."""
        return self._write(tombstones(item_ids))

    def changes_since(self, seq: int) -> list[Change]:
        """What was PUT or deleted after `seq`, the last change of each item, by seq, then item_id."""
        table = self._latest()
        with lance_errors(self._uri):
            version = table.version
        polled, since, known = self._polled
        if polled == version and since <= seq:
            # Most polls: a scan slows down with every write until `maintain`, and on S3 it is paid for.
            return [one for one in known if one.seq > seq]
        rows = self._rows(col("seq") > lit(max(seq, 0)), table)
        rows.sort(key=lambda row: (row["seq"], row["item_id"]))
        self._seen(rows[-1]["seq"] if rows else 0)
        changes = [change(row) for row in rows]
        if len(changes) <= REMEMBERED:
            self._polled = version, seq, list(changes)
        return changes

    def head(self) -> int:
        """The highest seq in the table; 0 where nothing was PUT or deleted yet."""
        with lance_errors(self._uri):
            query = self._latest().search().where(col("seq") > lit(0)).select(["seq"])
            column = query.to_arrow()["seq"]
        return self._seen(max(column.to_pylist(), default=0))

    def get(self, item_id: str) -> Change | None:
        """The item's row; None where the table has none."""
        if not is_unicode(item_id):
            return None
        rows = self._rows(col("item_id") == lit(item_id), self._latest())
        return change(rows[0]) if rows else None

    def seed(self, snapshot: pl.DataFrame) -> int:
        """Puts a release's items (contract columns; absent ones become null) beneath what was PUT.

        Items of an earlier snapshot that are not in this one are removed; what was PUT or deleted stays
        as it is. One commit. Returns the number of live items. Call `maintain` afterwards. Raises
        DataError where a row of the snapshot has no item_id, or another row's.
        """
        rows = snapshot_rows(snapshot)

        def put_beneath() -> None:
            merge = self._latest().merge_insert("item_id").when_not_matched_insert_all()
            merge = merge.when_matched_update_all(where="target.seq = 0")
            merge.when_not_matched_by_source_delete(col("seq") == lit(0)).execute(rows)

        self._retried(put_beneath)
        return self.count()

    def maintain(self) -> None:
        """Makes absent indices, brings them up to date, merges small files, and removes versions older
        than an hour. Others may write meanwhile. Every operation slows down by about 0.15 ms for each
        write since the last call: call it every hundred writes or so, and after `seed`.
        """

        def maintained() -> None:
            table = self._latest()
            _create_indices(table)
            table.optimize(cleanup_older_than=KEPT_VERSIONS)

        self._retried(maintained)

    def count(self) -> int:
        """Live items: rows that are not deleted."""
        table = self._latest()
        with lance_errors(self._uri):
            return int(table.count_rows("deleted = false"))

    def _latest(self) -> Any:
        """The table as it is now. One listing on S3; a read consistency interval of 0 would make five."""
        with lance_errors(self._uri):
            self._table.checkout_latest()
        return self._table

    def _rows(self, condition: Expr, table: Any) -> list[dict[str, Any]]:
        with lance_errors(self._uri):
            rows: list[dict[str, Any]] = table.search().where(condition).to_arrow().to_pylist()
        return rows

    def _write(self, rows: pa.Table) -> int:
        """Replaces the rows of these items; the seq that they got."""
        if not len(rows):
            return self._last_seq

        def merge() -> tuple[int, float]:
            seq, began = self._next_seq(), time.monotonic()
            upsert = self._latest().merge_insert("item_id").when_matched_update_all(where=OLDER)
            done = upsert.when_not_matched_insert_all().execute(stamped(rows, seq))
            if done.num_inserted_rows + done.num_updated_rows < len(rows):
                self.head()  # so that the next seq exceeds what came in between
                raise CommitConflictError(f"{self._uri}: others write the same items all the time.")
            return seq, time.monotonic() - began

        for _ in range(ATTEMPTS):
            seq, seconds = self._retried(merge)
            if seconds <= COMMIT_SECONDS:
                return seq
        raise StorageError(
            f"{self._uri}: writing {len(rows)} items took {seconds:.0f} s, more than {COMMIT_SECONDS:.0f}; "
            f"other servers may miss them. Send fewer at a time."
        )

    def _retried(self, act: Callable[[], T]) -> T:
        """`act` while other writers' commits get in its way; what it wrote is on the disk afterwards."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._forced(), lance_errors(self._uri):
                    return act()
            except CommitConflictError:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(random.uniform(0, PAUSE_SECONDS * 2 ** (attempt - 1)))
        raise AssertionError

    def _forced(self) -> AbstractContextManager[None]:
        return self._folder.forced() if self._folder else nullcontext()

    def _next_seq(self) -> int:
        with self._clock:
            self._last_seq = max(time.time_ns(), self._last_seq + 1)
            return self._last_seq

    def _seen(self, seq: int) -> int:
        """`seq`, which later writes of this process will exceed."""
        with self._clock:
            self._last_seq = max(self._last_seq, seq)
        return seq


def _open_or_create(connection: lancedb.DBConnection, uri: str) -> Any:
    try:
        return connection.open_table(TABLE)
    except ValueError as error:
        if "was not found" not in str(error):
            raise
    create_if_absent(uri, TABLE, SCHEMA)
    table = connection.open_table(TABLE)
    _create_indices(table)
    return table


def _create_indices(table: Any) -> None:
    present = {column for index in table.list_indices() for column in index.columns}
    for index in table.list_indices():
        if not set(index.columns) <= set(INDEXED):  # an earlier version indexed words
            table.drop_index(index.name)
    for column in INDEXED:
        if column not in present:
            table.create_index(column, config=BTree())
