"""What a request's clicks and buys weigh as labels, corrected for what people had the chance to see.

How these weights reach the trees, and for which lists the correction is exact: model.py.

- A query's act on an item weighs 1 ÷ the probability that its place was looked at (propensity.py), summed
  over the query's searches with an act and divided by their number.
- A user's act without a page says nothing of places, but much-shown items are acted on more because they are
  shown more. With a bias above 0 an item's act weighs (1 + acts on it before the window) ** -bias, these
  fading as observations.HALF_LIFE_DAYS has it: exposure that grows with popularity (Yang, Cui, Xuan, Wang,
  Belongie and Estrin, "Unbiased Offline Recommender Evaluation for Missing-Not-At-Random Implicit Feedback",
  RecSys 2018; Schnabel et al., ICML 2016).
"""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from components.contract.tables import EVENT_GRADES
from components.ranking.propensity import weights, with_looks
from components.split.judged import JudgedSet

Gains = Mapping[str, Mapping[str, float]]
"""Per request_id and item_id, above 0."""


def plain_gains(judged: JudgedSet) -> Gains:
    """1 for what is relevant."""
    return {request: dict.fromkeys(items, 1.0) for request, items in judged.relevant.items()}


def search_gains(judged: JudgedSet, traffic: pl.DataFrame | None, since: datetime | None) -> Gains:
    """Of queries; traffic: the split's (split.statistics), looked at from `since` on. Queries whose clicks
    have no place keep gains of 1."""
    plain = plain_gains(judged)
    if traffic is None or since is None:
        return plain
    acts = with_looks(traffic).filter(
        (pl.col("at") >= since) & pl.col("kind").is_in(list(EVENT_GRADES)) & pl.col("query").is_not_null()
    )
    by_search = acts.group_by("query", "item_id", "request_id").agg(
        # Carts and purchases after a click have its place, not one of their own.
        look=pl.col("look").filter(pl.col("position").is_not_null()).max()
    )
    searches = pl.col("request_id").n_unique().over("query")
    weighed = by_search.with_columns(weight=weights(pl.col("look").fill_null(1.0)) / searches)
    sums = weighed.group_by("query", "item_id").agg(pl.col("weight").sum())
    gains = {request: dict(of) for request, of in plain.items()}
    for query, item, weight in sums.iter_rows():
        if item in gains.get(query, ()):
            gains[query][item] = weight
    return gains


def user_gains(judged: JudgedSet, acts: Mapping[str, float], bias: float) -> Gains:
    """Of users; acts: per item the acts on it before the window, faded."""
    plain = plain_gains(judged)
    if not bias:
        return plain
    return {
        request: {item: (1.0 + acts.get(item, 0.0)) ** -bias for item in items}
        for request, items in plain.items()
    }
