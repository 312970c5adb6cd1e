"""How likely a place was looked at, and what a click at it weighs.

Clicks at the top are many because people look there. Weighing a click by 1 ÷ the probability that its place
was looked at makes the sum over clicks an unbiased estimate of relevance (Joachims, Swaminathan and Schnabel,
"Unbiased Learning-to-Rank with Biased Feedback", WSDM 2017). Weights are clipped: one click at the end of a
long page would outweigh all others.

The probability is the one that was logged. Where there is none it is estimated as position ** -bias from
pages whose impressions were logged: of a query and an item that were shown together at several positions, all
differences of clicks are the positions' doing (intervention harvesting: Agarwal, Zaitsev, Wang, Li, Najork
and Joachims, WSDM 2019). The bias maximises the likelihood of where each such pair's clicks fell, given how
many there were.
"""

import numpy as np
import polars as pl

MOST_WEIGHT = 10.0
LARGEST_BIAS = 3.0
FEWEST_CLICKS = 30
"""Of pairs that were shown at several positions; fewer say nothing of the bias."""
_STEPS = np.linspace(0.0, LARGEST_BIAS, 301)


def with_looks(traffic: pl.DataFrame) -> pl.DataFrame:
    """Adds `look`, the probability that an event's position was looked at: as logged, else by the estimated
    bias, else 1. traffic: kind, item_id, query, request_id, position, propensity."""
    bias = position_bias(traffic) if traffic.get_column("propensity").is_null().any() else None
    estimated = pl.lit(1.0) if bias is None else _place(traffic) ** -bias
    return traffic.with_columns(look=pl.coalesce("propensity", estimated, pl.lit(1.0)).clip(1e-6, 1.0))


def weights(looks: pl.Expr) -> pl.Expr:
    """What a click at a place of these probabilities weighs."""
    return (1.0 / looks).clip(1.0, MOST_WEIGHT)


def position_bias(traffic: pl.DataFrame) -> float | None:
    """None where too little was shown at several positions, with its impressions, to tell."""
    shown = traffic.filter(pl.col("kind") == "impression").drop_nulls(["query", "request_id", "position"])
    clicks = traffic.filter(pl.col("kind") == "search_click").select("request_id", "item_id").unique()
    shown = shown.with_columns(position=_place(traffic))
    shown = shown.join(clicks.with_columns(clicked=True), on=["request_id", "item_id"], how="left")
    cells = shown.group_by("query", "item_id", "position", maintain_order=True).agg(
        shown=pl.len(), clicked=pl.col("clicked").is_not_null().sum()
    )
    several = cells.filter(
        (pl.len().over("query", "item_id") > 1) & (pl.col("clicked").sum().over("query", "item_id") > 0)
    )
    if several.get_column("clicked").sum() < FEWEST_CLICKS:
        return None
    pair = several.select(pl.struct("query", "item_id").rank("dense")).to_series().to_numpy().astype(int) - 1
    position, times, clicked = (
        several.get_column(name).to_numpy().astype(np.float64) for name in ("position", "shown", "clicked")
    )
    return float(_STEPS[np.argmax([_likelihood(bias, pair, position, times, clicked) for bias in _STEPS])])


def _place(traffic: pl.DataFrame) -> pl.Expr:
    """Positions from 1 on, also of a shop that counts from 0."""
    first = 1.0 if traffic.get_column("position").min() == 0 else 0.0
    return pl.col("position").cast(pl.Float64) + first


def _likelihood(
    bias: float, pair: np.ndarray, position: np.ndarray, times: np.ndarray, clicked: np.ndarray
) -> float:
    """Logarithm, up to what does not depend on the bias: each pair's clicks are spread over its positions in
    proportion to times shown × probability of a look."""
    looks = times * position**-bias
    total = np.bincount(pair, weights=looks)
    return float(clicked @ (np.log(looks) - np.log(total[pair])))
