"""What is in the catalogue now: how many items are new, and the newest of them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from components.service.answering import is_new
from components.service.serving import Release
from components.service.side_by_side import Shown, shown

NEWEST = 6
MOST_CHOICES = 300
"""Brands and categories that the form proposes."""
MOST_CHANGES = 20_000
"""Changes since the release that are looked at, the last ones; more would make the page slow."""


@dataclass(frozen=True)
class Overview:
    items: int
    new: int
    undated: int
    """Of the new ones, those without a date: they were PUT since the release was built."""
    newest: tuple[Shown, ...]
    """New items, the last listed first."""


def overview(release: Release, now: datetime) -> Overview:
    """now: naive, in UTC. Reads the index beside its thread: what it reads is only ever added to."""
    new = [*_new_of_snapshot(release), *_new_of_changes(release)]
    # Items without a date are new because they were PUT since: the last row is the last PUT.
    ordered = sorted(enumerate(new), key=lambda one: (_listed(one[1]), one[0]), reverse=True)
    newest = [shown(item, release, now) for _, item in ordered[:NEWEST]]
    undated = sum(_listed(item) == datetime.max for item in new)
    return Overview(len(release.index), len(new), undated, tuple(newest))


def choices(release: Release) -> dict[str, list[str]]:
    """The release's most frequent brands and categories, each in alphabetical order."""
    return {name: _frequent(release.index.snapshot_items[name]) for name in ("brand", "category")}


def _frequent(values: pl.Series) -> list[str]:
    counts = values.drop_nulls().value_counts(sort=True).head(MOST_CHOICES)
    return sorted(value for value in counts.get_column(values.name).to_list() if value.strip())


def _new_of_snapshot(release: Release) -> list[dict[str, Any]]:
    if release.cutoff is None:
        return []
    listed = pl.coalesce("listed_at", "first_seen")
    rows = release.index.snapshot_items.with_row_index("row").filter(listed >= release.cutoff)
    return [
        release.index.item(row)
        for row, item_id in rows.select("row", "item_id").iter_rows()
        if release.index.row(item_id) == row  # else it was changed or deleted since
    ]


def _new_of_changes(release: Release) -> list[dict[str, Any]]:
    index = release.index
    end, first = len(index.item_ids), len(index.snapshot_items)
    rows = range(max(first, end - MOST_CHANGES), end)
    items = [index.item(row) for row in rows if index.row(index.item_ids[row]) == row]
    return [item for item in items if is_new(item, release)]


def _listed(item: dict[str, Any]) -> datetime:
    return item.get("listed_at") or item.get("first_seen") or datetime.max
