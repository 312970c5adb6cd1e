"""The key of a row: source_file, source_row and row_hash (what they mean: components/contract/tables.py)."""

import polars as pl

from components.contract.tables import KEY_COLUMNS

SOURCE_FILE, SOURCE_ROW, ROW_HASH = KEY_COLUMNS
_RESULT, _RESULT_OF = "the SELECT's result", r"^the SELECT's result \((.*)\)$"


def result_of(paths: list[str]) -> str:
    """`source_file` of rows that are no file's rows: the sources' paths, said to be of a SELECT's result."""
    return f"{_RESULT} ({' + '.join(paths)})" if paths else _RESULT


def renewed(rows: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
    """`rows` under today's keys: where a key is not in `current`, the key of the row there with the same
    source and values (row_hash), the k-th for the k-th of equal rows. For an earlier version, and for a file
    that has changed since, a row may have another number."""
    keys = list(KEY_COLUMNS)
    old = rows.select(keys).unique().join(current, on=keys, how="anti")
    new = current.select(keys).unique().join(rows, on=keys, how="anti")
    moved = _numbered(old).join(_numbered(new), on=["of", ROW_HASH, "k"], suffix="_now")
    moved = moved.select(*keys, f"{SOURCE_FILE}_now", f"{SOURCE_ROW}_now")
    joined = rows.join(moved, on=keys, how="left", maintain_order="left")
    today = (pl.coalesce(f"{name}_now", name).alias(name) for name in (SOURCE_FILE, SOURCE_ROW))
    return joined.with_columns(*today).select(rows.columns)


def still_there(rows: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
    """Those of `rows` that `current` has, under today's keys."""
    return renewed(rows, current).join(current, on=KEY_COLUMNS, how="semi", maintain_order="left")


def _numbered(keys: pl.DataFrame) -> pl.DataFrame:
    of = pl.col(SOURCE_FILE).str.replace(_RESULT_OF, "${1}").alias("of")
    k = pl.int_range(pl.len()).over("of", ROW_HASH).alias("k")
    return keys.with_columns(of).sort(*KEY_COLUMNS).with_columns(k)
