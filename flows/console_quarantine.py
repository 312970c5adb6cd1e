"""What the quarantine's commands print."""

from typing import TYPE_CHECKING

import polars as pl
from rich.markup import escape
from rich.table import Table

from components.contract.tables import TABLES
from flows.console import cut, fact, say, show

if TYPE_CHECKING:  # its module imports Great Expectations, which takes seconds
    from components.quality.replay import ReplayResult


def quarantined(rows: pl.DataFrame, most: int = 20) -> None:
    """Counts per reason, then the first rows."""
    if rows.is_empty():
        say("No row is in quarantine.")
        return
    reasons = rows.group_by("table", "expectation").len()
    reasons = reasons.sort("len", "table", "expectation", descending=[True, False, False])
    for name, expectation, count in reasons.iter_rows():
        fact(name, f"{count:>9,}  {expectation}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("table", "file", "row", "column", "value", "expectation"):
        table.add_column(column, overflow="fold")
    for line in rows.head(most).iter_rows(named=True):
        value = _value(line["value"], line["table"], line["column"])
        place = (line["table"], line["source_file"], str(line["source_row"]), line["column"])
        table.add_row(*(escape(cell) for cell in (*place, value, line["expectation"])))
    show(table)
    if len(rows) > most:
        say(f"[dim]  and {len(rows) - most:,} more; --export writes all of them[/]")


def _value(text: str | None, table: str, column: str) -> str:
    """The value that broke an expectation. What is missing was empty in the source, or (TRY_CAST) not
    readable as what the column holds: the loaded row does not tell the two apart."""
    if text is not None:
        return cut(text)
    kind = TABLES[table].columns.get(column, "text")  # type: ignore[index]  # the quarantine's own names
    return (
        "empty"
        if kind == "text"
        else f"empty, or not readable as {'an' if kind == 'integer' else 'a'} {kind}"
    )


def replayed(result: "ReplayResult") -> None:
    for name, count in result.accepted.items():
        rows = "1 row is" if count == 1 else f"{count:,} rows are"
        fact(name, f"{rows} part of the data from the next run on")
    for refusal in result.refused:
        place = f"{refusal.table}, {refusal.source_file}, row {refusal.source_row}"
        value = f" ({_value(refusal.value, refusal.table, refusal.column)})" if refusal.column else ""
        fact("refused", escape(f"{place}: {refusal.expectation}{value}"))
