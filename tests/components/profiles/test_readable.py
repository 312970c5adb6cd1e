"""What a shop's checked tables say about a user."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.profiles.behaviour import Behaviour
from components.profiles.brands import DEPTH, recommended_brands
from components.profiles.readable import OfRelease, UserProfile, user_profile

ITEMS = pl.DataFrame(
    {
        "item_id": ["1", "2", "3", "4"],
        "title": "x",
        "category": ["lamps", "lamps", "mugs", None],
        "brand": ["acme", "acme", "zen", "kiln"],
        "price": [10.0, 20.0, 5.0, None],
    }
)
DAY = [(1, "ann", "3", "view"), (2, "ann", "1", "purchase"), (2, "ann", "1", "purchase")]
DAY += [
    (3, "ann", "2", "cart"),
    (4, "bob", "3", "purchase"),
    (5, "bob", "4", "view"),
    (6, "ann", "4", "impression"),
]
DAY += [(6, "bob", "gone", "view"), (7, None, "1", "view")]  # type: ignore[list-item]


@pytest.fixture
def behaviour() -> Behaviour:
    rows = [(datetime(2026, 1, day, 12), user, item, kind) for day, user, item, kind in DAY]
    events = pl.DataFrame(rows, schema=["at", "user_id", "item_id", "kind"], orient="row")
    return Behaviour.of(events, ITEMS)


def profile_of(behaviour: Behaviour, user: str, ranked: Any = ()) -> UserProfile | None:
    return user_profile(behaviour, user, OfRelease("d", "mean", np.asarray([0.6, 0.8], np.float32), ranked))


def test_a_past_is_what_the_user_did(behaviour: Behaviour) -> None:
    """Each item once, in the order of first acts, by the strongest kind, as it is judged: what was only
    looked at may be recommended."""
    assert behaviour.past("ann") == ["1"]
    assert behaviour.past("bob") == ["3"]
    assert behaviour.past("an") == behaviour.past("zoe") == []


def test_who_never_bought_has_a_past_too() -> None:
    """By the strongest acts that there are."""
    acts = [(1, "2", "view"), (2, "4", "cart"), (3, "1", "cart"), (4, "4", "cart")]
    rows = [(datetime(2026, 1, day), "cat", item, kind) for day, item, kind in acts]
    events = pl.DataFrame(rows, schema=["at", "user_id", "item_id", "kind"], orient="row")
    assert Behaviour.of(events, ITEMS).past("cat") == ["4", "1"]


def test_activity_counts_acts_and_days(behaviour: Behaviour) -> None:
    """Recency is measured to the newest act of any user, so that a profile of old data does not age."""
    activity = behaviour.activity("ann")
    assert activity is not None and behaviour.activity("zoe") is None
    assert (activity.acts, activity.purchases, activity.items, activity.active_days) == (4, 2, 3, 3)
    assert (activity.first_at.day, activity.last_at.day, activity.recency_days) == (1, 3, 3.0)


def test_a_profile_names_tastes_best_first(behaviour: Behaviour) -> None:
    """With the shop's share and the count beside each, and prices as prices."""
    found = profile_of(behaviour, "ann")
    assert found is not None and found.as_of == datetime(2026, 1, 6, 12)
    assert [(one.label, one.items) for one in found.tastes.categories] == [("lamps", 2), ("mugs", 1)]
    assert found.tastes.categories[0].shop_share == 0.5
    assert found.tastes.brands[0].label == "acme" and found.vector == (0.6, 0.8)
    band = found.tastes.price_band
    assert band is not None and 5.0 <= band.low <= band.median <= band.high <= 20.0
    assert profile_of(behaviour, "zoe") is None


def test_brands_of_the_user_are_not_recommended(behaviour: Behaviour) -> None:
    """Only others, by their items in the ranking."""
    ranked = [("9", "zen"), ("8", "acme"), ("7", "kiln"), ("6", "oak"), ("5", "kiln")]
    found = profile_of(behaviour, "ann", ranked)
    assert found is not None
    assert [one.brand for one in found.recommended_brands] == ["kiln", "oak"]


def test_a_brand_is_ranked_by_the_sum_of_its_items_reciprocal_places() -> None:
    """Ties by name; items without a brand, and those too far down, add nothing."""
    ranked = [("a", "one"), ("b", "two"), ("c", "two"), ("d", None), ("e", "x"), ("f", "y")]
    found = recommended_brands(ranked, (), 3)
    assert [(one.brand, one.score, one.item_id) for one in found] == [
        ("one", 1.0, "a"),
        ("two", 0.8333, "b"),
        ("x", 0.2, "e"),
    ]
    far: list[tuple[str, str | None]] = [*[("i", None)] * DEPTH, ("z", "far")]
    assert recommended_brands(far, (), 3) == []


def test_a_shop_without_events_knows_nobody(tmp_path: Path) -> None:
    """Search alone needs none."""
    assert Behaviour.read(tmp_path) is None
