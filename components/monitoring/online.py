"""How well new items are found on live behaviour, from acts alone that the ranking did not choose.

Exploration. At one place of an answer a logged coin (probability `share`) decides between the ranking's own
item and one drawn uniformly from the new items further down among its best 100. So at that place, and there
alone, clicks are those of an experiment. With 1 ÷ the logged propensity as weights (Horvitz & Thompson, JASA
1952):
    missed = Σ over answers with a drawn item that was acted on: 1 ÷ propensity
    found  = Σ over the others whose own item there is new and was acted on: 1 ÷ (1 − share)
    value  = found ÷ (found + missed)
a self-normalised (ratio) estimate: of all acts that new items would get at that place, one after the other,
the share that goes to the one which the ranking puts there. That is recall of one place, not of the answer:
new items that stand above it are in neither sum, so it is low where the ranking puts them on top, and is to
be compared with itself over time. Both sums are over the same items: new ones that the service draws from.
Answers without any candidate to draw count as found with a slightly too large weight; `share` is today's, so
a window in which it changed weighs `found` by up to the ratio of the shares wrongly.

Other entrances. A purchase without a query or request came from elsewhere (a category page, a mail), unless
the same user acted on the item before by a search or an answer. Whether the champion would have recommended
it from what that user bought before is recall@k as the judge measures it, on users whose choice the champion
did not make; of the items that its index held.

Intervals: 95 % percentile bootstrap over answers, or users (Efron & Tibshirani 1993, ch. 13).
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.ports import Request, Retriever
from components.contract.serving import ExplorationSettings
from components.monitoring.drift_report import OnlineRecall
from components.monitoring.reference import utc
from components.monitoring.window import read_acts, read_explored

Source = Literal["exploration", "other entrances"]
Floats = NDArray[np.float64]
MIN_ACTS = 20
"""Fewer acts on drawn items, or users, are no estimate."""
RESAMPLES = 2_000
CONFIDENCE = 0.95


def explored_recall(
    traffic: Path,
    new_items: Collection[str],
    start: datetime,
    end: datetime,
    exploration: ExplorationSettings,
    release: str | None = None,
    seed: int = 0,
) -> OnlineRecall:
    """The estimate from exploration in [start, end).

    new_items: new ones that the service draws from (catalogue.drawable); release: only answers of this D. An
    act counts where it is in the log before `end`; clicks, carts and orders of one item on one answer are one
    act. `value` is None, with a reason, under MIN_ACTS acts on drawn items or without exploration.
    """
    start, end = utc(start), utc(end)
    requests = read_explored(traffic, start, end)
    if release is not None:
        requests = requests.filter(pl.col("release") == release)
    if exploration.share == 0.0 or not requests.get_column("exploration_positions").list.len().sum():
        return _none("exploration", 0, "no answer held a drawn item: set serving.exploration.share.")
    if exploration.share >= 1.0:
        reason = "every answer with an item to draw holds one: set serving.exploration.share below 1."
        return _none("exploration", 0, reason)
    pairs = _place(requests, exploration.position)
    acts = read_acts(traffic, start, end).select("request_id", "item_id").unique()
    pairs = pairs.join(acts.with_columns(acted=pl.lit(True)), on=["request_id", "item_id"], how="left")
    acted = pl.col("acted").fill_null(False)
    own, new = pl.col("propensity").is_null(), pl.col("item_id").is_in(list(new_items))
    weights = pairs.select(
        found=pl.when(own & new & acted).then(1.0 / (1.0 - exploration.share)).otherwise(0.0),
        missed=pl.when(new & acted).then(1.0 / pl.col("propensity")).otherwise(0.0).fill_null(0.0),
    )
    found, missed = (weights.get_column(name).to_numpy() for name in ("found", "missed"))
    count, drawn = int(((found > 0) | (missed > 0)).sum()), int((missed > 0).sum())
    if drawn < MIN_ACTS:
        reason = f"{drawn} acts on drawn items, fewer than {MIN_ACTS}."
        return _none("exploration", count, reason)
    return _estimate("exploration", found, found + missed, count, seed)


def outside_recall(
    events: pl.DataFrame,
    retriever: Retriever,
    new_items: Collection[str],
    start: datetime,
    end: datetime,
    k: int = 10,
    seed: int = 0,
) -> OnlineRecall:
    """The estimate from purchases through other entrances in [start, end).

    events: the shop's own (contract columns), with what users bought before. A user counts who bought
    something before `start`; an item, if the retriever holds it: one that was PUT since is no miss of its.
    `value` is None, with a reason, under MIN_ACTS users.
    """
    bought = events.filter((pl.col("kind") == "purchase") & pl.col("user_id").is_not_null())
    past = bought.filter(pl.col("at") < utc(start)).sort("at", "item_id")
    past = past.group_by("user_id", maintain_order=True).agg(pl.col("item_id").unique(maintain_order=True))
    outside = bought.filter(
        pl.col("at").is_between(utc(start), utc(end), closed="left")
        & pl.all_horizontal(pl.col("request_id", "query").is_null())
        & pl.col("item_id").is_in(list(set(new_items) & set(retriever.item_ids)))
    )
    led = events.filter(pl.any_horizontal(pl.col("request_id", "query").is_not_null()))
    led = led.select("user_id", "item_id", led_at="at").group_by("user_id", "item_id").agg(pl.min("led_at"))
    outside = outside.join(led, on=["user_id", "item_id"], how="left").filter(
        pl.col("led_at").is_null() | (pl.col("led_at") > pl.col("at"))
    )
    wanted = outside.group_by("user_id").agg(pl.col("item_id").unique()).sort("user_id")
    users = wanted.join(past.rename({"item_id": "history"}), on="user_id", maintain_order="left")
    # What a user had before is in no list of his, so it is nothing to be found.
    users = users.with_columns(pl.col("item_id").list.set_difference("history"))
    users = users.filter(pl.col("item_id").list.len() > 0)
    if len(users) < MIN_ACTS:
        reason = (
            f"{len(users)} users with a past bought new items through other entrances, fewer than {MIN_ACTS}."
        )
        return _none("other entrances", len(users), reason)
    rows = list(users.iter_rows(named=True))
    asked = [Request(row["user_id"], None, tuple(row["history"]), frozenset(row["history"])) for row in rows]
    ranking = retriever.search(asked, k)
    shown = [{retriever.item_ids[row] for row in one if row >= 0} for one in ranking.rows]
    new = [set(row["item_id"]) for row in rows]
    recalls = [len(a & b) / len(b) for a, b in zip(shown, new, strict=True)]
    values = np.asarray(recalls, dtype=np.float64)
    return _estimate("other entrances", values, np.ones(len(values)), sum(map(len, new)), seed)


def _place(requests: pl.DataFrame, position: int | None) -> pl.DataFrame:
    """request_id, item_id at the exploration place, propensity (null: the ranking's own item)."""
    answered = requests.filter(pl.col("item_ids").list.len() > 0)
    drawn = pl.col("exploration_positions").list.first()
    usual = pl.lit(position, pl.Int64) if position else pl.col("item_ids").list.len().cast(pl.Int64)
    place = pl.coalesce(drawn, usual) - 1
    return answered.select(
        "request_id",
        item_id=pl.col("item_ids").list.get(place, null_on_oob=True),
        propensity=pl.col("exploration_propensities").list.first(),
    )


def _estimate(source: Source, parts: Floats, wholes: Floats, acts: int, seed: int) -> OnlineRecall:
    """Σ parts ÷ Σ wholes; resamples without any act are left out."""
    rng = np.random.default_rng([seed, len(parts)])
    kept = wholes > 0  # rows without an act change neither sum, so their number alone is drawn
    share = kept.mean()
    parts, wholes = parts[kept], wholes[kept]
    ratios = []
    for _ in range(RESAMPLES):
        rows = rng.integers(len(parts), size=rng.binomial(round(len(parts) / share), share))
        if len(rows):
            ratios.append(parts[rows].sum() / wholes[rows].sum())
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(ratios, [tail, 1.0 - tail])
    value = float(parts.sum() / wholes.sum())
    return OnlineRecall(source=source, value=value, low=float(low), high=float(high), acts=acts)


def _none(source: Source, acts: int, reason: str) -> OnlineRecall:
    return OnlineRecall(source=source, value=None, low=None, high=None, acts=acts, reason=reason)
