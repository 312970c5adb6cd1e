"""Rows of a task whose text is a query: one per query and part, held out as the split holds queries out.

Which part a row belongs to:
- Dated rows, where the split is dated: before the validation window, in it, from T on, whatever is asked
  later. What was asked before is asked again, and the head that serves has to know it (rows.py).
- Undated rows: a judged query's belong to its part; others are learned, unless a row of a later part asks the
  same.
- What was clicked or judged relevant may be new: a new item's rows are test rows or none, a validation-new
  item's never learned.

People who ask the same take different items, so a query's target is what most of its rows have (of a
regression the median), apart for new items: `is_new` says of which the row tells, on validation of items that
were new in its window (as rows.py has it: intervals are to hold for such).
"""

from collections.abc import Mapping, Set
from datetime import datetime
from typing import Literal

import polars as pl

from components.contract.task import Task
from components.split import judged as judged_sets
from components.split.catalogue import normalised

Part = Literal["train", "validation", "test"]
_KEYS = ("part", "key", "is_new")


def cut_queries(
    task: Task,
    rows: pl.DataFrame,
    items: pl.DataFrame,
    cutoffs: tuple[datetime | None, ...],
    judged: Mapping[judged_sets.Part, Set[str]],
) -> dict[Part, pl.DataFrame]:
    """As `rows.cut`; judged: normalised queries of the split's validation and test."""
    known = items.select("item_id", "is_new", "is_validation_new")
    rows = rows.join(known, on="item_id", how="left", maintain_order="left").with_columns(
        key=normalised("text")
    )
    # A row about an item that the checks took out is none.
    rows = rows.filter(pl.col("item_id").is_null() | pl.col("is_new").is_not_null())
    rows = rows.with_columns(pl.col("is_new", "is_validation_new").fill_null(False))
    rows = rows.with_columns(part=_part(cutoffs, judged)).filter(_item_may_be_known())
    dated = pl.lit(cutoffs[0] is not None) & pl.col("at").is_not_null()
    for part, earlier in (("test", ["train", "validation"]), ("validation", ["train"])):
        held = rows.filter(pl.col("part") == part).get_column("key").unique()
        rows = rows.filter(dated | ~pl.col("part").is_in(earlier) | ~pl.col("key").is_in(held.implode()))
    new_then = (pl.col("part") == "validation") & pl.col("is_validation_new")
    rows = rows.with_columns(is_new=pl.col("is_new") | new_then)
    one_each = _agreed(task, rows)
    parts: tuple[Part, ...] = ("train", "validation", "test")
    return {part: one_each.filter(pl.col("part") == part).drop("part") for part in parts}


def _part(cutoffs: tuple[datetime | None, ...], judged: Mapping[judged_sets.Part, Set[str]]) -> pl.Expr:
    by_date = _by_date(cutoffs)
    asked = pl.lit(None, dtype=pl.String)
    for part in judged_sets.PARTS:  # the test last: a query judged in both is the test's
        asked = pl.when(pl.col("key").is_in(sorted(judged[part]))).then(pl.lit(part)).otherwise(asked)
    return pl.coalesce(by_date, asked, pl.lit("train"))


def _by_date(cutoffs: tuple[datetime | None, ...]) -> pl.Expr:
    start, cutoff, end = cutoffs
    at, nothing = pl.col("at"), pl.lit(None, dtype=pl.String)
    if start is None or cutoff is None or end is None:
        return nothing
    return (
        pl.when(at.is_null()).then(nothing)
        .when(at < start).then(pl.lit("train"))
        .when(at < cutoff).then(pl.lit("validation"))
        .when(at < end).then(pl.lit("test"))
        .otherwise(pl.lit("none"))
    )  # fmt: skip


def _item_may_be_known() -> pl.Expr:
    part = pl.col("part")
    learned = (part == "train") & ~pl.col("is_new") & ~pl.col("is_validation_new")
    return learned | ((part == "validation") & ~pl.col("is_new")) | (part == "test")


def _agreed(task: Task, rows: pl.DataFrame) -> pl.DataFrame:
    """part, item_id (null: of several), group (the query), at (the latest), text, target, is_new: a line per
    part, query and kind of item."""
    told = [pl.col("text").min(), pl.col("at").max()]
    if task.head == "regression":
        agreed = rows.group_by(_KEYS).agg(*told, pl.col("target").median())
    else:
        texts = rows.group_by(_KEYS).agg(*told)
        counts = rows.group_by(*_KEYS, "target").len().sort("len", "target", descending=[True, False])
        agreed = texts.join(counts.unique(_KEYS, keep="first", maintain_order=True), on=_KEYS)
    item_id = pl.lit(None, dtype=pl.String).alias("item_id")
    group = pl.col("key").alias("group")
    return agreed.sort(_KEYS).select("part", item_id, group, "at", "text", "target", "is_new")
