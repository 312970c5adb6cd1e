"""What clicks and buys weigh."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from components.contract.ports import Request
from components.ranking.labels import plain_gains, search_gains, user_gains
from components.split.judged import JudgedSet

SINCE = datetime(2025, 3, 1)


def judged(relevant: dict[str, set[str]]) -> JudgedSet:
    requests = tuple(Request(name, text=name) for name in relevant)
    return JudgedSet(
        "search",
        requests,
        {k: frozenset(v) for k, v in relevant.items()},
        {},
        False,
        dict.fromkeys(relevant, 1),
    )


def traffic(*rows) -> pl.DataFrame:
    """(days after SINCE, kind, query, item, request, position, propensity)"""
    names = ("at", "kind", "query", "item_id", "request_id", "position", "propensity")
    dated = [(SINCE + timedelta(days=days), *rest) for days, *rest in rows]
    schema = dict(zip(names, (pl.Datetime("us"), *[pl.String] * 4, pl.Int64, pl.Float64), strict=True))
    return pl.DataFrame(dated, schema=schema, orient="row")


def test_a_click_at_a_place_that_few_look_at_weighs_more():
    log = traffic(
        (1, "search_click", "lamp", "a", "r1", 1, 1.0), (1, "search_click", "lamp", "b", "r1", 9, 0.25)
    )
    assert search_gains(judged({"lamp": {"a", "b"}}), log, SINCE) == {"lamp": {"a": 1.0, "b": 4.0}}


def test_weights_are_per_search_so_that_a_frequent_query_counts_no_more():
    log = traffic(
        (1, "search_click", "lamp", "a", "r1", 2, 0.5), (2, "search_click", "lamp", "b", "r2", 1, 1.0)
    )
    assert search_gains(judged({"lamp": {"a", "b"}}), log, SINCE) == {"lamp": {"a": 1.0, "b": 0.5}}


def test_a_purchase_has_the_place_of_the_click_before_it():
    log = traffic(
        (1, "search_click", "lamp", "a", "r1", 9, 0.25), (1, "purchase", "lamp", "a", "r1", None, None)
    )
    assert search_gains(judged({"lamp": {"a"}}), log, SINCE)["lamp"]["a"] == pytest.approx(4.0)


def test_what_was_clicked_before_the_window_or_is_not_relevant_adds_nothing():
    log = traffic(
        (-1, "search_click", "lamp", "a", "r0", 9, 0.25),
        (1, "search_click", "lamp", "a", "r1", 1, 1.0),
        (1, "search_click", "lamp", "z", "r1", 2, 0.5),
        (1, "search_click", "desk", "a", "r2", 2, 0.5),
    )
    assert search_gains(judged({"lamp": {"a"}}), log, SINCE) == {"lamp": {"a": 1.0}}


def test_without_a_log_everything_relevant_weighs_1():
    wanted = judged({"lamp": {"a", "b"}})
    assert search_gains(wanted, None, SINCE) == plain_gains(wanted) == {"lamp": {"a": 1.0, "b": 1.0}}


def test_a_users_act_on_a_much_shown_item_weighs_less_where_a_bias_is_set():
    wanted = judged({"u": {"popular", "rare"}})
    assert user_gains(wanted, {"popular": 99.0}, 0.5)["u"] == pytest.approx({"popular": 0.1, "rare": 1.0})
    assert user_gains(wanted, {"popular": 99.0}, 0.0) == plain_gains(wanted)
