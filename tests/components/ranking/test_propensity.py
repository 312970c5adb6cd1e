"""The probability that a place was looked at."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

from components.ranking.propensity import MOST_WEIGHT, position_bias, weights, with_looks

SCHEMA = {
    "at": pl.Datetime("us"), "kind": pl.String, "item_id": pl.String, "query": pl.String,
    "request_id": pl.String, "position": pl.Int64, "propensity": pl.Float64,
}  # fmt: skip


def pages(bias: float, searches: int = 6_000, places: int = 8, seed: int = 0) -> pl.DataFrame:
    """Ten queries, each shown the same eight items in another order every time; relevance differs."""
    rng = np.random.default_rng(seed)
    relevance = rng.uniform(0.1, 0.9, (10, places))
    rows = []
    for number in range(searches):
        query, order = int(rng.integers(10)), rng.permutation(places)
        for place, item in enumerate(order, start=1):
            row = (datetime(2025, 1, 1), "impression", f"i{item}", f"q{query}", f"r{number}", place, None)
            rows.append(row)
            if rng.random() < place**-bias * relevance[query, item]:
                rows.append((row[0], "search_click", *row[2:]))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


@pytest.mark.parametrize("bias", [0.0, 0.6, 1.2])
def test_the_planted_position_bias_is_found_from_items_that_were_shown_at_several_places(bias):
    assert position_bias(pages(bias)) == pytest.approx(bias, abs=0.08)


def test_a_shop_may_count_its_places_from_zero():
    counted = pages(1.0).with_columns(pl.col("position") - 1)
    assert position_bias(counted) == pytest.approx(1.0, abs=0.08)
    looks = with_looks(counted).group_by("position").agg(pl.col("look").first()).sort("position")
    assert looks.get_column("look").to_list() == pytest.approx([1 / n for n in range(1, 9)], rel=0.2)


def test_better_items_further_up_are_not_taken_for_position_bias():
    """Without any bias, a ranking that puts relevant items first gets more clicks at the top all the same."""
    rng = np.random.default_rng(1)
    rows = []
    for number in range(4_000):
        for place, item in enumerate(np.argsort(-(np.arange(6) + rng.normal(0, 1.5, 6))), start=1):
            row = (datetime(2025, 1, 1), "impression", f"i{item}", "q", f"r{number}", place, None)
            rows.append(row)
            if rng.random() < 0.1 + 0.15 * item:
                rows.append((row[0], "search_click", *row[2:]))
    traffic = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    by_place = (
        traffic.group_by("position").agg(clicks=(pl.col("kind") == "search_click").mean()).sort("position")
    )
    assert by_place["clicks"][0] > 1.5 * by_place["clicks"][5]
    assert position_bias(traffic) == pytest.approx(0.0, abs=0.06)


def test_without_impressions_nothing_is_claimed():
    assert position_bias(pages(0.6).filter(pl.col("kind") == "search_click")) is None
    assert position_bias(pages(0.6, searches=2)) is None


def test_a_logged_probability_is_taken_as_it_is_and_others_are_estimated():
    traffic = (
        pages(0.6).with_row_index().with_columns(propensity=pl.when(pl.col("index") % 2 == 0).then(0.125))
    )
    looked = with_looks(traffic)
    assert looked.filter(pl.col("index") % 2 == 0).get_column("look").unique().to_list() == [0.125]
    estimated = looked.filter((pl.col("index") % 2 == 1) & (pl.col("position") == 8)).get_column("look")
    assert estimated.unique().to_list() == pytest.approx([8**-0.6], rel=0.15)


def test_where_nothing_tells_of_places_every_look_is_certain():
    traffic = pages(0.6, searches=2).with_columns(position=pl.lit(None, pl.Int64))
    assert with_looks(traffic).get_column("look").unique().to_list() == [1.0]


def test_weights_are_inverse_and_clipped():
    looks = pl.DataFrame({"look": [1.0, 0.5, 1e-4]})
    assert looks.select(weights(pl.col("look"))).to_series().to_list() == [1.0, 2.0, MOST_WEIGHT]
