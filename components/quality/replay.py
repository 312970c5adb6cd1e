"""Takes corrected rows back: those that now pass join the next run, the others are refused with a reason."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from components.contract.records import Record
from components.contract.settings import QualitySettings
from components.contract.tables import KEY_COLUMNS, TABLES, TableName
from components.data.row_keys import renewed, still_there
from components.quality import corrections, parquet, quarantine
from components.quality.facts import Catalogue
from components.quality.inspection import inspect_rows

UNKNOWN_KEY = "row is in the quarantine (leave table, source_file, source_row and row_hash as exported)"
TWICE = "row stands once in the file (the first line counts)"


class Refusal(Record):
    """A corrected row that still cannot be taken, under the key it has in quarantine, and what it breaks."""

    table: TableName
    source_file: str
    source_row: int
    row_hash: str
    column: str | None
    value: str | None
    expectation: str


class ReplayResult(Record):
    accepted: dict[TableName, int]
    """Rows per table that the next run will load."""
    refused: tuple[Refusal, ...]
    """One entry per row × broken expectation."""


def replay(
    fixed: Path,
    workspace: Path,
    checked: Path,
    settings: QualitySettings,
    now: datetime | None = None,
    *,
    before_writing: Callable[[ReplayResult], object] = lambda _: None,
) -> ReplayResult:
    """Checks the rows of `fixed` – a file that `quarantine.export` made, with corrected cells – against
    the same suites, beside the clean rows of the check stage `checked`.

    Rows that pass go to `workspace`/replayed/<table>.parquet under the key of the row they correct;
    the load stage puts them in its place. A row replayed again replaces itself. Items come first, so
    that an item and its events can return together. before_writing: told the outcome before any row is
    written; where it raises, none is. Raises DataError where the file cannot be read, lacks a column or
    names an unknown table.
    """
    now = datetime.now(UTC).replace(tzinfo=None) if now is None else now
    found = quarantine.read(checked)
    accepted: dict[TableName, pl.DataFrame] = {}
    refused: list[Refusal] = []
    for table, corrected in corrections.read(fixed).items():
        pending = _pending(table, workspace, checked, found)
        candidates, problems = _candidates(table, corrected, found, pending)
        inspection = inspect_rows(
            table,
            candidates,
            settings,
            now,
            catalogue=_catalogue(table, workspace, checked, found, accepted),
            earlier=pl.concat([_read(table, checked / f"{table}.parquet"), pending]).join(
                candidates, on=KEY_COLUMNS, how="anti"
            ),
        )
        refused += _refusals(table, problems) + _refusals(table, inspection.quarantine)
        accepted[table] = inspection.clean
    counts = {table: rows.height for table, rows in accepted.items()}
    result = ReplayResult(accepted=counts, refused=tuple(refused))
    before_writing(result)
    for table, rows in accepted.items():
        _append(rows, _replayed(table, workspace))
    return result


def _candidates(
    table: TableName, corrected: pl.DataFrame, found: pl.DataFrame, pending: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Typed rows whose key is in quarantine (or was, before an earlier replay), once each; and the others."""
    known = pl.concat(
        [each.select(KEY_COLUMNS) for each in (found.filter(pl.col("table") == table), pending)]
    )
    corrected = renewed(corrected, known)  # the file may have been exported before rows moved
    foreign = corrected.join(known, on=KEY_COLUMNS, how="anti")
    ours = corrected.join(known, on=KEY_COLUMNS, how="semi", maintain_order="left")
    first = ours.select(pl.struct(KEY_COLUMNS).is_first_distinct()).to_series()
    rows, uncastable = corrections.typed(table, ours.filter(first))
    problems = [_problem(foreign, UNKNOWN_KEY), _problem(ours.filter(~first), TWICE), uncastable]
    return rows, pl.concat(problems, how="diagonal_relaxed")


def _problem(rows: pl.DataFrame, expectation: str) -> pl.DataFrame:
    return rows.select(*KEY_COLUMNS, pl.lit(expectation).alias("expectation"))


def _catalogue(
    table: TableName,
    workspace: Path,
    checked: Path,
    found: pl.DataFrame,
    accepted: dict[TableName, pl.DataFrame],
) -> Catalogue | None:
    if table == "items":
        return None
    clean = _read("items", checked / "items.parquet")["item_id"]
    pending = _pending("items", workspace, checked, found)
    if "items" in accepted:  # in the same file
        pending = _replacing(accepted["items"], pending)
    clean = pl.concat([clean, pending["item_id"]])
    return Catalogue(listed=pl.concat([clean, quarantine.item_ids(found)]), clean=clean)


def _pending(table: TableName, workspace: Path, checked: Path, found: pl.DataFrame) -> pl.DataFrame:
    """Rows replayed before whose bad row the shop still has, as the load takes them."""
    bad, clean = found.filter(pl.col("table") == table), _read(table, checked / f"{table}.parquet")
    today = pl.concat([rows.select(KEY_COLUMNS) for rows in (bad, clean)])
    return still_there(_read(table, _replayed(table, workspace)), today)


def _read(table: TableName, path: Path) -> pl.DataFrame:
    if path.is_file():
        return pl.read_parquet(path)
    contract = {name: corrections.TYPES[kind] for name, kind in TABLES[table].columns.items()}
    return pl.DataFrame(
        schema=contract | {"source_file": pl.String, "source_row": pl.Int64, "row_hash": pl.String}
    )


def _replayed(table: TableName, workspace: Path) -> Path:
    return workspace / "replayed" / f"{table}.parquet"


def _append(rows: pl.DataFrame, path: Path) -> None:
    if rows.is_empty():
        return
    parquet.write(path, _replacing(rows, pl.read_parquet(path)) if path.is_file() else rows)


def _replacing(rows: pl.DataFrame, older: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([older.join(rows, on=KEY_COLUMNS, how="anti", maintain_order="left"), rows])


def _refusals(table: TableName, problems: pl.DataFrame) -> list[Refusal]:
    return [
        Refusal(
            table=table,
            source_file=each["source_file"],
            source_row=each["source_row"],
            row_hash=each["row_hash"],
            column=each["column"],
            value=each["value"],
            expectation=each["expectation"],
        )
        for each in problems.iter_rows(named=True)
    ]
