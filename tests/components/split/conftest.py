"""Small shops as checked tables on disk."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from components.contract.settings import SplitSettings
from components.contract.tables import TABLES, TableName
from components.split.split import split

TYPES = {"text": pl.String, "number": pl.Float64, "integer": pl.Int64, "timestamp": pl.Datetime("us")}
Write = Callable[..., Path]


@pytest.fixture
def write_tables(tmp_path: Path) -> Write:
    """Writes frames under the contract's columns; returns the folder."""

    def write(**frames: pl.DataFrame) -> Path:
        folder = tmp_path / "checked"
        folder.mkdir(exist_ok=True)
        for name, frame in frames.items():
            conformed(name, frame).write_parquet(folder / f"{name}.parquet")
        return folder

    return write


def run(folder: Path, settings: SplitSettings) -> Path:
    out = folder.parent / "split"
    out.mkdir()
    split(folder, settings, out)
    return out


def conformed(name: TableName, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        (pl.col(column) if column in frame.columns else pl.lit(None).alias(column)).cast(TYPES[kind])
        for column, kind in TABLES[name].columns.items()
    )


@pytest.fixture
def undated() -> dict[str, pl.DataFrame]:
    """40 items, 30 queries, each query judged on four items; items 5 and 39 share a title."""
    items = pl.DataFrame(
        {"item_id": [f"{100 + i}" for i in range(40)], "title": [f"Thing {i}" for i in range(40)]}
    )
    items = items.with_columns(
        title=pl.when(pl.col("item_id") == "139").then(pl.lit("THING  5")).otherwise("title")
    )
    rows = [
        {"query": f"Query {q}", "item_id": f"{100 + (7 * q + 11 * j) % 40}", "grade": 3.0 if j % 2 else 1.0}
        for q in range(30)
        for j in range(4)
    ]
    return {"items": items, "judgements": pl.DataFrame(rows)}


@pytest.fixture
def dated() -> dict[str, pl.DataFrame]:
    """100 days, an item a day first sold on that day, ten users who buy and search."""
    start = datetime(2026, 1, 1)
    rows = [
        {
            "at": start + timedelta(days=day, minutes=user),
            "kind": "purchase" if (day + user) % 3 else "search_click",
            "item_id": f"i{max(0, day - (user * day) % 5):03d}",
            "user_id": f"u{user}",
            "query": f"find {day % 20}" if user % 2 else None,
        }
        for day in range(100)
        for user in range(10)
    ]
    items = pl.DataFrame(
        {"item_id": [f"i{i:03d}" for i in range(100)], "title": [f"Item {i}" for i in range(100)]}
    )
    return {"items": items, "events": pl.DataFrame(rows)}
