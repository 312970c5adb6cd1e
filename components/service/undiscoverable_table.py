"""The undiscoverable items of a release, as its CSV file and the figures beside it tell them."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import polars as pl

from components.contract.errors import StorageError
from components.contract.files import disk_errors
from components.contract.spreadsheets import unguarded
from components.evaluation.undiscoverable_report import REASONS, SCHEMA

_SHOWN = ("item_id", "title", "category", "brand", "reason", "fix", "best_query", "best_place")
_DATES = ("listed_at", "first_seen")


@dataclass(frozen=True)
class UndiscoverableItem:
    """One row; texts as the shop wrote them."""

    item_id: str
    title: str
    category: str | None
    brand: str | None
    reason: str
    fix: str
    best_query: str | None
    best_place: int | None
    listed_at: datetime | None
    first_seen: datetime | None


@dataclass(frozen=True)
class UndiscoverableTable:
    items: tuple[UndiscoverableItem, ...]
    at: datetime
    """When the file was written, in UTC."""
    sentence: str | None
    """The figures in words, where the JSON file is there."""
    k: int | None
    """Places in which an item counts as found."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises StorageError where the file is damaged."""
        with disk_errors(path):
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            try:
                rows = pl.read_csv(path, schema_overrides=dict.fromkeys(SCHEMA, pl.String))
                rows = rows.select(*(unguarded(pl.col(name)).alias(name) for name in _SHOWN), *_DATES)
                items = tuple(map(_item, rows.iter_rows()))
                figures = _figures(path.with_suffix(".json"))
            except (pl.exceptions.PolarsError, ValueError, KeyError, TypeError) as error:
                raise StorageError(
                    f"{path}: no readable list of undiscoverable items; run `debut undiscoverable` again."
                ) from error
        return cls(items, at, figures.get("sentence"), figures.get("k"))

    @property
    def by_reason(self) -> dict[str, int]:
        """Reasons that occur, with their number of items, in the order in which they are looked for."""
        counts = Counter(item.reason for item in self.items)
        return {reason: counts[reason] for reason in (*REASONS, *sorted(counts)) if counts[reason]}

    def because(self, reason: str) -> tuple[UndiscoverableItem, ...]:
        return tuple(item for item in self.items if item.reason == reason)


def _item(row: tuple[str | None, ...]) -> UndiscoverableItem:
    item_id, title, category, brand, reason, fix, best_query = row[: len(_SHOWN) - 1]
    place, listed_at, first_seen = row[len(_SHOWN) - 1 :]
    return UndiscoverableItem(
        item_id=item_id or "",
        title=title or "",
        category=category,
        brand=brand,
        reason=reason or "",
        fix=fix or "",
        best_query=best_query,
        best_place=int(place) if place else None,
        listed_at=datetime.fromisoformat(listed_at) if listed_at else None,
        first_seen=datetime.fromisoformat(first_seen) if first_seen else None,
    )


def _figures(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found
