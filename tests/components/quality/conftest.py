"""Small tables in the shape that the load stage leaves."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.contract.tables import TABLES

TYPES = {"text": pl.String, "number": pl.Float64, "integer": pl.Int64, "timestamp": pl.Datetime("us")}

GOOD: dict[str, dict[str, Any]] = {
    "items": {"item_id": "A1", "title": "Oak chair", "price": 49.5},
    "events": {
        "at": datetime(2024, 5, 1, 10, 30),
        "kind": "purchase",
        "item_id": "A1",
        "user_id": "u1",
        "quantity": 1.0,
    },
    "judgements": {"query": "oak chair", "item_id": "A1", "grade": 3.0},
    "reviews": {"item_id": "A1", "text": "Sturdy.", "rating": 5.0},
    "dialogues": {"question": "Is it oak?", "answer": "Yes."},
}


def _table(table: str, *changes: dict[str, Any]) -> pl.DataFrame:
    """One row per dict of changes to a good row; contract and key columns."""
    columns = {name: TYPES[kind] for name, kind in TABLES[table].columns.items()}
    keys = {"source_file": pl.String, "source_row": pl.Int64, "row_hash": pl.String}
    rows = [
        {
            **GOOD[table],
            "source_file": f"{table}.csv",
            "source_row": number,
            "row_hash": f"{number:016x}",
            **change,
        }
        for number, change in enumerate(changes, start=1)
    ]
    return pl.DataFrame(rows, schema=columns | keys)


@pytest.fixture(scope="session")
def table() -> Callable[..., pl.DataFrame]:
    return _table


def _write(folder: Path, **tables: pl.DataFrame) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in ({"items": _table("items", {})} | tables).items():
        rows.write_parquet(folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    """Writes tables, given by name, into a folder; items hold one good row where not given."""
    return _write


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Path]:
    """`write` into this test's folder."""
    return partial(_write, tmp_path / "loaded")
