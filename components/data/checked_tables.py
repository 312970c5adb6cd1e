"""A task's SELECT over the contract's tables as they are after the checks, in the shop's SQL sandbox.

Beside the shop's own tables there is `relevant`: query, item_id, grade, at (null: undated) of all judgements
and events by which the item answers the query.
"""

import tempfile
from collections.abc import Set
from glob import escape
from pathlib import Path

import duckdb
import polars as pl

from components.contract.errors import ConfigError, DataError
from components.contract.tables import EVENT_GRADES
from components.data.database import open_database, seal

_OF_A_VALUE = (duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException)


def select_checked(checked: Path, sql: str, who: str, relevant_grade: float = 1.0) -> pl.DataFrame:
    """Rows of one SELECT over `<table>.parquet` of the folder. who: what the messages name, "task price";
    relevant_grade: from which a pair is in `relevant`.

    Raises ConfigError: not one SELECT, or over tables and columns that are not there; DataError: a value.
    """
    tables = sorted(checked.glob("*.parquet"))
    with tempfile.TemporaryDirectory(prefix="debut-") as scratch, open_database(Path(scratch)) as connection:
        for table in tables:
            connection.read_parquet(escape(str(table))).create(table.stem)
        connection.execute(_relevant({table.stem for table in tables}, relevant_grade))
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


def _relevant(tables: Set[str], grade: float) -> str:
    """CREATE VIEW relevant."""
    # S608 (SQL from strings): all of it is ours.
    grades = "".join(f" WHEN '{kind}' THEN {worth}" for kind, worth in EVENT_GRADES.items())
    pairs = {
        "judgements": 'SELECT query, item_id, grade, CAST(NULL AS TIMESTAMP) AS "at" FROM judgements',
        "events": f'SELECT query, item_id, CASE kind{grades} END AS grade, "at" FROM events',  # noqa: S608
        "": "SELECT '' AS query, '' AS item_id, 0.0 AS grade, CAST(NULL AS TIMESTAMP) AS \"at\" WHERE false",
    }
    union = " UNION ALL ".join(sql for table, sql in pairs.items() if not table or table in tables)
    wanted = f"query IS NOT NULL AND grade >= {grade!r}"
    return f"CREATE VIEW relevant AS SELECT * FROM ({union}) WHERE {wanted}"  # noqa: S608


def _first_line(error: duckdb.Error) -> str:
    text = str(error).splitlines()[0].strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
