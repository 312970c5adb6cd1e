"""The quarantine: every bad row with its key, the expectation it broke and the value."""

import json
from pathlib import Path

import polars as pl

from components.contract.errors import ConfigError, DataError
from components.contract.files import write_bytes
from components.contract.tables import KEY_COLUMNS, TABLES, TableName
from components.quality import parquet

FILE = "quarantine.parquet"
QUARANTINE_SCHEMA = pl.Schema(
    {
        "table": pl.String,
        "source_file": pl.String,
        "source_row": pl.Int64,
        "row_hash": pl.String,
        "column": pl.String,
        "expectation": pl.String,
        "value": pl.String,
        "row": pl.String,
    }
)
"""One line per bad row × broken expectation; `row` is JSON of the contract columns, each as text or null."""


def read(stage: Path) -> pl.DataFrame:
    """The quarantine that `check` left in `stage`: columns of QUARANTINE_SCHEMA.

    Raises DataError where there is none.
    """
    path = stage / FILE
    if not path.is_file():
        raise DataError(f"{path}: there is no quarantine; run `debut check` first.")
    return pl.read_parquet(path)


def counts(quarantine: pl.DataFrame) -> pl.DataFrame:
    """Bad rows per table, column and expectation, most first: columns table, column, expectation, rows."""
    return (
        quarantine.group_by("table", "column", "expectation", maintain_order=True)
        .agg(pl.len().cast(pl.Int64).alias("rows"))
        .sort("table", "rows", descending=[False, True], maintain_order=True)
    )


def bad_rows(quarantine: pl.DataFrame) -> pl.DataFrame:
    """One line per bad row, all cells text: table, reason, key columns, then the contract columns of
    the tables that occur (null in rows of tables without that column)."""
    key = ["table", *KEY_COLUMNS]
    lines = quarantine.group_by(key, maintain_order=True).agg(
        pl.col("expectation").str.join("; ").alias("reason"), pl.col("row").first()
    )
    tables = [table for table in TABLES if table in lines["table"]]
    columns = dict.fromkeys(column for table in tables for column in TABLES[table].columns)
    cells = pl.DataFrame([json.loads(row) for row in lines["row"]], schema=dict.fromkeys(columns, pl.String))
    keys = lines.select("table", "reason", *KEY_COLUMNS).with_columns(pl.col("source_row").cast(pl.String))
    return pl.concat([keys, cells], how="horizontal")


def export(quarantine: pl.DataFrame, path: Path) -> int:
    """Writes `bad_rows` as CSV or Parquet, by the suffix of `path`, to be corrected and replayed.

    Returns the number of rows. Raises ConfigError for another suffix or a folder that is not there,
    StorageError from the disk.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}; make it, or name another place.")
    rows = bad_rows(quarantine)
    if path.suffix == ".csv":
        # The mark at the start tells spreadsheets that the file is UTF-8.
        write_bytes(path, rows.write_csv(include_bom=True).encode())
    elif path.suffix == ".parquet":
        parquet.write(path, rows)
    else:
        raise ConfigError(f"{path}: the quarantine is exported as .csv or .parquet; choose one of these.")
    return rows.height


def item_ids(quarantine: pl.DataFrame, table: TableName = "items") -> pl.Series:
    """The item_id of each bad row of `table`; null where it has none."""
    rows = quarantine.filter(pl.col("table") == table)["row"]
    return rows.str.json_path_match("$.item_id").alias("item_id")
