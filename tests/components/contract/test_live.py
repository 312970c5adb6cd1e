"""What a live item may hold."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from components.contract.live import Change, LiveItem


def test_an_item_needs_an_id_and_a_title_which_may_be_empty():
    """Everything else is absent unless given, and an item is in stock unless it says otherwise."""
    item = LiveItem(item_id="1", title="")
    assert item.in_stock
    assert item.model_dump(exclude={"item_id", "title", "in_stock"}) == dict.fromkeys(
        ["description", "brand", "category", "price", "attributes", "image", "listed_at", "group_id"]
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("item_id", ""),
        ("item_id", "x" * 201),
        ("item_id", "a\nb"),
        ("item_id", "a\0b"),
        ("item_id", "a\x85b"),
        ("item_id", "a\ud800"),
        ("title", "x" * 2_001),
        ("title", None),
        ("title", "half a pair \udc00"),
        ("description", "x" * 100_001),
        ("attributes", "x" * 100_001),
        ("price", -0.01),
        ("price", float("nan")),
        ("price", float("inf")),
        ("listed_at", "yesterday"),
        ("listed_at", "0001-01-01T00:00:00+02:00"),
        ("colour", "red"),
    ],
)
def test_what_is_out_of_bounds_is_refused(field, value):
    """The message names the field."""
    with pytest.raises(ValidationError, match=field):
        LiveItem.model_validate({"item_id": "1", "title": "mug", field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("item_id", "x" * 200),
        ("item_id", 'it\'s "1" – ü 😀'),
        ("title", "x" * 2_000),
        ("description", "x" * 100_000),
        ("price", 0),
    ],
)
def test_what_is_just_within_bounds_is_taken(field, value):
    """Lengths are counted in characters."""
    assert getattr(LiveItem.model_validate({"item_id": "1", "title": "mug", field: value}), field) == value


@pytest.mark.parametrize(
    "given",
    [
        datetime(2026, 3, 1, 12),
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2))),
        "2026-03-01T12:00:00Z",
        "2026-03-01T07:00:00-05:00",
        "2026-03-01T12:00:00",
    ],
)
def test_times_are_kept_in_utc_without_a_zone(given):
    """An aware time is converted, a naive one is taken for UTC."""
    assert LiveItem(item_id="1", title="", listed_at=given).listed_at == datetime(2026, 3, 1, 12)


def test_changes_pass_through_json():
    """A change and its item come back equal from JSON; a deletion holds no item."""
    item = LiveItem(item_id="1", title="mug", price=2.5, listed_at=datetime(2026, 3, 1, 12))
    for change in (Change(item_id="1", seq=5, item=item), Change(item_id="1", seq=6, item=None)):
        assert Change.model_validate_json(change.model_dump_json()) == change
