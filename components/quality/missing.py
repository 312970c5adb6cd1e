"""What a shop's files lack as a whole and no row can show: tables without a row, searches without a query."""

import re
from pathlib import Path

import polars as pl

from components.contract.errors import DataError
from components.contract.records import LoadedData
from components.contract.settings import Settings
from components.contract.tables import TableName


def require_rows(loaded: LoadedData, settings: Settings) -> None:
    """Raises DataError where the SELECT of the table that a split would judge by gives no row."""
    table = settings.split.judged_by(settings.tables)
    if loaded.rows.get(table) == 0:
        raise DataError(
            f"{_no_row(table, settings)}, so nothing says which item answers a query or suits a user. Check "
            f"the SELECT, and whether its file holds more than a header; or leave tables.{table} out."
        )


def warnings(loaded: LoadedData, checked: Path, settings: Settings) -> list[str]:
    """One sentence for each other table without a row, and for searches that no query came with."""
    judged_by = settings.split.judged_by(settings.tables)
    empty = [
        f"{_no_row(table, settings)}; check the SELECT, and whether its file holds more than a header"
        for table in settings.tables
        if loaded.rows.get(table) == 0 and table != judged_by
    ]
    return [*empty, *_without_query(checked / "events.parquet")]


def _no_row(table: TableName, settings: Settings) -> str:
    sql = settings.tables[table]
    files = [source.path for name, source in settings.sources.items() if _names(sql, name)]
    return f"tables.{table} gives no row" + (f" ({', '.join(files)})" if files else "")


def _names(sql: str, source: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(source)}(?!\w)", sql, re.IGNORECASE) is not None


def _without_query(events: Path) -> list[str]:
    if not events.is_file():
        return []
    clicks = pl.scan_parquet(events).filter(pl.col("kind") == "search_click")
    counted = clicks.select(every=pl.len(), without=pl.col("query").is_null().sum()).collect()
    every, without = counted.row(0)
    if not without:
        return []
    have = "has" if without == 1 else "have"
    clicked = f"{without:,} of {every:,} search_clicks {have} no query"
    return [f"{clicked}: search is not trained or judged by them; map query in tables.events"]
