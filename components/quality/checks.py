"""The check stage: loaded tables in; clean tables, the quarantine and the report out."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.digests import sha256_tree
from components.contract.errors import DataError, QualityError
from components.contract.records import CheckedData
from components.contract.settings import QualitySettings
from components.contract.tables import TABLES, TableName
from components.quality import parquet, quarantine, report
from components.quality.facts import Catalogue, last_of_key
from components.quality.inspection import Inspection, inspect_rows
from components.quality.suites import DATES

log = logging.getLogger(__name__)


def check(loaded: Path, settings: QualitySettings, out: Path) -> CheckedData:
    """`inspect`, then `enforce`: the quarantine and the report are in `out` even where it raises."""
    checked = inspect(loaded, settings, out)
    enforce(out, settings)
    return checked


def inspect(loaded: Path, settings: QualitySettings, out: Path, now: datetime | None = None) -> CheckedData:
    """Writes into the folder `out`: clean `<table>.parquet`, quarantine.parquet, quality.json, quality.html.

    `now` (naive UTC; default: the clock) bounds the rows' dates. Items are checked first, because
    events, judgements and reviews must name a good item. Whether too many rows are bad is
    `enforce`'s question. Raises DataError where there are no items, ConfigError for a bad pattern.
    """
    now = datetime.now(UTC).replace(tzinfo=None) if now is None else now
    summaries, quarantines = [], []
    for table, inspection, replaced in _inspections(loaded, settings, now):
        parquet.write(out / f"{table}.parquet", inspection.clean)
        summaries.append(report.table_summary(table, inspection, replaced, settings))
        quarantines.append(inspection.quarantine)
        log.info("%s: %d rows clean", table, inspection.clean.height)
    parquet.write(out / quarantine.FILE, pl.concat(quarantines))
    report.write(out, {"tables": summaries, "coverage": None})
    return _record(out, summaries)


def dated_ahead(loaded: Path, now: datetime) -> dict[str, int]:
    """Rows per table that `inspect` refuses at `now` (naive UTC) for a date too far ahead; tables without any
    are left out. Of the same rows they only become fewer, so that these numbers are all that the clock
    changes in the outcome."""
    counts = {}
    for table, (column, lead) in DATES.items():
        path = loaded / f"{table}.parquet"
        if path.is_file():
            late = pl.scan_parquet(path).filter(pl.col(column) > now + lead)
            counts[table] = late.select(pl.len()).collect().item()
    return {table: count for table, count in counts.items() if count}


def enforce(stage: Path, settings: QualitySettings, shown: Path | None = None) -> None:
    """Raises QualityError where a table that `inspect` left in `stage` is past its tolerance.

    `shown` is the folder's name in the sentence where the stage will move before a person reads it.
    """
    for table in report.read(stage)["tables"]:
        tolerance = settings.table_tolerance.get(table["table"], settings.tolerance)
        share = table["quarantined"] / max(table["rows"], 1)
        if share > tolerance:
            raise QualityError(
                _sentence(table, f"the tolerance is {report.percent(tolerance)}", shown or stage)
            )
        if table["table"] == "items" and table["clean"] == 0:
            raise QualityError(_sentence(table, "no item is left", shown or stage))


def _sentence(table: dict[str, Any], limit: str, stage: Path) -> str:
    name, bad, rows = table["table"], table["quarantined"], table["rows"]
    causes = [each for each in table["expectations"] if each["rows"]][:3]
    reasons = "; ".join(f'{each["rows"]:,} break "{each["expectation"]}"' for each in causes)
    return (
        f"{name}: {bad:,} of {rows:,} rows ({report.percent(bad / rows)}) are in quarantine "
        f"({stage / quarantine.FILE}) and {limit}: {reasons}{_instance(causes)}. "
        f"Read {report.PAGE} beside it, then {_remedy(table, causes)}"
    )


def _instance(causes: list[dict[str, Any]]) -> str:
    """The first row that breaks the first rule, and what it has in the rule's column."""
    if not causes:  # a check of an earlier version, which noted none
        return ""
    first = causes[0]["examples"][0]
    value = "is empty" if first["value"] is None else repr(first["value"][: report.CELL_CHARACTERS])
    place = f"{first['source_file']}, row {first['source_row']}"
    return f" (for instance {place}: {causes[0]['column']} {value})"


def _remedy(table: dict[str, Any], causes: list[dict[str, Any]]) -> str:
    name = table["table"]
    # No one corrects most of the rows one by one, nor can a shop do without them.
    if causes and 2 * causes[0]["rows"] > table["rows"]:
        return (
            f"correct {causes[0]['column']} in the SELECT tables.{name} in debut.yaml, or the file: most "
            f"rows break this one rule."
        )
    return (
        "correct the rows (`debut quarantine list --export bad.csv`, `debut quarantine replay bad.csv`) or, "
        f"if they are rightly left out, raise quality.table_tolerance.{name} in debut.yaml."
    )


def _inspections(
    loaded: Path, settings: QualitySettings, now: datetime
) -> Iterator[tuple[TableName, Inspection, int]]:
    """Every loaded table, items first, and how many rows a replayed one replaced."""
    if not (loaded / "items.parquet").is_file():
        raise DataError(f"{loaded}: there is no items table; give `tables: items:` a SELECT in debut.yaml.")
    catalogue = None
    for table in TABLES:
        path = loaded / f"{table}.parquet"
        if not path.is_file():
            continue
        every = pl.read_parquet(path)
        rows = last_of_key(every)
        if table == "items" and rows.is_empty():
            raise DataError(f"{path}: items has no rows; check its SELECT in debut.yaml.")
        inspection = inspect_rows(table, rows, settings, now, catalogue)
        if table == "items":
            catalogue = Catalogue(listed=rows["item_id"], clean=inspection.clean["item_id"])
        yield table, inspection, every.height - rows.height


def _record(out: Path, summaries: list[dict[str, Any]]) -> CheckedData:
    return CheckedData(
        path=out.as_posix(),
        digest=sha256_tree(out, suffixes=(".parquet",)),
        rows={each["table"]: each["clean"] for each in summaries},
        quarantined={each["table"]: each["quarantined"] for each in summaries},
        broken={
            f"{each['table']}: {line['expectation']}": line["rows"]
            for each in summaries
            for line in each["expectations"]
            if line["rows"]
        },
    )
