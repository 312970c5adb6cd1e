"""The live items' table, in a real LanceDB: in a folder, and on moto's S3 server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lancedb
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lancedb.index import FTS
from lancedb.merge import LanceMergeInsertBuilder

from components.contract.errors import DataError, StorageError
from components.contract.live import Change, LiveItem
from components.index import items_table
from components.index.items_table import ItemsTable

pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")

ROOT = Path(__file__).parents[3]
FULL = LiveItem(
    item_id="mug-1",
    title="Red mug",
    description='Holds 0.3 l. It\'s "solid".',
    brand="Potter & Sons",
    category="Kitchen > Cups",
    price=7.25,
    attributes="colour: red; material: clay",
    image="https://shop.example/mug.jpg",
    listed_at=datetime(2026, 3, 1, 12, 30, 0, 123456),
    group_id="mugs",
    in_stock=False,
)


def put(item_id, title="mug", **more):
    return LiveItem(item_id=item_id, title=title, **more)


def snapshot(*item_ids, title="from the snapshot"):
    return pl.DataFrame(
        {"item_id": item_ids, "title": [title] * len(item_ids)}, {"item_id": pl.String, "title": pl.String}
    )


def stored_ids(uri):
    """item_ids of all rows, read without the adapter."""
    return lancedb.connect(uri).open_table("items").search().to_arrow()["item_id"].to_pylist()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One table for all examples of the property tests."""
    return ItemsTable.open(str(tmp_path_factory.mktemp("shared")))


# What was PUT is there.


def test_a_new_table_is_empty(table):
    """Nothing in it, and 0 is where its changes begin."""
    assert (table.head(), table.count(), table.changes_since(0)) == (0, 0, [])
    assert table.get("1") is None


def test_an_item_comes_back_as_it_was_put(table):
    """Every column, from this object and from one opened later."""
    seq = table.upsert([FULL])
    assert table.get("mug-1") == Change(item_id="mug-1", seq=seq, item=FULL)
    assert ItemsTable.open(table._uri).get("mug-1") == table.get("mug-1")


def test_absent_columns_come_back_absent(table):
    """None stays None, an empty title empty."""
    table.upsert([put("1", title="")])
    assert table.get("1").item == put("1", title="")


def test_aware_times_are_stored_in_utc(table):
    """The table holds naive UTC."""
    table.upsert([put("1", listed_at=datetime(2026, 1, 1, 1, tzinfo=UTC) - timedelta(hours=2))])
    assert table.get("1").item.listed_at == datetime(2025, 12, 31, 23)


def test_one_call_has_one_seq(table):
    """Its items share it, and its changes come in item_id order."""
    seq = table.upsert([put("b"), put("a"), put("c")])
    assert [(change.item_id, change.seq) for change in table.changes_since(0)] == [
        ("a", seq),
        ("b", seq),
        ("c", seq),
    ]
    assert table.head() == seq


def test_of_an_id_given_twice_the_last_is_kept(table):
    """In one call and over two calls."""
    table.upsert([put("1", "old"), put("2"), put("1", "new")])
    assert table.get("1").item.title == "new"
    table.upsert([put("1", "newest")])
    assert table.get("1").item.title == "newest"
    assert table.count() == 2


def test_writing_nothing_changes_nothing(table):
    """The seq is the last one."""
    seq = table.upsert([put("1")])
    assert table.upsert([]) == table.delete([]) == table.head() == seq


def test_a_deleted_item_leaves_a_tombstone(table):
    """Also where the table has never seen the id; the texts are gone."""
    table.upsert([put("1"), put("2")])
    seq = table.delete(["1", "only in a release", "1"])
    assert table.changes_since(seq - 1) == [
        Change(item_id="1", seq=seq, item=None),
        Change(item_id="only in a release", seq=seq, item=None),
    ]
    assert table.get("1") == Change(item_id="1", seq=seq, item=None)
    assert table.count() == 1


def test_a_deleted_item_can_be_put_again(table):
    """The tombstone gives way."""
    table.delete(["1"])
    seq = table.upsert([put("1")])
    assert table.changes_since(0) == [Change(item_id="1", seq=seq, item=put("1"))]


def test_an_id_that_is_no_text_is_refused(table):
    """Half a surrogate pair cannot be stored: nothing is deleted, and nothing is found."""
    with pytest.raises(DataError, match="nothing was deleted"):
        table.delete(["1", "\ud800"])
    assert table.get("1") is None
    assert table.get("\ud800") is None


# Any id and any words.

IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=200)


@settings(max_examples=60, deadline=None)
@given(IDS)
@example("O'Brien")
@example("'; DROP TABLE items; --")
@example('"a" `b` \\')
@example("\\'")
@example("%_ ${x} {0} ?")
@example("1 OR 1=1")
@example("null")
@example(" ")
@example("é")
@example("e\u0301")
@example("\U0001f600" * 200)
def test_any_id_round_trips(shared, item_id):
    """PUT, get and delete find this item and no other."""
    shared.upsert([put(item_id, "same"), put("another", "other")])
    live = shared.count()
    assert shared.get(item_id).item == put(item_id, "same" if item_id != "another" else "other")
    seq = shared.delete([item_id])
    assert shared.get(item_id) == Change(item_id=item_id, seq=seq, item=None)
    assert shared.changes_since(seq - 1) == [shared.get(item_id)]
    assert shared.count() == live - 1


# seq.


def test_changes_begin_after_the_seq_that_is_given(table):
    """Ascending, the newest change of each item, and asking twice or for less gives the same."""
    first, second = table.upsert([put("a")]), table.upsert([put("b")])
    third = table.upsert([put("a", "new")])
    for _ in range(2):
        assert [(c.item_id, c.seq) for c in table.changes_since(first)] == [("b", second), ("a", third)]
        assert [(c.item_id, c.seq) for c in table.changes_since(second)] == [("a", third)]
        assert table.changes_since(third) == []
    assert len(table.changes_since(0)) == 2


def test_a_poll_reads_nothing_while_nobody_writes(table, monkeypatch):
    """Replicas ask every second for the changes since ten seconds before the last one they know."""
    seqs = [table.upsert([put(str(number))]) for number in range(5)]
    reads, read = [], ItemsTable._rows
    monkeypatch.setattr(ItemsTable, "_rows", lambda *args: (reads.append(1), read(*args))[1])
    first = table.changes_since(seqs[1])
    assert [change.seq for change in first] == seqs[2:]
    assert [table.changes_since(seqs[1]), table.changes_since(seqs[3])] == [first, first[2:]]
    assert len(reads) == 1
    assert [change.seq for change in table.changes_since(0)] == seqs
    ItemsTable.open(table._uri).delete(["0"])
    assert [change.item_id for change in table.changes_since(seqs[3])] == ["4", "0"]
    assert len(reads) == 3


def test_many_changes_are_not_kept_in_memory(table, monkeypatch):
    monkeypatch.setattr(items_table, "REMEMBERED", 2)
    table.upsert([put(str(number)) for number in range(3)])
    assert len(table.changes_since(0)) == len(table.changes_since(0)) == 3
    assert table._polled[2] == []


def test_another_writers_changes_are_seen_at_once(table):
    """After polls that found nothing, too."""
    other = ItemsTable.open(table._uri)
    assert table.changes_since(0) == table.changes_since(0) == []
    seq = other.upsert([put("a")])
    assert [change.seq for change in table.changes_since(0)] == [seq]
    assert table.changes_since(seq) == []
    later = other.delete(["b"])
    assert [change.seq for change in table.changes_since(seq)] == [later]


def test_seq_grows_though_the_clock_goes_back(table, monkeypatch):
    """In one object, in one opened later, and in one that has read the newer changes."""
    bystander = ItemsTable.open(table._uri)
    first = table.upsert([put("a")])
    monkeypatch.setattr("time.time_ns", lambda: 1_000)
    second = table.upsert([put("b")])
    third = ItemsTable.open(table._uri).upsert([put("c")])
    bystander.changes_since(0)
    assert first < second < third < bystander.upsert([put("d")])


def test_threads_of_one_object_get_different_seqs(table):
    """All their writes stay."""
    with ThreadPoolExecutor(4) as pool:
        seqs = list(pool.map(lambda number: table.upsert([put(str(number))]), range(24)))
    assert len(set(seqs)) == 24
    assert [change.seq for change in table.changes_since(0)] == sorted(seqs)


def test_a_write_that_took_too_long_gets_a_new_seq(table, monkeypatch):
    """Readers look back a few seconds only: the seq that is returned was issued shortly before the commit."""
    execute, seconds = LanceMergeInsertBuilder.execute, iter([100.0])
    now = 0.0

    def slow_at_first(*arguments):
        nonlocal now
        now += next(seconds, 0.0)
        return execute(*arguments)

    monkeypatch.setattr(LanceMergeInsertBuilder, "execute", slow_at_first)
    monkeypatch.setattr("components.index.items_table.time.monotonic", lambda: now)
    before = table._table.version
    seq = table.upsert([put("a")])
    assert table.changes_since(0) == [Change(item_id="a", seq=seq, item=put("a"))]
    assert table._table.version == before + 2


def test_writes_that_are_always_too_slow_are_reported(table, monkeypatch):
    """One sentence says what to do."""
    monkeypatch.setattr(items_table, "COMMIT_SECONDS", -1.0)
    with pytest.raises(StorageError, match="Send fewer at a time"):
        table.upsert([put("a")])


# On the disk.


def test_maintenance_indexes_everything_and_removes_old_files(table, monkeypatch):
    """Indices hold every row, and data of versions older than the kept age is gone."""
    for number in range(20):
        table.upsert([put(str(number))])
    data = Path(table._uri) / "items.lance" / "data"
    assert len(list(data.iterdir())) == 20
    monkeypatch.setattr(items_table, "KEPT_VERSIONS", timedelta(milliseconds=1))
    table.maintain()
    time.sleep(0.01)  # the files are merged and looked for within one millisecond, at times
    table.maintain()
    assert len(list(data.iterdir())) < 3
    stored = lancedb.connect(table._uri).open_table("items")
    indices = {index.columns[0]: stored.index_stats(index.name) for index in stored.list_indices()}
    assert set(indices) == {"item_id", "seq"}
    assert all(stats.num_unindexed_rows == 0 for stats in indices.values())
    assert table.count() == 20


def test_maintenance_drops_the_word_indices_of_an_earlier_version(table):
    stored = lancedb.connect(table._uri).open_table("items")
    stored.create_index("title", config=FTS())
    table.maintain()
    stored.checkout_latest()
    assert {index.columns[0] for index in stored.list_indices()} == {"item_id", "seq"}


def test_maintenance_makes_indices_that_are_absent(table):
    """A process that died between making the table and its indices leaves a table that still works."""
    stored = lancedb.connect(table._uri).open_table("items")
    for index in stored.list_indices():
        stored.drop_index(index.name)
    table.upsert([put("a")])
    assert table.get("a") is not None
    table.maintain()
    stored.checkout_latest()
    assert len(stored.list_indices()) == 2


def test_a_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    """~ is the user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))
    ItemsTable.open("~/live").upsert([put("a")])
    assert stored_ids(str(tmp_path / "live")) == ["a"]


def test_changes_can_be_sent_as_json(table):
    """What the table returns is JSON-safe, as every record is."""
    table.seed(snapshot("a"))
    table.upsert([FULL])
    for change in (table.get("a"), table.get("mug-1")):
        assert json.loads(change.model_dump_json())["item_id"] == change.item_id
