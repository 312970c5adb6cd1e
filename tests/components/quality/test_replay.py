from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from components.contract.errors import DataError, StorageError
from components.contract.settings import QualitySettings
from components.quality import checks, quarantine, replay, report

SETTINGS = QualitySettings(tolerance=1.0)


@pytest.fixture(scope="module")
def events(table) -> pl.DataFrame:
    return table(
        "events",
        {"user_id": "u0"},
        {"item_id": "B2", "position": 3, "at": datetime(2024, 1, 2, 3, 4, 5, 600)},
        {"quantity": -1.0},
        *({"kind": "refund", "user_id": f"u{number}"} for number in range(4, 10)),
    )


@pytest.fixture(scope="module")
def stage(write, table, events, tmp_path_factory) -> Path:
    """A check stage with good and bad rows; tests only read it."""
    items = table("items", {}, {"item_id": "B2", "title": None}, {"title": "the same id"})
    folder = tmp_path_factory.mktemp("stage")
    checks.inspect(write(folder / "loaded", items=items, events=events), SETTINGS, folder / "out")
    return folder / "out"


def corrected(stage: Path, path: Path, changes: dict[tuple[str, int], dict[str, str]]) -> Path:
    """Exports the quarantine and changes cells by (table, source_row), as a person would."""
    quarantine.export(quarantine.read(stage), path)
    read = pl.read_csv if path.suffix == ".csv" else pl.read_parquet
    rows = read(path, **({"infer_schema": False} if path.suffix == ".csv" else {})).to_dicts()
    for row in rows:
        row |= changes.get((row["table"], int(row["source_row"])), {})
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_round_trip(stage, events, table, tmp_path, suffix) -> None:
    """Corrected rows come back typed, under their old key, an item with its events; the rest is refused."""
    fixed = corrected(stage, tmp_path / f"bad{suffix}", {("items", 2): {"title": "Elm table"}})
    fixed = fixed.rename(tmp_path / f"bad[1]{suffix}")  # a name, no pattern
    result = replay.replay(fixed, tmp_path, stage, SETTINGS)
    assert result.accepted == {"items": 1, "events": 1}
    refused = [(each.table, each.source_row, each.column, each.value) for each in result.refused]
    assert refused == [
        ("items", 3, "item_id", "A1"),
        ("events", 3, "quantity", "-1.0"),
        *(("events", number, "kind", "refund") for number in range(4, 10)),
    ]
    event = pl.read_parquet(tmp_path / "replayed/events.parquet")
    assert event.equals(events[[1]])
    item = pl.read_parquet(tmp_path / "replayed/items.parquet")
    assert item.schema == table("items", {}).schema
    assert item.select("title", "source_file", "source_row").row(0) == ("Elm table", "items.csv", 2)


def test_replayed_twice(stage, tmp_path) -> None:
    """The same row replayed again replaces itself; a row corrected later joins it."""
    changes = {("items", 2): {"title": "Elm table"}}
    replay.replay(corrected(stage, tmp_path / "bad.csv", changes), tmp_path, stage, SETTINGS)
    changes = {("items", 2): {"title": "Elm desk"}, ("items", 3): {"item_id": "C3"}}
    result = replay.replay(corrected(stage, tmp_path / "bad.csv", changes), tmp_path, stage, SETTINGS)
    assert result.accepted["items"] == 2
    titles = pl.read_parquet(tmp_path / "replayed/items.parquet").sort("source_row")["title"].to_list()
    assert titles == ["Elm desk", "the same id"]


def test_against_rows_replayed_before(stage, tmp_path) -> None:
    """An id that an earlier replay took is taken."""
    first = corrected(stage, tmp_path / "bad.csv", {("items", 2): {"title": "Elm table"}})
    replay.replay(first, tmp_path, stage, SETTINGS)
    second = tmp_path / "more.csv"
    corrected(stage, second, {("items", 3): {"item_id": "B2"}})
    pl.read_csv(second, infer_schema=False).filter(table="items", source_row="3").write_csv(second)
    result = replay.replay(second, tmp_path, stage, SETTINGS)
    assert [each.expectation for each in result.refused] == ["item_id occurs once (its first good row stays)"]


def test_a_correction_whose_row_the_shop_changed_takes_nobodys_id(stage, table, write, tmp_path) -> None:
    """The load leaves it out, so the row as it is now can be corrected anew."""
    fixed = {("items", 2): {"title": "Elm table"}}
    replay.replay(corrected(stage, tmp_path / "bad.csv", fixed), tmp_path, stage, SETTINGS)
    items = table("items", {}, {"item_id": "B2", "title": None, "price": 99.0})
    items = items.with_columns(row_hash=pl.col("row_hash") + "x")  # other values, another hash
    checks.inspect(write(tmp_path / "loaded", items=items), SETTINGS, tmp_path / "out")
    again = corrected(tmp_path / "out", tmp_path / "again.csv", fixed)
    assert replay.replay(again, tmp_path, tmp_path / "out", SETTINGS).accepted == {"items": 1}


def test_rows_that_moved_since_the_export_are_found(stage, table, write, tmp_path) -> None:
    """A file exported when rows were numbered otherwise (or before the source grew) still names its rows: by
    source and values, equal rows in their order; they come back under the key of today."""
    fixed = corrected(
        stage, tmp_path / "bad.csv", {("items", 2): {"title": "Elm"}, ("items", 3): {"item_id": "C3"}}
    )
    items = table("items", {}, {"item_id": "B2", "title": None}, {"title": "the same id"})
    moved = items.with_columns(
        pl.col("source_row") + 40, source_file=pl.lit("the SELECT's result (items.csv)")
    )
    checks.inspect(write(tmp_path / "loaded", items=moved), SETTINGS, tmp_path / "out")
    rows = pl.read_csv(fixed, infer_schema=False).filter(table="items")
    rows.write_csv(fixed)
    assert replay.replay(fixed, tmp_path, tmp_path / "out", SETTINGS).accepted == {"items": 2}
    taken = pl.read_parquet(tmp_path / "replayed/items.parquet").sort("source_row")
    assert taken.select("title", "source_file", "source_row").rows() == [
        ("Elm", "the SELECT's result (items.csv)", 42),
        ("the same id", "the SELECT's result (items.csv)", 43),
    ]


def test_no_row_is_written_before_the_outcome_was_told(stage, tmp_path) -> None:
    """Where that fails – the decision log is away – the rows are not taken, of no table."""

    def refuse(result: replay.ReplayResult) -> None:
        assert result.accepted == {"items": 1, "events": 1}
        raise StorageError("s3://bucket/decisions: cannot be reached.")

    fixed = corrected(stage, tmp_path / "bad.csv", {("items", 2): {"title": "Elm table"}})
    with pytest.raises(StorageError):
        replay.replay(fixed, tmp_path, stage, SETTINGS, before_writing=refuse)
    assert not (tmp_path / "replayed").exists()


def test_next_check_is_clean(stage, events, loaded, tmp_path) -> None:
    """Replayed rows, which the load stage appends, replace the bad ones: they are clean, and stay so."""
    fixed = corrected(stage, tmp_path / "bad.csv", {("events", 4): {"kind": "cart"}})
    replay.replay(fixed, tmp_path, stage, SETTINGS)
    replayed = pl.read_parquet(tmp_path / "replayed/events.parquet")
    folder = loaded(events=pl.concat([events, replayed]))
    checked = checks.inspect(folder, SETTINGS, tmp_path / "again")
    assert (checked.rows["events"], checked.quarantined["events"]) == (2, 7)
    assert report.read(tmp_path / "again")["tables"][1]["replaced"] == 1
    assert replay.replay(fixed, tmp_path, tmp_path / "again", SETTINGS).accepted["events"] == 1


def test_cells_of_another_type(stage, tmp_path) -> None:
    """A cell that does not fit its type refuses its row, with the cell, and nothing else."""
    cells = [
        ("at", "01/02/2024", "at is a time such as 2011-09-01 10:30:00"),
        ("quantity", "two", "quantity is a number such as 2.55"),
        ("position", "1.5", "position is a whole number"),
        ("position", "first", "position is a whole number"),
        ("quantity", "NaN", "quantity is a number (not NaN or infinite)"),
    ]
    changes = {("events", row): {"kind": "cart", cell[0]: cell[1]} for row, cell in enumerate(cells, start=4)}
    fixed = corrected(stage, tmp_path / "bad.csv", changes | {("events", 3): {"quantity": "2"}})
    result = replay.replay(fixed, tmp_path, stage, SETTINGS)
    events = [each for each in result.refused if each.table == "events"]
    refused = {each.source_row: (each.column, each.value, each.expectation) for each in events}
    assert [refused.get(row) for row in range(3, 9)] == [None, *cells]
    assert result.accepted["events"] == 1


def test_values_people_write(stage, tmp_path) -> None:
    """Times may lack seconds or the hour, whole numbers may end in .0, cells may have blanks around them."""
    times = ["2024-05-01 10:30", "2024-05-01T10:30:00", "2024-05-01 10:30:00.5", " 2024-05-01 "]
    changes = {
        ("events", row): {"kind": "cart", "at": at, "position": " 7.0 "}
        for row, at in enumerate(times, start=4)
    }
    fixed = corrected(stage, tmp_path / "bad.csv", changes)
    assert replay.replay(fixed, tmp_path, stage, SETTINGS).accepted["events"] == 4
    rows = pl.read_parquet(tmp_path / "replayed/events.parquet")
    assert rows["at"].dt.hour().to_list() == [10, 10, 10, 0]
    assert rows["at"].dt.microsecond().to_list() == [0, 0, 500_000, 0]
    assert rows["position"].to_list() == [7] * 4


def test_foreign_and_repeated_lines(stage, tmp_path) -> None:
    """A line whose key is in no quarantine is refused, and so is a line that stands twice."""
    path = corrected(stage, tmp_path / "bad.csv", {("events", 4): {"kind": "cart"}})
    rows = pl.read_csv(path, infer_schema=False).filter(table="events", source_row="4")
    pl.concat([rows, rows, rows.with_columns(row_hash=pl.lit("1.2E+15"))]).write_csv(path)
    result = replay.replay(path, tmp_path, stage, SETTINGS)
    assert result.accepted == {"events": 1}
    assert [each.expectation for each in result.refused] == [replay.UNKNOWN_KEY, replay.TWICE]


def rewritten(stage: Path, path: Path, change) -> Path:
    corrected(stage, path, {})
    change(pl.read_csv(path, infer_schema=False)).write_csv(path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop("row_hash"), "column row_hash is missing"),
        (lambda rows: rows.drop("kind"), "column kind of table events is missing"),
        (lambda rows: rows.with_columns(table=pl.lit("goods")), "row 1: 'goods' is no table"),
        (lambda rows: rows.with_columns(table=pl.lit(None)), "row 1: None is no table"),
        (
            lambda rows: rows.with_columns(source_row=pl.lit("one")),
            "row 1: source_row 'one' is no row number",
        ),
    ],
)
def test_damaged_file(stage, tmp_path, change, message) -> None:
    """A file that lost its shape is refused whole, with one sentence."""
    with pytest.raises(DataError, match=message):
        replay.replay(rewritten(stage, tmp_path / "bad.csv", change), tmp_path, stage, SETTINGS)
    assert not (tmp_path / "replayed").exists()


@pytest.mark.parametrize("content", [b"", b"table,title\nitems,caf\xe9,more,and more\n", None])
def test_unreadable_file(stage, tmp_path, content) -> None:
    """A missing file, an empty one, or one that is no CSV in UTF-8 ends in one sentence."""
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.csv"):
        replay.replay(path, tmp_path, stage, SETTINGS)


def test_other_format(stage, tmp_path) -> None:
    """A spreadsheet's own format is refused by name."""
    with pytest.raises(DataError, match=r"\.csv or \.parquet"):
        replay.replay(tmp_path / "bad.xlsx", tmp_path, stage, SETTINGS)


def test_lost_key(stage, tmp_path) -> None:
    """A line that lost its file name is refused like any unknown key."""
    path = rewritten(stage, tmp_path / "bad.csv", lambda rows: rows.with_columns(source_file=pl.lit(None)))
    result = replay.replay(path, tmp_path, stage, SETTINGS)
    assert {each.expectation for each in result.refused} == {replay.UNKNOWN_KEY}
