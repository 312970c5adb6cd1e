"""The sandbox: a shop's SQL reads its sources and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from components.contract.errors import ConfigError, DataError
from components.contract.settings import Source
from components.data.database import add_source, open_database, seal, select

SOURCES = {"items_file": Source(path="items.csv")}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    file = tmp_path / "items.csv"
    file.write_text("item_id,title\n1,one\n2,two\n")
    with open_database(tmp_path) as connection:
        add_source(connection, "items_file", SOURCES["items_file"], file, tmp_path)
        seal(connection)
        yield connection


@pytest.fixture
def secret(tmp_path: Path) -> str:
    path = tmp_path / "secret.csv"
    path.write_text("item_id,title\nx,stolen\n")
    return str(path)


def test_a_select_reads_its_sources(connection: duckdb.DuckDBPyConnection) -> None:
    """With a trailing semicolon, in upper case, with comments and a common table expression."""
    sql = "-- a shop\nWITH a AS (SELECT * FROM ITEMS_FILE) SELECT item_id, title FROM a; \n"
    assert select(connection, "items", sql, SOURCES)["title"].to_list() == ["one", "two"]


@pytest.mark.parametrize(
    "source",
    [
        "read_csv('{secret}')",
        "'{secret}'",
        "read_text('{secret}')",
        "read_blob('{secret}')",
        "read_parquet('{secret}')",
        "read_json('{secret}')",
        "glob('/etc/*')",
        "sniff_csv('{secret}')",
        "read_duckdb('{secret}')",
        "read_csv('https://example.com/a.csv')",
        "read_csv('s3://bucket/a.csv')",
        "sqlite_scan('{secret}', 'x')",
        "query('SELECT * FROM read_csv(''{secret}'')')",
        "json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_csv(''{secret}'')'))",
        "local_frame",
    ],
)
def test_nothing_else_can_be_read(connection: duckdb.DuckDBPyConnection, secret: str, source: str) -> None:
    """Neither files nor the network, nor extensions, nor this process's own variables."""
    local_frame = connection.sql("SELECT 1 AS item_id, 'stolen' AS title").pl()
    assert len(local_frame)
    sql = f"SELECT item_id, title FROM {source.format(secret=secret)}"
    with pytest.raises(ConfigError, match=r"tables\.items: "):
        select(connection, "items", sql, SOURCES)


@pytest.mark.parametrize(
    "title", [" || ".join(["title"] * 600), "upper(" * 600 + "title" + ")" * 600], ids=["operators", "calls"]
)
def test_a_select_that_is_too_deep_is_told_so(connection: duckdb.DuckDBPyConnection, title: str) -> None:
    """DuckDB would run it, but where its rows come from is read off its tree."""
    sql = f"SELECT item_id, {title} AS title FROM items_file"
    assert len(connection.sql(sql).fetchall()) == 2
    with pytest.raises(ConfigError, match=r"^tables\.items: the SELECT is nested too deeply\. Write"):
        select(connection, "items", sql, SOURCES)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY items_file TO '{target}'",
        "COPY (SELECT * FROM items_file) TO '{target}'",
        "ATTACH '{target}'",
        "EXPORT DATABASE '{target}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA version",
        "SET threads = 4",
        "RESET threads",
        "CALL pragma_version()",
        "CREATE TABLE items AS SELECT 1",
        "CREATE SECRET (TYPE s3)",
        "INSERT INTO loaded.items_file VALUES ('3', 'three')",
        "DELETE FROM loaded.items_file",
        "DROP TABLE loaded.items_file",
        "EXPLAIN SELECT 1",
        "BEGIN; SELECT 1",
        "COMMIT",
        "SELECT 1 AS item_id, 'x' AS title; SELECT 2",
        "SELECT 1 AS item_id, 'x' AS title; DROP VIEW items_file",
        "SELECT * FROM (PIVOT items_file ON title USING count(*))",
        "",
        "-- nothing",
        "SELEC 1",
    ],
)
def test_only_one_select_runs(connection: duckdb.DuckDBPyConnection, tmp_path: Path, sql: str) -> None:
    """Everything else is refused, and changes nothing."""
    target = tmp_path / "target"
    with pytest.raises(ConfigError, match=r"tables\.items: "):
        select(connection, "items", sql.format(target=target), SOURCES)
    assert not target.exists()
    assert select(connection, "items", "SELECT item_id, title FROM items_file", SOURCES).height == 2


def test_a_select_cannot_write(connection: duckdb.DuckDBPyConnection) -> None:
    """DuckDB takes a DELETE inside WITH for a SELECT: the read-only transaction stops it."""
    sql = "WITH gone AS (DELETE FROM loaded.items_file RETURNING *) SELECT item_id, title FROM gone"
    with pytest.raises(ConfigError, match="may only read the sources"):
        select(connection, "items", sql, SOURCES)
    assert select(connection, "items", "SELECT item_id, title FROM items_file", SOURCES).height == 2


def test_the_configuration_is_locked(connection: duckdb.DuckDBPyConnection) -> None:
    """Not even our own code could open the box again."""
    with pytest.raises(duckdb.InvalidInputException, match="locked"):
        connection.execute("SET enable_external_access = true")


@pytest.mark.parametrize(
    ("sql", "error", "sentence"),
    [
        (
            "SELECT nope, title FROM items_file",
            ConfigError,
            r'"nope" not found.*Correct the SELECT\. \(The columns are: items_file: item_id, title\.\)$',
        ),
        ("SELECT *\nFROM clicks", ConfigError, r"clicks does not exist.*\(The sources are: items_file\.\)"),
        ("SELECT title::INT AS item_id, title FROM items_file", DataError, "Could not convert string 'one'"),
        ("SELECT item_id title\nFROM FROM items_file", ConfigError, r"syntax error.*\(line 2 of the SQL\)"),
    ],
)
def test_an_sql_error_names_table_and_line(
    connection: duckdb.DuckDBPyConnection, sql: str, error: type[Exception], sentence: str
) -> None:
    """DuckDB's first line, without its hints; the configuration or the data is to blame."""
    with pytest.raises(error, match=r"tables\.items: .*" + sentence) as raised:
        select(connection, "items", sql, SOURCES)
    assert "\n" not in str(raised.value)


def add(
    folder: Path, name: str, data: bytes, **source: Any
) -> tuple[list[str], list[tuple[Any, ...]], int | None]:
    """Columns, rows and control characters of a file read as a source."""
    file = folder / "fetched"  # an object from the cache has no suffix
    file.write_bytes(data)
    with open_database(folder) as connection:
        count = add_source(connection, "it's", Source(path=name, **source), file, folder)
        view = connection.view("it's")
        return view.columns, view.fetchall(), count


def test_csv_columns_stay_text(tmp_path: Path) -> None:
    """Zeros in front of an id survive; empty fields are null; rows are numbered as a spreadsheet's: the
    header is row 1."""
    columns, rows, count = add(tmp_path, "a.csv", b'id,price\n007,1.50\n,"a ""b"", c"\n')
    assert columns == ["id", "price", "source_file", "source_row"]
    assert rows == [("007", "1.50", "a.csv", 2), (None, 'a "b", c', "a.csv", 3)]
    assert count == 0


def test_a_long_title_and_line_breaks_in_quotes_are_read(tmp_path: Path) -> None:
    """100 kB in one field; \\r\\n as line end and inside a field."""
    _, rows, _ = add(tmp_path, "a.csv", b'id,title\r\n1,"' + b"x" * 100_000 + b'\r\ny"\r\n2,z\r\n')
    assert rows[0][1] == "x" * 100_000 + "\r\ny"
    assert rows[1] == ("2", "z", "a.csv", 3)


@pytest.mark.parametrize("line", [b"1,2", b"1,2,3,4", b'1,2,"open'])
def test_a_ragged_csv_names_its_line(tmp_path: Path, line: bytes) -> None:
    """Too few or too many fields, or an open quote: never read as a single column in silence."""
    with pytest.raises(DataError, match=r"source it's \(a\.csv\) cannot be read: .*Line: 3"):
        add(tmp_path, "a.csv", b"a,b,c\n1,2,3\n" + line + b"\n4,5,6\n")


@pytest.mark.parametrize("data", [b"a,b\r\n1,x\n2,y\r\n", b"a,b\n1,x\r\n", b"a,b\n1,x\r2\n"])
def test_mixed_line_ends_are_named(tmp_path: Path, data: bytes) -> None:
    """DuckDB says "state machine" of a line end unlike the first: file, cause and cure are told."""
    with pytest.raises(DataError, match=r"source it's \(a\.csv\): its lines do not all end alike .*dos2unix"):
        add(tmp_path, "a.csv", data)


def test_json_strings_stay_as_they_are(tmp_path: Path) -> None:
    """No date, time or UUID is guessed from text; an array and lines are read alike."""
    record = b'{"id":"6FA459EA-EE8A-3CA4-894E-DB77E160355E","day":"2011-1-5","n":1,"none":null}'
    for data in (b"[" + record + b"]", record + b"\n"):
        columns, rows, _ = add(tmp_path, "a.jsonl", data)
        assert columns == ["id", "day", "n", "none", "source_file", "source_row"]
        assert rows == [("6FA459EA-EE8A-3CA4-894E-DB77E160355E", "2011-1-5", 1, None, "a.jsonl", 1)]


def test_broken_json_names_the_source(tmp_path: Path) -> None:
    """With DuckDB's own place in the file."""
    with pytest.raises(DataError, match=r"source it's \(a\.json\) cannot be read: .*Malformed JSON"):
        add(tmp_path, "a.json", b'{"a":1}\n{"a":\n')


def test_what_is_no_parquet_is_named(tmp_path: Path) -> None:
    """A wrong suffix, or a download page in place of the file."""
    with pytest.raises(DataError, match=r"source it's \(a\.parquet\) cannot be read"):
        add(tmp_path, "a.parquet", b"<html>not found</html>")


def test_the_format_must_be_known(tmp_path: Path) -> None:
    """By suffix or by `format`; encodings are for text."""
    for name in ("a.xlsx", "A.XLS", "a.ods"):
        with pytest.raises(ConfigError, match="save it as CSV or Parquet"):
            add(tmp_path, name, b"")
    with pytest.raises(ConfigError, match="does not say its format"):
        add(tmp_path, "s3://bucket/a", b"")
    with pytest.raises(ConfigError, match="always UTF-8"):
        add(tmp_path, "a.parquet", b"", encoding="latin-1")
    assert add(tmp_path, "a.dump", b"a\n1\n", format="csv")[0][0] == "a"


def test_a_source_cannot_bring_our_key_columns(tmp_path: Path) -> None:
    """Two columns source_row would be ambiguous in every SELECT."""
    with pytest.raises(DataError, match="has a column source_row"):
        add(tmp_path, "a.csv", b"id,Source_Row\n1,2\n")
