"""The undiscoverable items of a release by when they were listed: a launch's items are alike."""

import json
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors
from components.evaluation.undiscoverable import MAX_ITEMS, sampled_rows
from components.monitoring.catalogue import listed_when
from components.monitoring.reference import MIN_DAYS, Undiscoverable

BLOCKS = (7, 1)
"""Days of listing that make a launch: weeks; days where the items are of fewer than MIN_DAYS weeks."""


def undiscoverable_launches(summary: Path, split: Path, seed: int = 0) -> Undiscoverable:
    """The counts of `undiscoverable.json`, and per launch those of the items that were checked.

    split: the folder whose new items it is about; seed: of their sample. Without launches where items have no
    date, or are of fewer than MIN_DAYS days. Raises MonitoringError where the summary is damaged.
    """
    told = _told(summary)
    with disk_errors(split):
        items = pl.read_parquet(split / "items.parquet")
    ids, new = items.get_column("item_id").to_list(), items.get_column("is_new").to_numpy()
    checked = items[sampled_rows(ids, new, MAX_ITEMS, seed)]
    launches: tuple[tuple[int, int], ...] = ()
    if len(checked) == told["checked"]:
        launches = _launches(checked, {item["item_id"] for item in told["items"]})
    return Undiscoverable(found=told["undiscoverable"], checked=told["checked"], launches=launches)


def _told(summary: Path) -> dict[str, Any]:
    try:
        with disk_errors(summary):
            told: dict[str, Any] = json.loads(summary.read_bytes())
    except ValueError as error:
        raise MonitoringError(f"{summary} cannot be read: it is damaged; remove it and retrain.") from error
    return told


def _launches(checked: pl.DataFrame, found: Collection[str]) -> tuple[tuple[int, int], ...]:
    listed = checked.select(listed_when(checked).alias("at")).to_series()
    latest = listed.max()
    if listed.null_count() or not isinstance(latest, datetime):
        return ()
    hidden = pl.col("item_id").is_in(list(found))
    for days in BLOCKS:
        age = (pl.lit(latest) - listed).dt.total_days() // days
        counts = checked.group_by(age.alias("age")).agg(hidden.sum().alias("found"), pl.len()).sort("age")
        if len(counts) >= MIN_DAYS:
            return tuple(counts.select("found", "len").iter_rows())
    return ()
