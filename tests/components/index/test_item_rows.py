"""A release's snapshot beneath the live items, in a real table."""

from datetime import datetime

import lancedb
import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.live import Change, LiveItem

pytestmark = pytest.mark.filterwarnings("error::DeprecationWarning")


def put(item_id, title="mug", **more):
    return LiveItem(item_id=item_id, title=title, **more)


def snapshot(*item_ids, title="from the snapshot"):
    return pl.DataFrame(
        {"item_id": item_ids, "title": [title] * len(item_ids)}, {"item_id": pl.String, "title": pl.String}
    )


def stored_ids(uri):
    """item_ids of all rows, read without the adapter."""
    return lancedb.connect(uri).open_table("items").search().to_arrow()["item_id"].to_pylist()


def test_a_snapshot_lies_beneath_what_was_put(table):
    """PUT and deleted items stay as they are, unknown ones are added, and none of it is a change."""
    first = table.upsert([put("put", "mine")])
    deleted = table.delete(["deleted"])
    assert table.seed(snapshot("put", "deleted", "new")) == 2
    assert table.get("put") == Change(item_id="put", seq=first, item=put("put", "mine"))
    assert table.get("deleted") == Change(item_id="deleted", seq=deleted, item=None)
    assert table.get("new") == Change(item_id="new", seq=0, item=put("new", "from the snapshot"))
    assert [change.item_id for change in table.changes_since(-1)] == ["put", "deleted"]
    assert table.head() == deleted


def test_the_next_snapshot_replaces_the_last(table):
    """Its rows are updated or removed; what was PUT, or deleted, stays though the snapshot lacks it."""
    table.seed(snapshot("a", "b", "c", "d"))
    table.upsert([put("b", "mine")])
    table.delete(["c"])
    assert table.seed(snapshot("a", "e", title="newer")) == 3
    assert table.get("a").item.title == table.get("e").item.title == "newer"
    assert table.get("b").item.title == "mine"
    assert table.get("c").item is None
    assert table.get("d") is None


def test_an_item_of_the_snapshot_can_be_put_and_deleted(table):
    """It then has a seq, and the same snapshot does not bring it back."""
    table.seed(snapshot("a", "b"))
    table.upsert([put("a", "mine")])
    table.delete(["b"])
    assert table.seed(snapshot("a", "b")) == 1
    assert [(c.item_id, c.item and c.item.title) for c in table.changes_since(0)] == [
        ("a", "mine"),
        ("b", None),
    ]


def test_a_snapshot_keeps_its_columns(table):
    """Contract columns come over with their values, others are left out, absent ones become null; zones
    are converted to UTC and numbers that are none become null."""
    at = pl.Series([datetime(2026, 3, 1, 14)] * 2).dt.replace_time_zone("Europe/Helsinki")
    frame = snapshot("a", "b").with_columns(price=pl.Series([2.0, float("nan")]), listed_at=at, first_seen=at)
    table.seed(frame)
    expected = put("a", "from the snapshot", price=2.0, listed_at=datetime(2026, 3, 1, 12))
    assert table.get("a").item == expected
    assert table.get("b").item.price is None


def test_an_item_without_a_title_has_an_empty_one(table):
    """A snapshot's null title reads as the contract of live items wants it."""
    table.seed(snapshot("a").with_columns(title=pl.lit(None, pl.String)))
    assert table.get("a").item.title == ""


def test_an_empty_snapshot_takes_the_old_one_away(table):
    """And leaves what was PUT."""
    table.seed(snapshot("a"))
    table.upsert([put("b")])
    assert table.seed(snapshot()) == 1
    assert stored_ids(table._uri) == ["b"]


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (pl.DataFrame({"title": ["mug"]}), "without item_id"),
        (snapshot("a", None), "without item_id"),
        (snapshot("a", "b's", "b's"), 'item_id "b\'s" twice'),
    ],
)
def test_a_snapshot_without_proper_ids_is_refused(table, frame, sentence):
    """The table stays as it was."""
    table.seed(snapshot("before"))
    with pytest.raises(DataError, match=sentence):
        table.seed(frame)
    assert stored_ids(table._uri) == ["before"]
