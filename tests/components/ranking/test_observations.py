"""What was observed of items before a moment."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from components.ranking.observations import HALF_LIFE_DAYS, observed

UNTIL = datetime(2025, 6, 1)
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c"],
        "listed_at": [UNTIL - timedelta(days=1_000), UNTIL - timedelta(days=30), UNTIL + timedelta(days=1)],
    },
    schema_overrides={"listed_at": pl.Datetime("us")},
)
COLUMNS = {
    "at": pl.Datetime("us"), "kind": pl.String, "item_id": pl.String, "user_id": pl.String,
    "session_id": pl.String, "request_id": pl.String, "query": pl.String, "position": pl.Int64,
    "propensity": pl.Float64,
}  # fmt: skip


def events(*rows) -> pl.DataFrame:
    """(days before UNTIL, kind, item, user, request, position, propensity)"""
    made = [
        (UNTIL - timedelta(days=days), kind, item, user, None, request, "q", position, propensity)
        for days, kind, item, user, request, position, propensity in rows
    ]
    return pl.DataFrame(made, schema=COLUMNS, orient="row")


def test_a_users_first_act_counts_once_and_halves_with_age():
    log = events(
        (0, "purchase", "a", "u1", None, None, None),
        (HALF_LIFE_DAYS, "purchase", "b", "u1", None, None, None),
        (HALF_LIFE_DAYS + 1, "purchase", "b", "u2", None, None, None),
        (3, "purchase", "b", "u1", None, None, None),
        (3, "impression", "b", "u3", "r", 1, 1.0),
    ).filter(pl.col("at") < UNTIL)
    listed = ITEMS.with_columns(pl.col("listed_at") - timedelta(days=2))
    total, _ = observed(listed, log, None, UNTIL).kinds["demand"]
    assert total.tolist() == pytest.approx([0.0, 0.5 + 0.5 ** (1 + 1 / HALF_LIFE_DAYS), 0.0])


def test_an_item_is_exposed_from_its_listing_on_but_not_before_the_log_begins():
    log = events((60, "purchase", "a", "u", None, None, None))
    _, days = observed(ITEMS, log, None, UNTIL).kinds["demand"]
    assert days[0] > days[1] > days[2] == 0.0
    assert days[1] / days[0] == pytest.approx(0.5 / 0.75)  # 30 of the log's 60 days, at a half-life of 30


def test_an_unlisted_item_is_exposed_from_its_first_event_before_the_moment():
    """What happens to it later, or never, is not known yet: both have their prior."""
    log = events(
        (60, "purchase", "c", "u", None, None, None),
        (30, "impression", "a", "u", "r", 1, 1.0),
        (-1, "purchase", "b", "u", None, None, None),
    )
    items = ITEMS.with_columns(listed_at=pl.lit(None, pl.Datetime("us")))
    total, days = observed(items, log, None, UNTIL).kinds["demand"]
    assert days[0] / days[2] == pytest.approx(0.5 / 0.75) and days[1] == total[1] == 0.0


def test_an_act_that_makes_an_item_known_is_not_counted():
    """Its days begin with it: of an item first bought a minute ago one purchase a minute would be known. Of
    several at that moment one is left out; an impression, or a listing, begins the days instead."""
    log = events(
        (60, "purchase", "a", "u1", None, None, None),
        (1, "purchase", "c", "u1", None, None, None),
        (1, "purchase", "c", "u2", None, None, None),
        (20, "purchase", "b", "u1", None, None, None),
        (40, "impression", "d", "u1", "r", 1, 1.0),
        (40, "search_click", "d", "u1", "r", 1, 1.0),
    )
    items = pl.concat([ITEMS, pl.DataFrame({"item_id": ["d"], "listed_at": [None]}, schema=ITEMS.schema)])
    total, _ = observed(items, log, None, UNTIL).kinds["demand"]
    assert total.tolist() == pytest.approx([0.25, 0.5 ** (20 / 30), 0.5 ** (1 / 30), 0.5 ** (40 / 30)])


def test_who_orders_before_an_item_is_listed_exposes_it():
    """A pre-order, or an item listed anew: else forty purchases in its first half hour."""
    log = events(*((40 + day / 10, "purchase", "b", f"u{day}", None, None, None) for day in range(40)))
    _, days = observed(ITEMS, log, None, UNTIL).kinds["demand"]
    from_then = ITEMS.with_columns(listed_at=UNTIL - timedelta(days=43.9))
    _, listed = observed(from_then, log, None, UNTIL).kinds["demand"]
    assert days[1] == pytest.approx(listed[1]) and days[1] > 25


def test_nothing_at_or_after_the_moment_counts():
    log = events(*((days, "purchase", "a", f"u{days}", None, None, None) for days in (-1, 0)))
    reviews = pl.DataFrame(
        {"at": [UNTIL], "item_id": ["a"], "rating": [5.0]}, schema_overrides={"at": pl.Datetime("us")}
    )
    kinds = observed(ITEMS, log, reviews, UNTIL).kinds
    assert all(total.sum() == 0.0 for total, _ in kinds.values())


def test_clicks_are_counted_by_looks_on_pages_whose_impressions_were_logged():
    log = events(
        (2, "impression", "a", "u", "r1", 1, 1.0),
        (2, "impression", "b", "u", "r1", 2, 0.5),
        (2, "search_click", "b", "u", "r1", 2, 0.5),
        (2, "search_click", "a", "u", "r2", 1, 1.0),
    )
    clicks, looks = observed(ITEMS, log, None, UNTIL).kinds["attraction"]
    assert (clicks.tolist(), looks.tolist()) == ([0.0, 1.0, 0.0], [1.0, 0.5, 0.0])


def test_stars_and_how_much_one_review_of_an_item_differs_from_the_next():
    reviews = pl.DataFrame(
        {"at": [None] * 4, "item_id": ["a", "a", "b", "b"], "rating": [4.0, 2.0, 5.0, 3.0]},
        schema_overrides={"at": pl.Datetime("us")},
    )
    found = observed(ITEMS, None, reviews, None)
    assert [values.tolist() for values in found.kinds["rating"]] == [[6.0, 8.0, 0.0], [2.0, 2.0, 0.0]]
    assert found.noise == {"rating": pytest.approx(2.0)}  # of two values that differ by 2


def test_what_reviews_say_counts_beside_their_stars():
    """Also of a review that gives none."""
    reviews = pl.DataFrame(
        {
            "at": [UNTIL, *[UNTIL - timedelta(days=1)] * 3],
            "item_id": ["a", "a", "a", "b"],
            "rating": [1.0, None, 5.0, 3.0],
            "sentiment": [0.0, 1.0, 0.0, 0.5],
        },
        schema_overrides={"at": pl.Datetime("us")},
    )
    found = observed(ITEMS, None, reviews, UNTIL)
    assert [values.tolist() for values in found.kinds["sentiment"]] == [[1.0, 0.5, 0.0], [2.0, 1.0, 0.0]]
    assert [values.tolist() for values in found.kinds["rating"]] == [[5.0, 3.0, 0.0], [1.0, 1.0, 0.0]]
    assert found.noise["sentiment"] == pytest.approx(0.5)
