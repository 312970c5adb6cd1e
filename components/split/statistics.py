"""What a split hands on of behaviour and opinions before the cut-off: the rows that item statistics are
counted from, and the clicks with their places.

Of items that are not new, and of no row at or after the cut-off; the leakage check looks it up again. Where
the split is by date a review without one is left out; where it is not, reviews of held-out items are.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from components.split.catalogue import normalised
from components.split.parts import SplitParts

TRAFFIC_COLUMNS = (
    "at", "kind", "item_id", "user_id", "session_id", "request_id", "query", "position", "propensity",
)  # fmt: skip
REVIEW_COLUMNS = ("at", "item_id", "rating", "text")


def traffic_rows(events: pl.DataFrame, known: pl.DataFrame, until: datetime) -> pl.DataFrame | None:
    """TRAFFIC_COLUMNS, queries normalised; None where no event is left. known: the items to keep."""
    return _of_known(events.filter(pl.col("at") < until), known, TRAFFIC_COLUMNS)


def review_rows(reviews: pl.DataFrame | None, parts: SplitParts) -> pl.DataFrame | None:
    """REVIEW_COLUMNS; None where the shop has no reviews, or none is left."""
    if reviews is None:
        return None
    if parts.cutoff is None:
        return _of_known(reviews, parts.items.filter("trainable"), REVIEW_COLUMNS)
    return _of_known(
        reviews.filter(pl.col("at") < parts.cutoff), parts.items.filter("refit_trainable"), REVIEW_COLUMNS
    )


def read_traffic(split: Path) -> pl.DataFrame | None:
    return _read(split / "statistics" / "traffic.parquet")


def read_reviews(split: Path) -> pl.DataFrame | None:
    return _read(split / "statistics" / "reviews.parquet")


def _of_known(rows: pl.DataFrame, known: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame | None:
    kept = rows.join(known.select("item_id"), on="item_id", how="semi").select(columns)
    if "query" in columns:
        kept = kept.with_columns(normalised("query"))
    return kept.sort(columns) if len(kept) else None


def _read(path: Path) -> pl.DataFrame | None:
    return pl.read_parquet(path) if path.is_file() else None
