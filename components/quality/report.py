"""quality.json and quality.html: what was asked of the rows, how many broke it, and the first of them.

Great Expectations' own Data Docs link content delivery networks and are unstyled
offline; this page is one file and loads nothing (docs/decisions/0003).
"""

import json
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from components.contract.errors import DataError
from components.contract.files import write_bytes, write_json
from components.contract.settings import QualitySettings
from components.contract.tables import TableName
from components.quality.inspection import Inspection

PAGE = "quality.html"
DATA = "quality.json"
EXAMPLES = 20
"""Bad rows shown per expectation; all of them are in quarantine.parquet."""
CELL_CHARACTERS = 80
FREQUENT = 6
"""Offending values counted per expectation."""


def table_summary(
    table: TableName, inspection: Inspection, replaced: int, settings: QualitySettings
) -> dict[str, Any]:
    """Counts and examples of one table, JSON-safe; broken expectations first, most bad rows first.

    `replaced`: rows left out because a corrected copy was replayed; they count in nothing else.
    """
    tolerance = settings.table_tolerance.get(table, settings.tolerance)
    bad = inspection.bad
    rows = inspection.clean.height + bad
    broken = inspection.quarantine.partition_by("column", "expectation", as_dict=True)
    lines = [
        _line(column, sentence, broken.get((column, sentence)), rows)
        for column, sentence in inspection.expectations
    ]
    return {
        "table": table,
        "rows": rows,
        "clean": inspection.clean.height,
        "quarantined": bad,
        "replaced": replaced,
        "share": bad / max(rows, 1),
        "tolerance": tolerance,
        "stopped": bad / max(rows, 1) > tolerance or (table == "items" and inspection.clean.is_empty()),
        "expectations": sorted(lines, key=lambda line: -line["rows"]),
    }


def read(stage: Path) -> dict[str, Any]:
    """quality.json of a check stage. Raises DataError where there is none."""
    path = stage / DATA
    if not path.is_file():
        raise DataError(f"{path}: there is no quality report; run `debut retrain` first.")
    summary: dict[str, Any] = json.loads(path.read_bytes())
    return summary


def write(stage: Path, summary: dict[str, Any]) -> None:
    """Writes quality.json and quality.html. Raises StorageError from the disk."""
    write_json(stage / DATA, summary)
    write_bytes(stage / PAGE, page(summary).encode())


def add_coverage(stage: Path, lost: dict[str, int]) -> None:
    """Adds `coverage.lost_items` to both files; no digest of the stage covers them."""
    write(stage, read(stage) | {"coverage": lost})


def page(summary: dict[str, Any]) -> str:
    """The summary as one HTML page without scripts, links or images; everything from the data is escaped."""
    environment = Environment(
        loader=PackageLoader("components.quality"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": "{:,}".format, "percent": _unbroken_percent}
    totals = {
        name: sum(table[name] for table in summary["tables"]) for name in ("rows", "clean", "quarantined")
    }
    return environment.get_template("quality.html").render(**summary, totals=totals, examples=EXAMPLES)


def percent(share: float) -> str:
    """A share with two useful digits: 25 %, 3.7 %, 0.04 %; never "0 %" for something."""
    if share == 0 or share == 1:
        return f"{100 * share:.0f} %"
    if share < 0.0001:
        return "< 0.01 %"
    digits = 0 if 0.1 <= share < 0.995 else 1 if share >= 0.01 else 2
    return f"{100 * share:.{digits}f} %"


def _unbroken_percent(share: float) -> str:
    return percent(share).replace(" ", "\u00a0")


def _line(column: str, sentence: str, broken: pl.DataFrame | None, rows: int) -> dict[str, Any]:
    bad = 0 if broken is None else broken.height
    examples = (
        [] if broken is None else [_example(row) for row in broken.head(EXAMPLES).iter_rows(named=True)]
    )
    return {
        "column": column,
        "expectation": sentence,
        "rows": bad,
        "share": bad / max(rows, 1),
        "values": [] if broken is None else _frequent_values(broken),
        "examples": examples,
    }


def _frequent_values(broken: pl.DataFrame) -> list[list[Any]]:
    """[value, bad rows] of the most frequent offending values that occur more than once."""
    values = broken["value"].drop_nulls().value_counts().filter(pl.col("count") > 1)
    return [
        list(pair) for pair in values.sort("count", "value", descending=[True, False]).head(FREQUENT).rows()
    ]


def _example(row: dict[str, Any]) -> dict[str, Any]:
    cells = {name: value for name, value in json.loads(row["row"]).items() if value is not None}
    return {
        "source_file": row["source_file"],
        "source_row": row["source_row"],
        "row_hash": row["row_hash"],
        "value": row["value"],
        "cells": {name: _cut(value) for name, value in cells.items() if name != row["column"]},
    }


def _cut(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else text[:CELL_CHARACTERS] + "…"
