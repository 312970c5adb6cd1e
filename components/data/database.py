"""The DuckDB adapter: sources into memory, then the shop's SQL in a sandbox.

In this order: sources are read; then external access is switched off and the configuration locked;
then each table's single SELECT runs in a read-only transaction (DuckDB 2.0 takes
`WITH … AS (DELETE … RETURNING …) SELECT` for a SELECT). DuckDB is never told to find extensions,
nor the variables of this process.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path, PurePosixPath

import duckdb
import polars as pl

from components.contract.errors import ConfigError, DataError, StorageError
from components.contract.settings import Source
from components.contract.tables import TableName
from components.data.conformance import conform
from components.data.decoding import Compression, Text, decode, header
from components.data.file_rows import tables_named, with_file_rows
from components.data.row_keys import SOURCE_FILE, SOURCE_ROW, result_of

COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
}
SPREADSHEETS = {".xlsx", ".xlsm", ".xls", ".ods"}
# Guesses that DuckDB makes about JSON strings and that would change them: a UUID loses its capitals.
GUESSED_FROM_TEXT = {"DATE", "TIME", "UUID", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", '"NULL"'}


def open_database(folder: Path) -> duckdb.DuckDBPyConnection:
    """An empty database in memory, its session in UTC; what does not fit spills to `folder`."""
    connection = duckdb.connect(
        config={
            "threads": 2,
            "temp_directory": str(folder / "spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET timezone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")  # it would draw into our own output
    connection.execute("CREATE SCHEMA loaded")
    return connection


def add_source(
    connection: duckdb.DuckDBPyConnection, name: str, source: Source, file: Path, folder: Path
) -> int | None:
    """Reads `file` as the table `name`, with the columns source_file and source_row.

    CSV columns are all text: guessed types would eat the zeros in front of an id. Returns the number
    of control characters in a text file, None for Parquet. Raises DataError where the file is not
    what it should be, ConfigError where its format is unknown.
    """
    kind, compression = _format(name, source), _compression(source.path)
    text = None
    if kind != "parquet":
        text = decode(file, name, compression, source.encoding, folder, unmarked=kind == "json")
    with _read_errors(name, source):
        relation = _relation(connection, f"{name} ({source.path})", kind, file, text)
        _refuse_key_columns(name, relation.columns)
        relation.create(f"loaded.{_quoted(name)}")
        first = 2 if kind == "csv" else 1  # a CSV's row 1 is its header
        numbered = f"*, {_literal(source.path)} AS {SOURCE_FILE}, rowid + {first} AS {SOURCE_ROW}"
        connection.table(f"loaded.{_quoted(name)}").project(numbered).create_view(name)
    return text.control_characters if text else None


def seal(connection: duckdb.DuckDBPyConnection) -> None:
    """From here on no statement reaches a file, the network or a setting."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def select(
    connection: duckdb.DuckDBPyConnection, table: TableName, sql: str, sources: dict[str, Source]
) -> pl.DataFrame:
    """Rows of one contract table by the shop's SQL. Raises ConfigError: not one SELECT over the
    sources; DataError: the result is not the contract's."""
    with _sql_errors(connection, table, sources):
        _require_select(connection, table, sql)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        try:
            relation = with_file_rows(connection, sql.rstrip("; \t\r\n"))
            return conform(relation, table, _origin(connection, sql, sources))
        finally:
            connection.rollback()


def _relation(
    connection: duckdb.DuckDBPyConnection, name: str, kind: str, file: Path, text: Text | None
) -> duckdb.DuckDBPyRelation:
    """DuckDB takes a path for a pattern: `a[1].csv` unescaped would read a1.csv."""
    if text is None:
        return connection.read_parquet(escape(str(file)), binary_as_string=True)
    path, compression = escape(str(text.path)), text.compression
    if kind == "csv":
        names, delimiter = header(text, name)
        return connection.read_csv(
            path,
            header=True,
            auto_detect=False,
            all_varchar=True,
            columns=dict.fromkeys(names, "VARCHAR"),
            delimiter=delimiter,
            quotechar='"',
            escapechar='"',
            comment="",
            compression=compression,
            hive_partitioning=False,
        )
    guessed = connection.read_json(
        path, sample_size=-1, map_inference_threshold=-1, compression=compression, hive_partitioning=False
    )
    types = {column: str(kind) for column, kind in zip(guessed.columns, guessed.types, strict=True)}
    columns = {column: "VARCHAR" if kind in GUESSED_FROM_TEXT else kind for column, kind in types.items()}
    return connection.read_json(path, columns=columns, compression=compression, hive_partitioning=False)


def _require_select(connection: duckdb.DuckDBPyConnection, table: TableName, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = " and ".join(str(each.type).rpartition(".")[2] for each in statements) or "nothing"
        raise ConfigError(f"tables.{table}: expected one SELECT over the sources, found {kinds}.")


def _origin(connection: duckdb.DuckDBPyConnection, sql: str, sources: dict[str, Source]) -> str:
    """What stands in source_file where the rows are no file's rows."""
    read = tables_named(connection, sql)
    return result_of([source.path for name, source in sources.items() if name.lower() in read])


def _format(name: str, source: Source) -> str:
    path = PurePosixPath(source.path.lower())
    if source.format:
        kind: str | None = source.format
    else:
        kind = FORMATS.get((path.with_suffix("") if path.suffix in COMPRESSIONS else path).suffix)
    if kind is None and path.suffix in SPREADSHEETS:
        raise ConfigError(
            f"sources.{name}: {source.path} is a spreadsheet's own format, which is not read; save it as CSV "
            f"or Parquet, and name that file."
        )
    if kind is None:
        raise ConfigError(
            f"sources.{name}: {source.path} does not say its format; set format: csv, parquet or json."
        )
    if kind == "parquet" and source.encoding.lower() not in ("utf-8", "utf8"):
        raise ConfigError(f"sources.{name}: encoding is for CSV and JSON; Parquet is always UTF-8.")
    return kind


def _compression(path: str) -> Compression:
    return COMPRESSIONS.get(PurePosixPath(path.lower()).suffix, "none")


def _refuse_key_columns(name: str, columns: Iterable[str]) -> None:
    taken = {column.lower() for column in columns} & {SOURCE_FILE, SOURCE_ROW}
    if taken:
        raise DataError(f"source {name} has a column {sorted(taken)[0]}, which Debut adds itself; rename it.")


@contextmanager
def _read_errors(name: str, source: Source) -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise StorageError(
            f"source {name}: no memory or disk left for it: {_brief(error)} Free some."
        ) from error
    except duckdb.Error as error:
        if "state machine reached an invalid state" in str(error):  # a line end unlike the first one
            raise DataError(
                f"source {name} ({source.path}): its lines do not all end alike (some in CR LF, others in "
                f"LF or CR alone); save it with one kind of line end, for instance by dos2unix."
            ) from error
        raise DataError(
            f"source {name} ({source.path}) cannot be read: {_brief(error)} Check that the file is whole and "
            f"is what its name, or sources.{name}.format, says."
        ) from error


@contextmanager
def _sql_errors(
    connection: duckdb.DuckDBPyConnection, table: TableName, sources: dict[str, Source]
) -> Iterator[None]:
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise StorageError(
            f"tables.{table}: no memory or disk left for it: {_brief(error)} Free some."
        ) from error
    except (duckdb.PermissionException, duckdb.TransactionException) as error:
        raise ConfigError(
            f"tables.{table}: the SELECT may only read the sources ({', '.join(sources)}): {_brief(error)} "
            f"Take the rest out."
        ) from error
    except duckdb.CatalogException as error:
        raise ConfigError(
            f"tables.{table}: {_brief(error)} Correct the SELECT. (The sources are: "
            f"{', '.join(sources) or 'none'}.)"
        ) from error
    except (duckdb.ParserException, duckdb.SyntaxException, duckdb.BinderException) as error:
        columns = _columns(connection, sources) if "Candidate bindings" in str(error) else ""
        raise ConfigError(f"tables.{table}: {_brief(error)} Correct the SELECT.{columns}") from error
    except RecursionError as error:  # Python's, at the tree of a SELECT that DuckDB itself would run
        raise ConfigError(
            f"tables.{table}: the SELECT is nested too deeply. Write long chains of operators or calls in "
            "steps, for instance with WITH or concat_ws."
        ) from error
    except duckdb.Error as error:  # a cast, a division, a date out of range: a value is to blame
        raise DataError(
            f"tables.{table}: {_brief(error)} Correct the value or the SELECT. (TRY_CAST leaves the "
            f"column empty in such rows.)"
        ) from error


def _columns(connection: duckdb.DuckDBPyConnection, sources: dict[str, Source]) -> str:
    """What a SELECT can name, where it names a column that is not there (DuckDB lists similar names only)."""
    columns = {name: connection.view(_quoted(name)).columns[:-2] for name in sources}
    found = "; ".join(f"{name}: {', '.join(names)}" for name, names in columns.items())
    return f" (The columns are: {found}.)"


def _brief(error: duckdb.Error) -> str:
    """DuckDB's message up to its first empty line or list of hints, as a sentence; where the SQL does not
    parse, with the SQL's line (later errors count the lines of what we wrapped around it)."""
    lines = []
    for line in str(error).splitlines():
        if not line.strip() or line.startswith(("Possible", "Candidate", "*", "LINE ")):
            break
        lines.append(line.strip()[:300])
    place = re.search(r"^LINE (\d+):", str(error), re.MULTILINE)
    if not isinstance(error, duckdb.ParserException):
        place = None
    text = " ".join(lines) + (f" (line {place[1]} of the SQL)" if place else "")
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
