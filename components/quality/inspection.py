"""Sorts the rows of one table into clean ones and quarantined ones."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from components.contract.settings import QualitySettings
from components.contract.tables import KEY_COLUMNS, TABLES, TableName
from components.quality import facts, suites
from components.quality.quarantine import QUARANTINE_SCHEMA
from components.quality.validation import BROKEN_SCHEMA, broken_expectations

VALUE_CHARACTERS = 200
"""Longer offending values are cut in the column `value`; the whole row stays in `row`."""


@dataclass(frozen=True)
class Inspection:
    clean: pl.DataFrame
    """The good rows as they came: contract and key columns, same order."""
    quarantine: pl.DataFrame
    """One line per bad row × broken expectation, columns of QUARANTINE_SCHEMA, in row order."""
    bad: int
    """Rows that went to quarantine, each counted once."""
    expectations: list[tuple[str, str]]
    """(column, sentence) of all that was asked."""


def inspect_rows(
    table: TableName,
    rows: pl.DataFrame,
    settings: QualitySettings,
    now: datetime,
    catalogue: facts.Catalogue | None = None,
    earlier: pl.DataFrame | None = None,
) -> Inspection:
    """Checks `rows` (contract and key columns) against the table's suites.

    Rows are asked one by one first; only the survivors can repeat one another, so a good row never
    goes because a bad one has its id. `catalogue` is needed for tables with an item_id other than
    items; `earlier` are clean rows that `rows` must not repeat.
    """
    numbered = rows.with_row_index(facts.ROW)
    suite = suites.row_suite(table, settings, now)
    stated = facts.with_facts(table, numbered, catalogue, settings.ignore_item_pattern)
    broken = broken_expectations(stated, suite)
    repeated, asked = _repeats(
        table, _without(numbered, broken), rows.clear() if earlier is None else earlier
    )
    broken = pl.concat([broken, repeated])
    clean = _without(numbered, broken).drop(facts.ROW)
    return Inspection(
        clean=clean,
        quarantine=_quarantine(table, numbered, broken),
        bad=rows.height - clean.height,
        expectations=suites.sentences(suite) + asked,
    )


def _repeats(
    table: TableName, survivors: pl.DataFrame, earlier: pl.DataFrame
) -> tuple[pl.DataFrame, list[tuple[str, str]]]:
    suite = suites.repeat_suite(table)
    if suite is None:
        return pl.DataFrame(schema=BROKEN_SCHEMA), []
    counted = facts.occurrences(table, survivors, earlier)
    return broken_expectations(counted, suite), suites.sentences(suite)


def _without(numbered: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    return numbered.join(broken, on=facts.ROW, how="anti", maintain_order="left")


def _quarantine(table: TableName, numbered: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    columns = list(TABLES[table].columns)
    bad = numbered.join(broken, on=facts.ROW, how="semi")
    # As text and not as JSON's own types: NaN and microseconds survive.
    told = bad.select(
        facts.ROW,
        pl.lit(table).alias("table"),
        *KEY_COLUMNS,
        *(_text(name, bad.schema[name]).alias(f"cell:{name}") for name in columns),
    ).with_columns(
        pl.struct(pl.col(f"cell:{name}").alias(name) for name in columns).struct.json_encode().alias("row")
    )
    lines = broken.sort(facts.ROW, maintain_order=True).join(
        told, on=facts.ROW, how="left", maintain_order="left"
    )
    named = {
        column: pl.when(pl.col("column") == column).then(pl.col(f"cell:{column}"))
        for column in broken["column"].unique().sort()
    }
    value = pl.coalesce([*named.values(), pl.lit(None, dtype=pl.String)])
    return lines.with_columns(_cut(value).alias("value")).select(*QUARANTINE_SCHEMA).cast(QUARANTINE_SCHEMA)


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    text = pl.col(name).cast(pl.String)
    return text.str.strip_suffix(".000000") if kind == pl.Datetime else text


def _cut(text: pl.Expr) -> pl.Expr:
    length = text.str.len_chars()
    cut = pl.format("{}… ({} characters)", text.str.head(VALUE_CHARACTERS), length)
    return pl.when(length > VALUE_CHARACTERS).then(cut).otherwise(text)
