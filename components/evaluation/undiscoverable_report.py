"""The report on undiscoverable items: a record per item, and figures that compare between releases."""

import io
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl
from scipy.stats import binomtest

from components.contract.files import write_bytes
from components.contract.spreadsheets import guarded
from components.evaluation.likely_queries import LikelyQuery

Reason = Literal["no title", "unknown words", "filtered", "near-duplicates", "outranked"]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""In the order in which they are looked for: the first that holds is an item's reason."""
DEPTH = 100
"""Places in which an item is looked for (k where that is more)."""
CONFIDENCE = 0.95
LIST_SEPARATOR = " | "
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "category": pl.String,
    "brand": pl.String,
    "listed_at": pl.Datetime("us"),
    "first_seen": pl.Datetime("us"),
    "age_days": pl.Float64,
    "reason": pl.String,
    "fix": pl.String,
    "best_query": pl.String,
    "best_place": pl.Int64,
    "queries": pl.List(pl.String),
    "query_sources": pl.List(pl.String),
    "crowding": pl.List(pl.String),
}


@dataclass(frozen=True)
class UndiscoverableItem:
    """A new item that none of its likely queries finds in the top k."""

    item_id: str
    title: str
    category: str | None
    brand: str | None
    listed_at: datetime | None
    first_seen: datetime | None
    age_days: float | None
    """Days from first_seen to the report's `at`; None where one is unknown, or first_seen is later."""
    reason: Reason
    fix: str
    """What a merchandiser can try, in a sentence or two."""
    best_query: str | None
    """The query that puts it highest; the first where none has it in the top 100; None without queries."""
    best_place: int | None
    """Its place for best_query, from 1; None beyond the top 100."""
    queries: tuple[LikelyQuery, ...]
    """All that were tried."""
    crowding: tuple[str, ...]
    """item_ids on the places of best_query, best first: its near-duplicates in the top k where these are
    the reason, else the first three."""


@dataclass(frozen=True)
class UndiscoverableReport:
    """Two reports on the same items with the same queries and k are comparable."""

    retriever: str
    k: int
    new_items: int
    """New items of the catalogue."""
    checked: int
    """New items whose queries were tried; fewer than new_items: a sample."""
    queries: int
    """Distinct queries tried."""
    items: tuple[UndiscoverableItem, ...]
    """In the order of REASONS, then of item_id."""

    @property
    def count(self) -> int:
        return len(self.items)

    @property
    def share(self) -> float | None:
        """Of the checked items; None where none was checked."""
        return self.count / self.checked if self.checked else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the share (Wilson 1927): the new items as a sample of such items."""
        if not self.checked:
            return None
        interval = binomtest(self.count, self.checked).proportion_ci(CONFIDENCE, method="wilson")
        return float(interval.low), float(interval.high)

    @property
    def by_reason(self) -> dict[Reason, int]:
        """Every reason with its number of items, 0 included."""
        counts = Counter(item.reason for item in self.items)
        return {reason: counts[reason] for reason in REASONS}

    @property
    def sentence(self) -> str:
        """The figures in words, and whether they are of a sample."""
        if self.interval is None or self.share is None:
            return "No new item was checked."
        low, high = self.interval
        of = (
            f"{self.checked:,} new items"
            if self.checked == self.new_items
            else f"{self.checked:,} new items (a fixed sample of {self.new_items:,})"
        )
        return (
            f"{self.count:,} of {of} are in the top {self.k} of none of their likely queries: "
            f"{self.share:.1%}, 95 % interval {low:.1%} to {high:.1%}."
        )

    def to_frame(self) -> pl.DataFrame:
        """A row per undiscoverable item, columns as SCHEMA."""
        return pl.DataFrame([_row(item) for item in self.items], schema=SCHEMA, orient="row")

    def write_csv(self, path: Path) -> Path:
        """to_frame for spreadsheets, UTF-8: lists are joined by " | ", and a cell that a spreadsheet would
        run as a formula starts with an apostrophe. Raises StorageError."""
        lists = [name for name, kind in SCHEMA.items() if kind == pl.List(pl.String)]
        flat = self.to_frame().with_columns(pl.col(lists).list.join(LIST_SEPARATOR))
        texts = [name for name, kind in flat.schema.items() if kind == pl.String]
        safe = flat.with_columns(guarded(pl.col(name)).alias(name) for name in texts)
        buffer = io.BytesIO()
        safe.write_csv(buffer)
        return write_bytes(path, buffer.getvalue())

    def as_json(self) -> dict[str, Any]:
        """Everything in JSON's types; moments as ISO 8601."""
        return {
            "retriever": self.retriever,
            "k": self.k,
            "new_items": self.new_items,
            "checked": self.checked,
            "queries": self.queries,
            "undiscoverable": self.count,
            "share": self.share,
            "interval": None if self.interval is None else list(self.interval),
            "by_reason": self.by_reason,
            "sentence": self.sentence,
            "items": [_json(item) for item in self.items],
        }


def _row(item: UndiscoverableItem) -> tuple[Any, ...]:
    values = vars(item) | {
        "queries": [query.text for query in item.queries],
        "query_sources": [query.source for query in item.queries],
        "crowding": list(item.crowding),
    }
    return tuple(values[name] for name in SCHEMA)


def _json(item: UndiscoverableItem) -> dict[str, Any]:
    values = asdict(item) | {"queries": [asdict(q) for q in item.queries], "crowding": list(item.crowding)}
    return {name: v.isoformat() if isinstance(v, datetime) else v for name, v in values.items()}
