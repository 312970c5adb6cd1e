"""The catalogue as it is now."""

from datetime import datetime

import polars as pl

from components.contract.live import Change, LiveItem
from components.index.catalogue import catalogue_now

SEEN = datetime(2026, 1, 1)
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c"],
        "title": ["oak lamp", "ash lamp", "elm lamp"],
        "price": [1.0, 2.0, 3.0],
        "listed_at": pl.Series([None, None, None], dtype=pl.Datetime("us")),
        "first_seen": pl.Series([SEEN, None, None], dtype=pl.Datetime("us")),
        "is_new": [False, False, True],
    }
)


def put(number, item_id, **more):
    item = LiveItem(item_id=item_id, title="oak lamp", **more)
    return Change(item_id=item_id, seq=number, item=item)


def by_id(now):
    return {row["item_id"]: row for row in now.iter_rows(named=True)}


def test_a_new_price_makes_no_new_item():
    """What the snapshot knows of an item's age stays, where the shop does not say it."""
    now = by_id(catalogue_now(ITEMS, [put(1, "a", price=9.0), put(2, "b"), put(3, "c")]))
    assert now["a"]["price"] == 9.0
    assert now["a"]["first_seen"] == SEEN
    assert [now[item]["is_new"] for item in "abc"] == [False, False, True]
    assert all(now[item]["put"] and not now[item]["added"] for item in "abc")


def test_an_item_that_the_snapshot_does_not_have_is_new():
    now = by_id(catalogue_now(ITEMS, [put(1, "aa", listed_at=datetime(2026, 2, 1))]))
    assert list(now) == ["a", "aa", "b", "c"]
    assert now["aa"]["is_new"] and now["aa"]["added"]
    assert now["aa"]["first_seen"] == datetime(2026, 2, 1)


def test_what_was_deleted_is_gone():
    assert list(by_id(catalogue_now(ITEMS, [Change(item_id="b", seq=1, item=None)]))) == ["a", "c"]
    assert by_id(catalogue_now(ITEMS, []))["a"]["put"] is False
