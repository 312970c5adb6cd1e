"""What was observed of each item before a moment: who took it, who clicked it when looking, its reviews.

Shapes: n items.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from components.contract.tables import EVENT_GRADES
from components.ranking.credibility import Floats
from components.ranking.propensity import with_looks

HALF_LIFE_DAYS = 30.0
"""Of an act's weight in the demand: what is wanted changes with the season."""
OF_REVIEWS = ("rating", "sentiment")
_DECAY = np.log(2.0) / HALF_LIFE_DAYS
_SECONDS = 86_400.0


@dataclass(frozen=True, eq=False)
class Observed:
    """Per kind of observation the totals and exposures of a catalogue's items (n,)."""

    kinds: Mapping[str, tuple[Floats, Floats]]
    noise: Mapping[str, float]
    """Of kinds that are no counts: variance of one observation."""


def observed(
    items: pl.DataFrame, traffic: pl.DataFrame | None, reviews: pl.DataFrame | None, until: datetime | None
) -> Observed:
    """items: item_id ascending, listed_at; traffic, reviews: the split's (split.statistics), the latter with
    `sentiment` where they were read (tasks.sentiment); rows at or after `until` are left out, None: nothing
    is dated.
    - demand: first acts of users on the item, each halved every HALF_LIFE_DAYS; days it was there, likewise,
      from its listing or its first event, whichever is earlier, and none where neither is known. An act that
      these days begin with is not counted: it happened for certain, however seldom the item is taken;
    - attraction: clicks; looks, on pages whose impressions were logged;
    - rating: stars; reviews. sentiment: what their texts say, from 0 to 1; reviews.
    """
    nothing = np.zeros(len(items)), np.zeros(len(items))
    found = dict.fromkeys(("demand", "attraction", *OF_REVIEWS), nothing)
    noise = {}
    if traffic is not None and until is not None:
        before = traffic.filter(pl.col("at") < until)
        found["demand"] = _demand(items, before, until)
        found["attraction"] = _attraction(items, before)
    for name in OF_REVIEWS:
        if reviews is not None and name in reviews.columns:
            told = reviews.drop_nulls(name)
            if until is not None:
                told = told.filter(pl.col("at") < until)
            found[name] = _sums(items, told, pl.col(name), pl.col(name).is_not_null())
            noise[name] = _noise(told, name)
    return Observed(found, noise)


def _sums(
    items: pl.DataFrame, rows: pl.DataFrame, total: pl.Expr, exposure: pl.Expr
) -> tuple[Floats, Floats]:
    sums = rows.group_by("item_id").agg(total=total.sum(), exposure=exposure.sum())
    of_item = items.select("item_id").join(sums, on="item_id", how="left", maintain_order="left").fill_null(0)
    total_values, exposures = (
        of_item.get_column(name).to_numpy().astype(np.float64) for name in sums.columns[1:]
    )
    return total_values, exposures


def _demand(items: pl.DataFrame, traffic: pl.DataFrame, until: datetime) -> tuple[Floats, Floats]:
    is_act = pl.col("kind").is_in(list(EVENT_GRADES))
    acts, shown = traffic.filter(is_act), traffic.filter(~is_act)
    first = traffic.get_column("at").min()
    if not len(acts) or not isinstance(first, datetime):
        return np.zeros(len(items)), np.zeros(len(items))
    who = pl.coalesce("user_id", "session_id", "request_id", pl.lit(""))
    taken = acts.group_by("item_id", who=who).agg(pl.col("at").min())
    taken = taken.with_columns(nth=pl.col("who").rank("ordinal").over("item_id", "at").cast(pl.Int32))
    age = (pl.lit(until) - pl.col("at")).dt.total_seconds() / _SECONDS
    # Not `first_seen`: where nothing is listed it is an event of any date, also one that is judged.
    seen = traffic.group_by("item_id").agg(seen=pl.col("at").min())
    there = items.join(seen, on="item_id", how="left", maintain_order="left")
    start = there.select(
        pl.min_horizontal("listed_at", "seen").fill_null(until).clip(first, until)
    ).to_series()
    days = (until - start).dt.total_seconds().to_numpy().astype(np.float64) / _SECONDS
    listed_before = (pl.col("listed_at") <= pl.col("seen")).fill_null(False)
    begun_by = there.select("item_id", at=pl.when(~listed_before).then("seen")).drop_nulls("at")
    begun_by = begun_by.join(shown, on=["item_id", "at"], how="anti")
    counted = taken.join(begun_by.with_columns(nth=1), on=["item_id", "at", "nth"], how="anti")
    total, _ = _sums(items, counted, (-_DECAY * age).exp(), pl.lit(0.0))
    return total, (1.0 - np.exp(-_DECAY * days)) / _DECAY


def _attraction(items: pl.DataFrame, traffic: pl.DataFrame) -> tuple[Floats, Floats]:
    shown = with_looks(traffic).filter(pl.col("kind") == "impression").drop_nulls("request_id")
    clicks = traffic.filter(pl.col("kind") == "search_click").select("request_id", "item_id").unique()
    shown = shown.join(clicks.with_columns(clicked=1.0), on=["request_id", "item_id"], how="left")
    return _sums(items, shown, pl.col("clicked").fill_null(0.0), pl.col("look"))


def _noise(told: pl.DataFrame, name: str) -> float:
    """Variance of reviews around their item's mean."""
    within = told.select(
        square=(pl.col(name) - pl.col(name).mean().over("item_id")) ** 2, items=pl.len().over("item_id")
    ).filter(pl.col("items") > 1)
    squares, items = (within.get_column(one).to_numpy().astype(np.float64) for one in ("square", "items"))
    freedom = float((1 - 1 / items).sum())
    return float(squares.sum()) / freedom if freedom else 1.0
