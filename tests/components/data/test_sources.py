"""Loading: from files and SQL to the tables of the contract."""

import gzip
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.contract.errors import ConfigError, DataError, StorageError
from components.contract.records import LoadedData
from components.contract.settings import QualitySettings
from components.contract.tables import KEY_COLUMNS, TABLES, TableName
from components.data import sources
from components.quality.checks import inspect

TYPES = {"text": pl.String, "number": pl.Float64, "integer": pl.Int64, "timestamp": pl.Datetime("us")}
CSV = "item_id,title\n1,one\n2,two\n"
EVENTS = "SELECT '2026-01-01' AS at, 'view' AS kind, item_id, {} AS position FROM items_file"


def table(shop: Any, name: str = "items") -> pl.DataFrame:
    return pl.read_parquet(shop.out / f"{name}.parquet")


def schema(name: TableName) -> pl.Schema:
    columns = {column: TYPES[kind] for column, kind in TABLES[name].columns.items()}
    return pl.Schema({**columns, "source_file": pl.String, "source_row": pl.Int64, "row_hash": pl.String})


def load_values(shop: Any, expression: str, column: str = "price") -> list[Any]:
    """Values of one items column that the SQL `expression` gives for two rows."""
    shop.write("items.csv", CSV)
    shop.load(f"SELECT item_id, title, {expression} AS {column} FROM items_file")
    return table(shop)[column].to_list()


def test_every_table_has_the_contracts_columns(shop: Any) -> None:
    """Absent optional columns are null of the right type; then the key columns; other tables have no file."""
    shop.write("items.csv", CSV)
    loaded = shop.load(
        events="SELECT '2026-01-01' AS at, 'view' AS kind, item_id FROM items_file",
        judgements="SELECT title AS query, item_id, 2 AS grade FROM items_file",
        reviews="SELECT item_id, title AS text, '5' AS rating FROM items_file",
        dialogues="SELECT title AS question, 'yes' AS answer FROM items_file",
    )
    names: tuple[TableName, ...] = ("items", "events", "judgements", "reviews", "dialogues")
    for name in names:
        assert table(shop, name).schema == schema(name)
    assert loaded.rows == dict.fromkeys(names, 2)
    assert sorted(path.stem for path in shop.out.iterdir()) == sorted(names)


def test_the_record_says_what_was_read(shop: Any) -> None:
    """Relative path, digests, rows, control characters per text source."""
    shop.write("items.csv", "item_id,title\n1,a\x01b\n")
    pl.DataFrame({"a": [1]}).write_parquet(shop.root / "more.parquet")
    sources_ = {"items_file": {"path": "items.csv"}, "more": {"path": "more.parquet"}}
    loaded = shop.load(sources=sources_)
    assert isinstance(loaded, LoadedData)
    assert loaded.path == "stages/load"
    assert loaded.input_digests == sources.source_digests(shop.settings(sources=sources_), shop.root)
    assert loaded.control_characters == {"items_file": 1}


def test_the_same_input_gives_the_same_bytes(shop: Any) -> None:
    """Also where the SQL leaves the order open, and in a workspace elsewhere."""
    shop.write("items.csv", "item_id,title\n" + "".join(f"{n % 997},t{n}\n" for n in range(20_000)))
    sql = "SELECT item_id, max(title) AS title FROM items_file GROUP BY item_id"
    digests = {shop.load(sql).digest for _ in range(3)}
    assert len(digests) == 1
    shop.write("items.csv", "item_id,title\n1,other\n")
    assert shop.load(sql).digest not in digests


def test_row_keys_are_handed_on(shop: Any) -> None:
    """source_file is the configuration's path, source_row the ordinal in the file, and rows come so."""
    shop.write("items.csv", "item_id,title\n3,c\n1,a\n2,b\n")
    shop.load(
        "SELECT item_id, title, source_file, source_row FROM items_file WHERE item_id <> '1' ORDER BY item_id"
    )
    frame = table(shop)
    assert frame["item_id"].to_list() == ["3", "2"]
    assert frame["source_file"].to_list() == ["items.csv", "items.csv"]
    assert frame["source_row"].to_list() == [2, 4]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT item_id, title FROM items_file",
        "SELECT i.item_id, trim(title) AS title FROM items_file AS i WHERE item_id <> '4' ORDER BY title;",
    ],
)
def test_rows_of_one_source_are_named_by_file_and_row(shop: Any, sql: str) -> None:
    """A SELECT of the README's kind need not name the key columns: rows have the file's numbers and order."""
    shop.write("items.csv", "item_id,title\n3,c\n1,a\n2,b\n")
    shop.load(sql)
    assert table(shop).select("item_id", *KEY_COLUMNS[:2]).rows() == [
        ("3", "items.csv", 2),
        ("1", "items.csv", 3),
        ("2", "items.csv", 4),
    ]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT DISTINCT item_id, title FROM items_file",
        "SELECT item_id, max(title) AS title FROM items_file GROUP BY item_id",
        "SELECT max(item_id) AS item_id, max(title) AS title FROM items_file",
        "SELECT item_id, title FROM items_file LIMIT 2",
        "SELECT item_id, title FROM items_file UNION ALL SELECT item_id, title FROM items_file",
        "SELECT item_id, first(title) OVER (ORDER BY item_id) AS title FROM items_file",
        "SELECT item_id, title FROM items_file WHERE title <> (SELECT max(title) FROM items_file)",
        "SELECT item_id, unnest([title, 'x']) AS title FROM items_file",
        "SELECT item_id, title FROM items_file USING SAMPLE 100 PERCENT",
        "WITH i AS (SELECT * FROM items_file) SELECT item_id, title FROM i",
        "SELECT a.item_id, b.title FROM items_file a JOIN items_file b USING (item_id)",
        "SELECT a.item_id, b.title FROM items_file a, items_file b WHERE a.item_id = b.item_id",
    ],
)
def test_rows_of_a_result_are_not_said_to_be_a_files(shop: Any, sql: str) -> None:
    """Where a row is not one row of one file, it is a row of the SELECT's result, from 1."""
    shop.write("items.csv", "item_id,title\n3,c\n1,a\n2,b\n")
    shop.load(sql)
    assert table(shop)["source_file"].unique().to_list() == ["the SELECT's result (items.csv)"]
    assert table(shop)["source_row"].to_list() == list(range(1, len(table(shop)) + 1))


def test_adding_the_keys_changes_no_value(shop: Any) -> None:
    """What DuckDB's parser writes down again means what the shop wrote, value by value."""
    shop.write("items.csv", "item_id,title,cost,since\n3,it's,1.50,2026-01-02 03:04\n1,,x,\n")
    values = r"""item_id || '''' AS item_id,
      CASE WHEN title IS NULL THEN 'none' ELSE upper(title) END AS title,
      TRY_CAST(cost AS DECIMAL(10, 2)) * 1e2 AS price, try_strptime(since, '%Y-%m-%d %H:%M') AS listed_at,
      array_to_string(list_transform([item_id, cost], lambda each: each || '!'), ' > ') AS category,
      {'a': cost}.a AS group_id"""
    where = "WHERE item_id NOT LIKE 'C%' AND coalesce(cost, '') BETWEEN '' AND 'y' -- all of them"
    shop.load(f"SELECT {values} FROM items_file {where}")
    added = table(shop)
    shop.load(f"SELECT {values}, source_file, source_row FROM items_file {where}")
    assert added.equals(table(shop))
    assert added["source_row"].to_list() == [2, 3]
    assert added["price"].to_list() == [150.0, None]


def test_rows_without_keys_are_numbered_in_the_order_of_their_values(shop: Any) -> None:
    """source_file then names the sources that the SQL reads, and no other."""
    shop.write("items.csv", "item_id,title\n3,c\n1,a\n")
    shop.write("titles.csv", "id,words\n1,x\n3,y\n")
    shop.write("unused.csv", "id\n1\n")
    names = {"items_file": "items.csv", "titles": "titles.csv", "unused": "unused.csv"}
    shop.load(
        "SELECT item_id, words AS title FROM items_file JOIN titles ON id = item_id",
        sources={name: {"path": path} for name, path in names.items()},
    )
    assert table(shop).select("item_id", *KEY_COLUMNS[:2]).rows() == [
        ("1", "the SELECT's result (items.csv + titles.csv)", 1),
        ("3", "the SELECT's result (items.csv + titles.csv)", 2),
    ]


def test_a_row_hash_depends_on_the_contracts_values_alone(shop: Any) -> None:
    """Equal values, equal hash, wherever the row stands; 16 hex digits; null is not an empty text."""
    shop.write("items.csv", "item_id,title,brand\n1,a,\n1,a,\n1,,a\n2,a,b\n")
    shop.load("SELECT item_id, title, brand, source_file, source_row FROM items_file")
    first, again, shifted, other = table(shop)["row_hash"].to_list()
    assert first == again
    assert len({first, shifted, other}) == 3
    assert len(first) == 16
    assert int(first, 16) >= 0
    shop.write("items.csv", "brand,title,item_id\n,a,1\n")
    shop.load("SELECT item_id, title, brand, source_file, source_row FROM items_file")
    assert table(shop)["row_hash"].to_list() == [first]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("17850.0::DOUBLE", "17850"),
        ("17850::BIGINT", "17850"),
        ("170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727"),
        ("12.00::DECIMAL(10,2)", "12"),
        ("1.5::DOUBLE", "1.5"),
        ("'nan'::DOUBLE", None),
        ("' padded '", " padded "),
        ("'  \t\n'", None),
        ("''", None),
        ("NULL", None),
        ("true", "true"),
        ("DATE '2026-01-02'", "2026-01-02"),
        ("'\"quoted\"'::JSON", "quoted"),
        ("'7'::JSON", "7"),
    ],
)
def test_what_becomes_text(shop: Any, expression: str, expected: str | None) -> None:
    """Whole numbers lose their fraction, blanks are null, everything else stays."""
    assert load_values(shop, expression, "brand") == [expected] * 2


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("' 12.50 '", 12.5),
        ("'1e3'", 1000.0),
        ("3", 3.0),
        ("0.1::DECIMAL(5,2)", 0.1),
        ("''", None),
        ("'inf'", float("inf")),
        ("TRY_CAST('abc' AS DOUBLE)", None),
        ("'2.67'", 2.67),
    ],
)
def test_what_becomes_a_number(shop: Any, expression: str, expected: float | None) -> None:
    """Text is parsed; TRY_CAST is the shop's own choice to lose a value."""
    assert load_values(shop, expression) == [expected] * 2


def test_nan_stays_visible(shop: Any) -> None:
    """It is for the checks to quarantine it, not for loading to hide it."""
    values = load_values(shop, "'NaN'")
    assert all(value != value for value in values)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'2026-01-02 03:04:05.678'", datetime(2026, 1, 2, 3, 4, 5, 678000)),
        ("'2026-01-02T03:04:05+02:00'", datetime(2026, 1, 2, 1, 4, 5)),
        ("'2026-01-02T03:04:05Z'", datetime(2026, 1, 2, 3, 4, 5)),
        ("' 2026-01-02 '", datetime(2026, 1, 2)),
        ("DATE '2026-01-02'", datetime(2026, 1, 2)),
        ("TIMESTAMPTZ '2026-01-02 03:00:00+02'", datetime(2026, 1, 2, 1)),
        ("TIMESTAMP_NS '2026-01-02 03:00:00.000001'", datetime(2026, 1, 2, 3, 0, 0, 1)),
        ("NULL", None),
        ("''", None),
    ],
)
def test_what_becomes_a_time(shop: Any, expression: str, expected: datetime | None) -> None:
    """Naive UTC; an offset is applied, whatever this machine's own zone is."""
    assert load_values(shop, expression, "listed_at") == [expected] * 2


@pytest.mark.parametrize(
    ("column", "expression", "sentence"),
    [
        ("price", "'12,50'", "price '12,50' in table items is no number"),
        ("listed_at", "'yesterday'", "listed_at 'yesterday' in table items is no timestamp"),
        ("listed_at", "'infinity'::TIMESTAMP", "listed_at 'infinity' in table items is no timestamp"),
        ("listed_at", "'1767312000'", "is no timestamp"),
    ],
)
def test_a_value_that_does_not_parse_is_named(shop: Any, column: str, expression: str, sentence: str) -> None:
    """File, row, column, value, count, and the way into quarantine; nothing is written."""
    shop.write("items.csv", CSV)
    value = f"CASE WHEN item_id = '2' THEN {expression} END AS {column}"
    sql = f"SELECT item_id, title, {value}, source_file, source_row"
    with pytest.raises(DataError, match=rf"items\.csv, row 3: .*{sentence} \(1 such row\).*TRY_CAST"):
        shop.load(f"{sql} FROM items_file")
    assert list(shop.out.iterdir()) == []


def test_the_way_to_parse_a_text_is_told_before_the_way_to_lose_it(shop: Any) -> None:
    """TRY_CAST would leave the whole column empty, without a word."""
    shop.write("items.csv", "item_id,title,price\n1,a,€110.38\n2,b,€9\n")
    with pytest.raises(DataError) as told:
        shop.load("SELECT item_id, title, price FROM items_file")
    sentence = str(told.value)
    assert "(2 such rows)" in sentence
    assert (
        "in the SELECT tables.items take out what is no number, for instance CAST(replace(price, '€', '')"
        in (sentence)
    )
    assert "TRY_CAST there leaves price empty in such rows" in sentence
    shop.load("SELECT item_id, title, CAST(replace(price, '€', '') AS DOUBLE) AS price FROM items_file")
    assert table(shop, "items")["price"].to_list() == [110.38, 9.0]


@pytest.mark.parametrize("value", ["1.5", "nine", "99999999999999999999"])
def test_an_integer_is_never_rounded(shop: Any, value: str) -> None:
    """DuckDB's own cast would make 2 of 1.5."""
    shop.write("items.csv", CSV)
    with pytest.raises(DataError, match=f"position '{value}' in table events is no integer"):
        shop.load(events=EVENTS.format(f"'{value}'"))


def test_integers_come_from_text_and_numbers(shop: Any) -> None:
    """Whole doubles and text are integers; a data frame's NaN is a missing one."""
    shop.write("items.csv", CSV)
    for expression, expected in {
        "3.0::DOUBLE": 3,
        "' 4 '": 4,
        "5::TINYINT": 5,
        "'nan'::DOUBLE": None,
    }.items():
        shop.load(events=EVENTS.format(expression))
        assert table(shop, "events")["position"].to_list() == [expected] * 2


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8), min_size=1))
def test_text_survives_csv(tmp_path_factory: pytest.TempPathFactory, titles: list[str]) -> None:
    """Whatever Python's csv module writes comes out as it was; blanks are null."""
    import csv

    folder = tmp_path_factory.mktemp("shop")
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([("item_id", "title"), *enumerate(titles)])
    settings = sources.Settings.model_validate(
        {
            "shop": "t",
            "sources": {"f": {"path": "items.csv"}},
            "tables": {"items": "SELECT item_id, title, source_file, source_row FROM f"},
        }
    )
    sources.load(settings, folder, folder / "w", folder / "out")
    read = pl.read_parquet(folder / "out" / "items.parquet")["title"].to_list()
    assert read == [title if title.strip(" \t\r\n") else None for title in titles]


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        ("SELECT item_id FROM items_file", "column title is missing; the SELECT gives item_id"),
        ("SELECT *, 1 AS colour FROM items_file", "colour is no column of items; .*description"),
        ("SELECT title, * FROM items_file", "gives column title twice"),
        ("SELECT item_id, title, source_row FROM items_file", "both source_file and source_row"),
        (
            "SELECT [item_id] AS item_id, title FROM items_file",
            r"item_id is of type LIST, which makes no text",
        ),
        (
            "SELECT item_id, title, true AS price FROM items_file",
            "price is of type BOOLEAN, which makes no number",
        ),
        ("SELECT item_id, title, 1 AS listed_at FROM items_file", "INTEGER, which makes no timestamp"),
        (
            "SELECT item_id, title, 'f' AS source_file, NULL AS source_row FROM items_file",
            "is null in some row",
        ),
        ("SELECT item_id, title FROM items_file WHERE false", "gives no row"),
    ],
)
def test_a_result_that_is_not_the_contracts_is_refused(shop: Any, sql: str, sentence: str) -> None:
    """Missing, unknown and double columns, types that make no value, no row at all; nothing is written."""
    shop.write("items.csv", CSV)
    with pytest.raises(DataError, match=rf"tables\.items: .*{sentence}"):
        shop.load(sql)
    assert list(shop.out.iterdir()) == []


def test_an_empty_file_is_an_error(shop: Any) -> None:
    """No header, no columns."""
    shop.write("items.csv", "")
    with pytest.raises(DataError, match=r"source items_file \(items.csv\) has no header line"):
        shop.load()


def test_a_missing_file_is_named(shop: Any) -> None:
    """Source, path, and what to do; the same from the digests."""
    sentence = r"source items_file: .*items\.csv: there is no such file"
    with pytest.raises(StorageError, match=sentence):
        shop.load()
    with pytest.raises(StorageError, match=sentence):
        sources.source_digests(shop.settings(), shop.root)


def test_undecodable_bytes_stop_the_load(shop: Any) -> None:
    """By file, byte, offset and encoding."""
    shop.write("items.csv", b"item_id,title\n1,caf\xe9\n")
    with pytest.raises(DataError, match=r"items\.csv: the byte 0xe9 at offset 19 is not utf-8"):
        shop.load()


def test_a_truncated_archive_stops_the_load(shop: Any) -> None:
    """Half a gzip file is no short file."""
    data = gzip.compress("".join(f"{n},{n * 31337 % 1009}\n" for n in range(9999)).encode())
    shop.write("items.csv.gz", data[: len(data) // 2])
    with pytest.raises(DataError, match=r"items\.csv\.gz: the archive ends too early"):
        shop.load(sources={"items_file": {"path": "items.csv.gz"}})


def test_all_formats_give_the_same_table(shop: Any) -> None:
    """CSV, JSON and Parquet, plain and packed; only the file's name differs."""
    frame = pl.DataFrame({"item_id": ["1", "2"], "title": ["ä", "b"]})
    lines = frame.write_ndjson().encode()
    files = {
        "a.csv": frame.write_csv().encode(),
        "a.tsv": frame.write_csv(separator="\t").encode(),
        "a.csv.gz": gzip.compress(frame.write_csv().encode()),
        "a.csv.zst": pa.compress(frame.write_csv().encode(), "zstd", asbytes=True),
        "a.jsonl": lines,
        "a.json": frame.write_json().encode(),
        "a.ndjson.gz": gzip.compress(lines),
        "a.json.zst": pa.compress(lines, "zstd", asbytes=True),
    }
    for name, data in files.items():
        shop.write(name, data)
    frame.write_parquet(shop.root / "a.parquet")
    for name in [*files, "a.parquet"]:
        shop.load("SELECT item_id, title, source_file, source_row FROM f", sources={"f": {"path": name}})
        assert table(shop).select("item_id", "title").equals(frame)
        first = 2 if name.startswith(("a.csv", "a.tsv")) else 1  # the header is a row of its own
        assert table(shop)["source_row"].to_list() == [first, first + 1]
        assert table(shop)["source_file"].to_list() == [name, name]


def test_rows_keep_the_order_of_a_large_file(shop: Any) -> None:
    """Two threads read it; the ordinal is still the file's."""
    shop.write("items.csv", "item_id,title\n" + "".join(f"{n},{'x' * 40}\n" for n in range(1, 200_001)))
    shop.load("SELECT item_id, title, source_file, source_row FROM items_file")
    assert table(shop).select((pl.col("item_id").cast(pl.Int64) + 1 == pl.col("source_row")).all()).item()


def test_names_that_sql_cannot_tell_apart_are_refused(shop: Any) -> None:
    """Clicks and clicks are one table to SQL."""
    shop.write("items.csv", CSV)
    with pytest.raises(ConfigError, match="clicks stands there twice"):
        shop.load(sources={"Clicks": {"path": "items.csv"}, "clicks": {"path": "items.csv"}})


def test_source_names_may_hold_any_character(shop: Any) -> None:
    """They are quoted wherever they stand."""
    shop.write("o'clock.csv", CSV)
    shop.load('SELECT * FROM "select ""me"""', sources={'select "me"': {"path": "o'clock.csv"}})
    assert table(shop)["source_file"].to_list() == ["o'clock.csv"] * 2


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "json", "parquet"])
def test_a_path_is_no_pattern(shop: Any, suffix: str) -> None:
    """`products[1].csv` is that file, not products1.csv beside it."""
    for name, item in (("products1", "other"), ("products[1]", "this")):
        frame = pl.DataFrame({"item_id": ["1"], "title": [item]})
        text = frame.write_json() if suffix == "json" else frame.write_csv()
        data = gzip.compress(text.encode()) if suffix == "csv.gz" else text
        if suffix == "parquet":
            frame.write_parquet(shop.root / f"{name}.parquet")
        else:
            shop.write(f"{name}.{suffix}", data)
    shop.load(sources={"items_file": {"path": f"products[1].{suffix}"}})
    assert table(shop)["title"].to_list() == ["this"]


def test_a_year_that_no_calendar_has_goes_to_quarantine(shop: Any) -> None:
    """A digit too many, before Christ, or beyond what polars holds: bad rows, and the others are loaded."""
    years = ["20250-03-01", "0044-03-15 (BC)", "290000-01-01"]
    rows = "".join(f"{year},view,1\n" for year in ["2026-01-01", *years])
    shop.write("events.csv", f"at,kind,item_id\n{rows}")
    shop.write("items.csv", CSV)
    events = {name: {"path": f"{name}.csv"} for name in ("items", "events")}
    shop.load("SELECT * FROM items", events="SELECT * FROM events", sources=events)
    assert table(shop, "events")["at"].is_null().sum() == 0
    checked = inspect(shop.out, QualitySettings(tolerance=1.0), shop.workspace / "checked")
    assert (checked.rows["events"], checked.quarantined["events"]) == (1, 3)


@pytest.mark.parametrize("text", ['[{"item_id": "1", "title": "é"}]', '{"item_id": "1", "title": "é"}\n'])
@pytest.mark.parametrize("suffix", ["json", "json.gz"])
def test_json_may_begin_with_a_byte_order_mark(shop: Any, text: str, suffix: str) -> None:
    """As Windows tools write it."""
    data = text.encode("utf-8-sig")
    shop.write(f"items.{suffix}", gzip.compress(data) if suffix == "json.gz" else data)
    shop.load(sources={"items_file": {"path": f"items.{suffix}"}})
    assert table(shop).select("item_id", "title").rows() == [("1", "é")]


def test_replayed_rows_are_appended(shop: Any) -> None:
    """As they are, after the loaded ones; they enter the digests, and count once, as corrected."""
    shop.write("items.csv", CSV)
    plain = shop.load()
    corrected = table(shop).head(1).with_columns(title=pl.lit("corrected"))
    (shop.workspace / "replayed").mkdir()
    corrected.write_parquet(shop.workspace / "replayed" / "items.parquet")
    replayed = shop.load()
    assert table(shop)["title"].to_list() == ["one", "two", "corrected"]
    assert (plain.rows, plain.corrected) == ({"items": 2}, {})
    assert (replayed.rows, replayed.corrected) == ({"items": 2}, {"items": 1})
    assert replayed.digest != plain.digest
    assert set(replayed.input_digests) == {"items_file", "replayed/items"}


@pytest.mark.parametrize(
    ("now", "titles"),
    [
        ("item_id,title\n1,one\n", ["one"]),
        ("item_id,title\n1,one\n2,zwei\n", ["one", "zwei"]),
        ("item_id,title\n0,zero\n1,one\n2,two\n", ["zero", "one", "two", "corrected"]),
    ],
    ids=["no longer sold", "corrected by the shop", "moved"],
)
def test_a_correction_holds_as_long_as_its_row(shop: Any, now: str, titles: list[str]) -> None:
    """It follows a row that another came before, and brings back none that changed or is gone."""
    shop.write("items.csv", CSV)
    shop.load()
    corrected = table(shop).tail(1).with_columns(title=pl.lit("corrected"))
    (shop.workspace / "replayed").mkdir()
    corrected.write_parquet(shop.workspace / "replayed" / "items.parquet")
    shop.write("items.csv", now)
    loaded = shop.load()
    assert table(shop)["title"].to_list() == titles
    kept = titles[-1] == "corrected"
    assert loaded.rows == {"items": len(titles) - kept}
    assert loaded.corrected == {"items": int(kept)}
    assert loaded.outdated == ({} if kept else {"items": 1})
    rows = table(shop)
    replaced = rows.select(*KEY_COLUMNS).is_duplicated().sum()
    assert replaced == 2 * kept  # with the row that it corrects, under one key


def test_replayed_rows_of_another_shape_are_refused(shop: Any) -> None:
    """A file from an older contract is named."""
    shop.write("items.csv", CSV)
    (shop.workspace / "replayed").mkdir(parents=True)
    pl.DataFrame({"item_id": ["1"]}).write_parquet(shop.workspace / "replayed" / "items.parquet")
    with pytest.raises(DataError, match=r"items\.parquet: its columns are not"):
        shop.load()


def test_nothing_stays_in_the_cache_of_local_files(shop: Any) -> None:
    """Decoded copies and spilled pages go when the load ends, also when it fails."""
    shop.write("items.csv", CSV.encode("utf-16"))
    shop.load(sources={"items_file": {"path": "items.csv", "encoding": "utf-16"}})
    with pytest.raises(ConfigError):
        shop.load("SELECT nope", sources={"items_file": {"path": "items.csv", "encoding": "utf-16"}})
    assert list((shop.workspace / "cache").iterdir()) == []


def test_a_full_disk_is_one_sentence(shop: Any) -> None:
    """The table's file is named."""
    shop.write("items.csv", CSV)
    shop.out.mkdir(parents=True)
    (shop.out / "items.parquet").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"items\.parquet: .*No space left"):
        shop.load()


def test_an_object_in_s3_is_a_source_like_any_other(shop: Any, bucket: Any, endpoint: Any) -> None:
    """Its format is read off the key, though the cached file is named by its content."""
    bucket.put_object(Key="in/items.csv.gz", Body=gzip.compress(CSV.encode()))
    source = {"items_file": {"path": f"s3://{bucket.name}/in/items.csv.gz"}}
    loaded = shop.load(sources=source)
    assert loaded.rows == {"items": 2}
    assert loaded.input_digests == {"items_file": next((shop.workspace / "cache").glob("*[0-9a-f]")).name}
    settings = shop.settings(sources=source)
    assert sources.source_digests(settings, shop.root)["items_file"].startswith('"')
    shop.load(sources=source)
    assert len(endpoint.gets()) == 1


def test_an_object_that_vanishes_stops_the_load(shop: Any, bucket: Any, endpoint: Any) -> None:
    """One sentence with source and address; no table is written."""
    bucket.put_object(Key="items.csv", Body=b"item_id,title\n" + b"1,one\n" * 300_000)
    endpoint.cut_after = [1000]
    endpoint.after_cut = lambda: bucket.Object("items.csv").delete()
    with pytest.raises(StorageError, match=r"source items_file: s3://.*/items\.csv: the object vanished"):
        shop.load(sources={"items_file": {"path": f"s3://{bucket.name}/items.csv"}})
    assert list(shop.out.iterdir()) == []


def test_loading_twice_into_one_folder_replaces(shop: Any, tmp_path: Path) -> None:
    """And an `out` outside the workspace is reported by its own path."""
    shop.write("items.csv", CSV)
    shop.out = tmp_path / "elsewhere"
    assert shop.load().path == str(tmp_path / "elsewhere")
    shop.write("items.csv", "item_id,title\n9,nine\n")
    shop.load()
    assert table(shop)["item_id"].to_list() == ["9"]
