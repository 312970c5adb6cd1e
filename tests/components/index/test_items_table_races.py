"""Processes and threads that write live items at the same time, in a folder and on moto's S3 server."""

import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import lancedb
import polars as pl
import pytest
from lancedb.merge import LanceMergeInsertBuilder

from components.contract.errors import StorageError
from components.contract.live import LiveItem
from components.index import items_table
from components.index.items_table import ItemsTable
from components.index.lance_connection import CommitConflictError

pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")


ROOT = Path(__file__).parents[3]
# Says that it is ready, waits for the start signal, then PUTs and deletes.
WRITER = """
import sys, time
from pathlib import Path
from components.contract.live import LiveItem
from components.index.items_table import ItemsTable

uri, folder, name, rounds = sys.argv[1:]
table = ItemsTable.open(uri)
Path(folder, "ready-" + name).touch()
while not Path(folder, "go").exists():
    time.sleep(0.001)
for number in range(int(rounds)):
    table.upsert([LiveItem(item_id=f"shared-{number}", title=name)])
    table.upsert([LiveItem(item_id=f"{name}-{number}", title=name)])
    if number % 3 == 0:
        table.delete([f"{name}-{number}"])
print(len(table.changes_since(0)))
"""

# Opens a table in a folder that does not exist yet, at the same moment as others.
OPENER = """
import sys, time
from components.contract.live import LiveItem
from components.index.items_table import ItemsTable

uri, name, start = sys.argv[1:]
time.sleep(max(0.0, float(start) - time.time()))
ItemsTable.open(uri).upsert([LiveItem(item_id=name, title=name)])
"""


def start(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def start_writers(uri, folder, names, rounds):
    """Processes that begin to write when the file `go` appears in `folder`."""
    writers = [start(WRITER, uri, folder, name, rounds) for name in names]
    while len(list(folder.glob("ready-*"))) < len(names):
        assert all(writer.poll() is None for writer in writers)
    return writers


def put(item_id, title="mug", **more):
    return LiveItem(item_id=item_id, title=title, **more)


def snapshot(*item_ids, title="from the snapshot"):
    return pl.DataFrame(
        {"item_id": item_ids, "title": [title] * len(item_ids)}, {"item_id": pl.String, "title": pl.String}
    )


def stored_ids(uri):
    """item_ids of all rows, read without the adapter."""
    return lancedb.connect(uri).open_table("items").search().to_arrow()["item_id"].to_pylist()


def test_two_processes_write_at_the_same_time(table, tmp_path):
    """Nobody's item is lost, the items that both write have one row, and each process sees all."""
    names, rounds = ("left", "right"), 30
    writers = start_writers(table._uri, tmp_path, names, rounds)
    (tmp_path / "go").touch()
    seen = [int(writer.communicate(timeout=120)[0]) for writer in writers]
    assert max(seen) == rounds * 3
    rows = Counter(stored_ids(table._uri))
    assert set(rows.values()) == {1}
    assert len(rows) == rounds * 3
    for name in names:
        gone = {number for number in range(rounds) if table.get(f"{name}-{number}").item is None}
        assert gone == set(range(0, rounds, 3))


def test_maintenance_and_snapshots_beside_writers(table, tmp_path):
    """While two processes write, snapshots that hold the same ids come in and indices are refreshed, or say
    that writers came first too many times: every write stays, and no id has two rows."""
    names, rounds = ("left", "right"), 30
    writers = start_writers(table._uri, tmp_path, names, rounds)
    (tmp_path / "go").touch()
    ids = [*(f"shared-{number}" for number in range(40)), *(f"other-{number}" for number in range(2_000))]
    turns = 0
    while any(writer.poll() is None for writer in writers):
        table.seed(snapshot(*ids))
        with suppress(CommitConflictError):
            table.maintain()
            turns += 1
    assert turns > 0
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    rows = Counter(stored_ids(table._uri))
    assert set(rows.values()) == {1}
    assert len(rows) == len(ids) + 2 * rounds
    put_items = {f"shared-{number}" for number in range(rounds)}
    put_items |= {f"{name}-{number}" for name in names for number in range(rounds)}
    assert {change.item_id for change in table.changes_since(0)} == put_items


def test_processes_that_open_a_new_folder_together(uri):
    """One makes the table, and both write to it."""
    begin = time.time() + 4
    openers = [start(OPENER, uri, name, begin) for name in ("a", "b", "c")]
    assert [opener.wait(timeout=60) for opener in openers] == [0, 0, 0]
    assert sorted(stored_ids(uri)) == ["a", "b", "c"]


def test_threads_that_open_a_new_folder_together(uri):
    """The same within a process, where the moment is met exactly."""
    barrier = threading.Barrier(4)

    def open_and_write(number):
        barrier.wait()
        return ItemsTable.open(uri).upsert([put(str(number))])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_and_write, range(4)))
    assert ItemsTable.open(uri).count() == 4


CONFLICT = "lance error: Too many concurrent writers. Attempted 10 retries., /x/retry.rs:103:9"


def test_a_conflict_is_tried_again(table, monkeypatch):
    """Lance gives up after ten attempts of its own; the write then begins anew."""
    execute, failures = LanceMergeInsertBuilder.execute, [RuntimeError(CONFLICT)] * 2
    monkeypatch.setattr(items_table, "PAUSE_SECONDS", 0.001)

    def fail_twice(*arguments):
        if failures:
            raise failures.pop()
        return execute(*arguments)

    monkeypatch.setattr(LanceMergeInsertBuilder, "execute", fail_twice)
    table.upsert([put("a")])
    assert table.count() == 1
    assert failures == []


def test_the_later_of_two_writes_has_the_higher_seq(table, uri, monkeypatch):
    """Also where its writer's clock is behind: replicas take a change by its seq alone. So does a DELETE."""
    behind = ItemsTable.open(uri)
    first = table.upsert([put("x", "first"), put("y", "first")])
    monkeypatch.setattr(items_table.time, "time_ns", lambda: first - 5 * 10**9)
    second = behind.upsert([put("x", "second"), put("z", "second")])
    deleted = behind.delete(["y"])
    assert first < second < deleted
    rows = {change.item_id: change for change in table.changes_since(0)}
    assert {item_id: change.seq for item_id, change in rows.items()} == {
        "x": second,
        "y": deleted,
        "z": second,
    }
    assert (rows["x"].item.title, rows["y"].item) == ("second", None)


def test_endless_conflicts_are_reported(table, monkeypatch):
    """After a bounded number of attempts, in one sentence."""
    attempts = []

    def fail(*arguments):
        attempts.append(arguments)
        raise RuntimeError(CONFLICT)

    monkeypatch.setattr(items_table, "PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(LanceMergeInsertBuilder, "execute", fail)
    with pytest.raises(StorageError, match="other writers' changes came first too many times"):
        table.upsert([put("a")])
    assert len(attempts) == items_table.ATTEMPTS


def test_a_table_on_s3(bucket):
    """The same as in a folder: write, delete, seed, maintain, and a later process finds it all."""
    table = ItemsTable.open(bucket)
    table.upsert([put("mug-1", "Red mug", price=7.25)])
    table.delete(["gone"])
    assert table.seed(snapshot("mug-1", "gone", "new")) == 2
    table.maintain()
    again = ItemsTable.open(f"{bucket}/")
    assert again.get("mug-1").item == put("mug-1", "Red mug", price=7.25)
    assert [change.item_id for change in again.changes_since(0)] == ["mug-1", "gone"]


def test_two_processes_write_to_s3(bucket, tmp_path):
    """Conditional writes decide: nothing is lost, and no id has two rows."""
    table, names, rounds = ItemsTable.open(bucket), ("left", "right"), 8
    writers = start_writers(bucket, tmp_path, names, rounds)
    (tmp_path / "go").touch()
    seen = [int(writer.communicate(timeout=120)[0]) for writer in writers]
    assert max(seen) == rounds * 3
    assert len(table.changes_since(0)) == rounds * 3
    assert table.count() == rounds * 3 - 2 * len(range(0, rounds, 3))
