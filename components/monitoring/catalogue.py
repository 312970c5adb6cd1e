"""Which items of a catalogue are new: the one rule for the reference, live windows and online estimates."""

from datetime import datetime, timedelta

import polars as pl


def is_new(items: pl.DataFrame, at: datetime, days: int) -> pl.Expr:
    """A boolean without nulls over the rows of `items`, named is_new.

    An item is new for `days` after it was listed (`listed_at`, or where that is not known, `first_seen`):
    until `at` (naive, UTC; exclusive). An item with neither date is new by the column `is_new`, which a split
    and index.catalogue.catalogue_now write; without that column it is not. Columns that are absent count as
    null.
    """
    listed = listed_when(items)
    by_date = (listed >= at - timedelta(days=days)) & (listed < at)
    flag = pl.col("is_new").fill_null(False) if "is_new" in items.columns else pl.lit(False)
    return pl.when(listed.is_null()).then(flag).otherwise(by_date).alias("is_new")


def listed_when(items: pl.DataFrame) -> pl.Expr:
    """listed_at, else first_seen, else null; naive, UTC."""
    dates = [pl.col(name) for name in ("listed_at", "first_seen") if name in items.columns]
    dates = [date.cast(pl.Datetime("us")) for date in dates]
    return pl.coalesce(*dates) if dates else pl.lit(None, pl.Datetime("us"))


def drawable(items: pl.DataFrame, cutoff: datetime | None) -> pl.Expr:
    """Which items the service may draw into an exploration place; the same rule as service.answering.is_new.

    items: of index.catalogue.catalogue_now; cutoff: of the release (naive, UTC). Listed at or after the
    cut-off; undated, or without a cut-off: not in the release's snapshot. Of an item that was PUT the service
    does not know when it was first seen.
    """
    seen = pl.when("put").then(pl.lit(None, pl.Datetime("us"))).otherwise(listed_when(items))
    listed = pl.coalesce(pl.col("listed_at").cast(pl.Datetime("us")), seen)
    if cutoff is None:
        return pl.col("added").alias("drawable")
    return pl.when(listed.is_null()).then("added").otherwise(listed >= cutoff).alias("drawable")
