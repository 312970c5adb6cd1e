"""Reads corrected rows from the file that `quarantine.export` made: text cells to the contract's types."""

from pathlib import Path

import polars as pl

from components.contract.errors import DataError
from components.contract.tables import KEY_COLUMNS, TABLES, ColumnType, TableName

TYPES: dict[ColumnType, pl.DataType] = {
    "text": pl.String(),
    "number": pl.Float64(),
    "integer": pl.Int64(),
    "timestamp": pl.Datetime("us"),
}
EXPECTED: dict[ColumnType, str] = {
    "number": "a number such as 2.55",
    "integer": "a whole number",
    "timestamp": "a time such as 2011-09-01 10:30:00",
}
TIME_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M")
LARGEST_WHOLE = 2.0**53
"""Above it a number that went through a spreadsheet no longer tells neighbours apart."""


def read(path: Path) -> dict[TableName, pl.DataFrame]:
    """Corrected rows per table, items first: key columns and the table's contract columns, all but
    source_row as text; empty cells are null.

    Raises DataError: the file is missing or no CSV (comma, UTF-8) or Parquet, a column is missing, a
    table is unknown, a row number is none.
    """
    rows = _text_cells(path)
    _require(path, rows, ["table", *KEY_COLUMNS], "")
    unknown = rows.with_row_index("line", offset=1).filter(
        ~pl.col("table").is_in(list(TABLES)).fill_null(False)
    )
    if not unknown.is_empty():
        line, name = unknown.select("line", "table").row(0)
        raise DataError(f"{path}, row {line}: {name!r} is no table; use one of {', '.join(TABLES)}.")
    rows = _with_source_row(path, rows)
    return {table: _of_table(path, rows, table) for table in TABLES if table in rows["table"]}


def typed(table: TableName, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows in the contract's types, and apart from them the cells that have no such type.

    The second frame has key columns, column, value and expectation; its rows are not in the first.
    """
    kinds = TABLES[table].columns
    parsed = rows.select(*(_parsed(name, kind) for name, kind in kinds.items()), *KEY_COLUMNS)
    problems = [
        rows.filter(rows[name].is_not_null() & parsed[name].is_null()).select(
            *KEY_COLUMNS,
            pl.lit(name).alias("column"),
            pl.col(name).alias("value"),
            pl.lit(f"{name} is {EXPECTED[kind]}").alias("expectation"),
        )
        for name, kind in kinds.items()
        if kind != "text"
    ]
    found = pl.concat(problems)
    return parsed.join(found, on=KEY_COLUMNS, how="anti", maintain_order="left"), found


def _text_cells(path: Path) -> pl.DataFrame:
    """Every cell as text without blanks around it; null where nothing is left."""
    if path.suffix not in (".csv", ".parquet"):
        raise DataError(
            f"{path}: corrected rows come as .csv or .parquet; export the quarantine to one of these."
        )
    try:
        if path.suffix == ".csv":
            rows = pl.read_csv(path, infer_schema=False, glob=False)
        else:
            rows = pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: cannot be read ({reason}); save it as CSV, comma-separated, UTF-8."
        ) from error
    text = pl.all().cast(pl.String).str.strip_chars()
    return rows.select(pl.when(text != "").then(text).name.keep())


def _with_source_row(path: Path, rows: pl.DataFrame) -> pl.DataFrame:
    number = pl.col("source_row").cast(pl.Int64, strict=False)
    numbered = rows.with_columns(number.alias("number")).with_row_index("line", offset=1)
    bad = numbered.filter(pl.col("number").is_null())
    if not bad.is_empty():
        line, given = bad.select("line", "source_row").row(0)
        raise DataError(f"{path}, row {line}: source_row {given!r} is no row number; leave it as exported.")
    keys = (pl.col(name).fill_null("") for name in ("source_file", "row_hash"))
    return rows.with_columns(number.alias("source_row"), *keys)


def _of_table(path: Path, rows: pl.DataFrame, table: TableName) -> pl.DataFrame:
    columns = list(TABLES[table].columns)
    _require(path, rows, columns, f" of table {table}")
    return rows.filter(pl.col("table") == table).select(*KEY_COLUMNS, *columns)


def _require(path: Path, rows: pl.DataFrame, columns: list[str], place: str) -> None:
    missing = [name for name in columns if name not in rows.columns]
    if missing:
        raise DataError(
            f"{path}: column {missing[0]}{place} is missing; keep all columns of "
            "`debut quarantine list --export`, separated by commas."
        )


def _parsed(name: str, kind: ColumnType) -> pl.Expr:
    text = pl.col(name)
    number = text.cast(pl.Float64, strict=False)
    if kind == "number":
        return number
    if kind == "integer":
        whole = (number == number.floor()) & (number.abs() <= LARGEST_WHOLE)
        return pl.when(whole).then(number).cast(pl.Int64).alias(name)
    if kind == "timestamp":
        times = (text.str.to_datetime(each, time_unit="us", strict=False) for each in TIME_FORMATS)
        return pl.coalesce(*times, text.str.to_date("%Y-%m-%d", strict=False).cast(TYPES[kind])).alias(name)
    return text
