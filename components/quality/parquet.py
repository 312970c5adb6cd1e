"""Writing a Parquet file whole or not at all."""

import io
from pathlib import Path

import polars as pl

from components.contract.files import write_bytes


def write(path: Path, rows: pl.DataFrame) -> None:
    """By way of memory: polars reports a full disk as a ComputeError, `write_bytes` as a StorageError."""
    buffer = io.BytesIO()
    rows.write_parquet(buffer)
    write_bytes(path, buffer.getvalue())
