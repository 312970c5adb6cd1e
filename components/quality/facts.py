"""Helper columns: what a suite needs to know about a row and Great Expectations cannot see in one table."""

import re
from dataclasses import dataclass

import polars as pl

from components.contract.tables import KEY_COLUMNS, TABLES, TableName

ROW = "row:number"
"""Ordinal within the checked frame; the colon keeps helper columns apart from contract columns."""
ITEM_LISTED = "item:listed"
ITEM_CLEAN = "item:clean"
OCCURRENCE = "row:occurrence"

REPEAT_KEYS: dict[TableName, tuple[str, ...]] = {
    "items": ("item_id",),
    "judgements": ("query", "item_id"),
    "events": tuple(TABLES["events"].columns),
}
"""Two rows with equal values here are one row twice."""
# Without any of these two equal lines may be two customers, so nothing is called a repeat.
EVENT_ACTORS = ("request_id", "session_id", "user_id")


@dataclass(frozen=True)
class Catalogue:
    """Item ids that tables with an `item_id` may refer to."""

    listed: pl.Series
    """All ids of the items table, good and bad rows."""
    clean: pl.Series
    """Ids whose row passed."""


def is_number(column: str) -> str:
    """Name of the helper column: null where the value is null, false where it is NaN or infinite."""
    return f"number:{column}"


def with_facts(
    table: TableName, rows: pl.DataFrame, catalogue: Catalogue | None, ignore_item_pattern: str | None
) -> pl.DataFrame:
    """Adds the helper columns of `row_suite`; numbers that are not finite become null."""
    numbers = [name for name, kind in TABLES[table].columns.items() if kind == "number"]
    rows = rows.with_columns(pl.col(name).is_finite().alias(is_number(name)) for name in numbers)
    rows = rows.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name) for name in numbers
    )
    if catalogue is None or "item_id" not in rows.columns:
        return rows
    return _with_item_facts(rows, catalogue, ignore_item_pattern)


def occurrences(table: TableName, rows: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Which occurrence of its repeat key each row is (1 = first), counting on from `earlier` rows; null
    where nothing tells two rows apart (events without user, session and request). Columns ROW, OCCURRENCE."""
    key = list(REPEAT_KEYS[table])
    seen = earlier.select(key).with_columns(pl.lit(None, dtype=rows.schema[ROW]).alias(ROW))
    every = pl.concat([seen, rows.select(*key, ROW)])
    count = pl.int_range(1, pl.len() + 1).over(key)
    told = pl.any_horizontal(pl.col(EVENT_ACTORS).is_not_null()) if table == "events" else pl.lit(True)
    counted = every.with_columns(pl.when(told).then(count).alias(OCCURRENCE)).drop_nulls(ROW)
    return counted.select(ROW, OCCURRENCE)


def last_of_key(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per key columns, the last: the load stage puts a corrected and replayed row after the
    row it corrects, under the same key."""
    return rows.unique(subset=KEY_COLUMNS, keep="last", maintain_order=True)


def _with_item_facts(
    rows: pl.DataFrame, catalogue: Catalogue, ignore_item_pattern: str | None
) -> pl.DataFrame:
    """Null for ids that are no products and for missing ids: those break an expectation of their own."""
    ignored = _matching(rows["item_id"], ignore_item_pattern)
    apart = pl.col("item_id").is_in(ignored.implode()) | ~pl.col("item_id").str.contains(r"\S")
    listed = pl.col("item_id").is_in(catalogue.listed.unique().implode())
    clean = pl.col("item_id").is_in(catalogue.clean.unique().implode())
    return rows.with_columns(
        pl.when(~apart).then(listed).alias(ITEM_LISTED),
        pl.when(~apart & listed).then(clean).alias(ITEM_CLEAN),
    )


def _matching(ids: pl.Series, pattern: str | None) -> pl.Series:
    # Python's `re`, as the setting promises: polars' own expressions know no look-around.
    if pattern is None:
        return pl.Series([], dtype=pl.String)
    search = re.compile(pattern).search
    return pl.Series([each for each in ids.drop_nulls().unique() if search(each)], dtype=pl.String)
