"""A task's SELECT over the contract's tables as they are after the checks, in the shop's SQL sandbox."""

import tempfile
from pathlib import Path

import duckdb
import polars as pl

from components.contract.errors import ConfigError, DataError
from components.data.database import open_database, seal

_OF_A_VALUE = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)


def select_checked(checked: Path, sql: str, who: str) -> pl.DataFrame:
    """Rows of one SELECT over `<table>.parquet` of the folder. who: what the messages name, "task price".

    Raises ConfigError: not one SELECT, or over tables and columns that are not there; DataError: a value.
    """
    tables = sorted(checked.glob("*.parquet"))
    with tempfile.TemporaryDirectory(prefix="debut-") as scratch, open_database(Path(scratch)) as connection:
        for table in tables:
            connection.read_parquet(str(table)).create(table.stem)
        seal(connection)
        names = ", ".join(table.stem for table in tables if table.stem != "quarantine")
        try:
            statements = connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                raise ConfigError(f"{who}: rows must be one SELECT over the shop's tables: {names}.")
            connection.execute("BEGIN TRANSACTION READ ONLY")
            rows: pl.DataFrame = connection.sql(sql.rstrip("; \t\r\n")).pl()
            return rows
        except _OF_A_VALUE as error:
            raise DataError(f"{who}: {_first_line(error)} (TRY_CAST makes such a value null.)") from error
        except duckdb.Error as error:
            raise ConfigError(
                f"{who}: {_first_line(error)} Correct its SELECT, or give the shop what it reads; the shop's "
                f"tables are: {names}."
            ) from error


def _first_line(error: duckdb.Error) -> str:
    text = str(error).splitlines()[0].strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
