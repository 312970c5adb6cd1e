"""A SELECT's result to the data contract: the right columns, the right types, and a key for every row.

Nothing is repaired in silence. A value whose text does not parse stops the run and is named, with
SQL that would parse it; a shop that can do without such values writes TRY_CAST, which makes them null.
"""

from dataclasses import dataclass

import duckdb
import polars as pl

from components.contract.errors import DataError
from components.contract.tables import KEY_COLUMNS, TABLES, ColumnType, TableName
from components.data.row_keys import ROW_HASH, SOURCE_FILE, SOURCE_ROW
from components.data.unparsed import advice

WHOLE = {
    *("tinyint", "smallint", "integer", "bigint", "hugeint"),
    *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
}
FRACTIONAL = {"decimal", "float", "double"}
TIMES = {
    *("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"),
    *("timestamp with time zone", "timestamp_tz", "date"),
}
# Nested values, bytes and bits have no text that everyone would agree on.
NOT_TEXT = {"list", "array", "struct", "map", "union", "blob", "bit", "variant"}
BLANKS = "' \t\n\r'"
# Between the values of a row hash, and in place of a null: characters that no shop's text holds.
SEPARATOR, ABSENT = "chr(31)", "chr(30)"
UNPARSED = "unparsed."


@dataclass(frozen=True)
class Conversion:
    """SQL of one contract column: its value, and the text that could not be made a value of the type."""

    value: str
    unparsed: str = "CAST(NULL AS VARCHAR)"


def conform(relation: duckdb.DuckDBPyRelation, table: TableName, origin: str) -> pl.DataFrame:
    """Contract and key columns of a SELECT's result, in an order that depends on nothing but its rows.

    Text that is empty or blank is null; whole numbers become text without a fraction (17850.0 →
    "17850"); times without an offset are UTC. `row_hash`: the first 16 hex digits of SHA-256 over the
    contract values as text, joined by U+001F, null as U+001E. `origin` stands in `source_file` where
    `relation` has no source_file and source_row; rows are then numbered in the order of their values.
    Raises DataError: a column too few or too many, a type or a value that does not fit.
    """
    types = _checked_types(relation, table)
    has_keys = SOURCE_FILE in types
    wanted: dict[str, ColumnType] = dict(TABLES[table].columns)
    if has_keys:
        wanted |= {SOURCE_FILE: "text", SOURCE_ROW: "integer"}
    conversions = {name: _conversion(table, name, kind, types.get(name)) for name, kind in wanted.items()}
    projection = [f"{each.value} AS {_quoted(name)}" for name, each in conversions.items()]
    projection += [f"{each.unparsed} AS {_quoted(UNPARSED + name)}" for name, each in conversions.items()]
    converted = relation.project(", ".join(projection))
    frame = converted.project(f"*, {_row_hash(list(TABLES[table].columns))} AS {ROW_HASH}").pl()
    return _keyed(frame, table, origin, has_keys)


def _checked_types(relation: duckdb.DuckDBPyRelation, table: TableName) -> dict[str, str]:
    """Type by column, once the columns are known to be the contract's."""
    came, contract = list(relation.columns), TABLES[table]
    missing = [name for name in contract.required if name not in came]
    allowed = {*contract.columns, SOURCE_FILE, SOURCE_ROW}
    unknown = [name for name in came if name not in allowed]
    twice = [name for name in allowed if came.count(name) > 1]
    place = f"tables.{table}"
    if missing:
        given = ", ".join(name for name in came if name not in (SOURCE_FILE, SOURCE_ROW))
        raise DataError(f"{place}: column {missing[0]} is missing; the SELECT gives {given or 'no column'}.")
    if unknown:
        raise DataError(
            f"{place}: {unknown[0]} is no column of {table}; leave it out, or name it one of "
            f"{', '.join(contract.columns)}."
        )
    if twice:
        raise DataError(f"{place}: the SELECT gives column {sorted(twice)[0]} twice; leave one out.")
    if (SOURCE_FILE in came) != (SOURCE_ROW in came):
        raise DataError(f"{place}: hand on both {SOURCE_FILE} and {SOURCE_ROW}, or neither.")
    return {name: _type_name(kind) for name, kind in zip(came, relation.types, strict=True)}


def _type_name(kind: object) -> str:
    return "json" if str(kind) == "JSON" else str(getattr(kind, "id", kind))


def _conversion(table: TableName, name: str, kind: ColumnType, given: str | None) -> Conversion:
    if given is None or given == "null":
        return Conversion(_null(kind))
    makers = {"text": _text, "number": _number, "integer": _integer, "timestamp": _timestamp}
    conversion = makers[kind](_quoted(name), given)
    if conversion is None:
        raise DataError(
            f"tables.{table}: column {name} is of type {given.upper()}, which makes no {kind}; "
            f"convert it in the SELECT."
        )
    return conversion


def _null(kind: ColumnType) -> str:
    names = {"text": "VARCHAR", "number": "DOUBLE", "integer": "BIGINT", "timestamp": "TIMESTAMP"}
    return f"CAST(NULL AS {names[kind]})"


def _text(column: str, given: str) -> Conversion | None:
    if given in NOT_TEXT:
        return None
    if given in FRACTIONAL:
        whole = f"{column} = trunc({column}) AND abs({column}) < 1e18"
        digits = f"CAST(CAST({column} AS BIGINT) AS VARCHAR)"
        return Conversion(f"CASE WHEN {whole} THEN {digits} ELSE {_filled(column, given)} END")
    return Conversion(_filled(column, given))


def _filled(column: str, given: str) -> str:
    """A value's text, null where that is blank; NaN is how data frames write a missing id."""
    if given in FRACTIONAL:
        return f"CASE WHEN NOT isnan(CAST({column} AS DOUBLE)) THEN CAST({column} AS VARCHAR) END"
    text = f"({column} ->> '$')" if given == "json" else f"CAST({column} AS VARCHAR)"
    return f"CASE WHEN trim({text}, {BLANKS}) <> '' THEN {text} END"


def _parsed(column: str, given: str, value: str) -> Conversion:
    """`value`, or the text that it could not be made of."""
    text = _filled(column, given)
    return Conversion(value, f"CASE WHEN {text} IS NOT NULL AND {value} IS NULL THEN {text} END")


def _number(column: str, given: str) -> Conversion | None:
    if given in WHOLE | FRACTIONAL:
        return Conversion(f"CAST({column} AS DOUBLE)")
    if given in ("varchar", "json"):
        return _parsed(column, given, f"TRY_CAST(trim({_filled(column, given)}, {BLANKS}) AS DOUBLE)")
    return None


def _integer(column: str, given: str) -> Conversion | None:
    number = _number(column, given)
    if number is None:
        return None
    # Above 2^53 a double no longer tells neighbours apart. (TRY_CAST to BIGINT would round 1.5 to 2.)
    whole = f"{number.value} = trunc({number.value}) AND abs({number.value}) <= 9007199254740992"
    return _parsed(column, given, f"CASE WHEN {whole} THEN CAST({number.value} AS BIGINT) END")


def _timestamp(column: str, given: str) -> Conversion | None:
    if given in TIMES:
        value = f"CAST({column} AS TIMESTAMP)"
    elif given in ("varchar", "json"):
        # By way of TIMESTAMPTZ, with the session in UTC: a cast to TIMESTAMP drops an offset in silence.
        text = f"trim({_filled(column, given)}, {BLANKS})"
        value = f"CAST(TRY_CAST({text} AS TIMESTAMPTZ) AS TIMESTAMP)"
    else:
        return None
    # A year that Python or polars does not have (20250-03-01, BC) is their first or last one: for quarantine.
    within = f"least(greatest({value}, TIMESTAMP '0001-01-01'), TIMESTAMP '9999-12-31')"
    return _parsed(column, given, f"CASE WHEN isfinite({value}) THEN {within} END")


def _row_hash(columns: list[str]) -> str:
    values = [f"coalesce(CAST({_quoted(name)} AS VARCHAR), {ABSENT})" for name in columns]
    return f"substr(sha256(concat_ws({SEPARATOR}, {', '.join(values)})), 1, 16)"


def _keyed(frame: pl.DataFrame, table: TableName, origin: str, has_keys: bool) -> pl.DataFrame:
    contract = list(TABLES[table].columns)
    if has_keys:
        _require_keys(frame, table)
        frame = frame.sort(*KEY_COLUMNS)
    else:
        frame = frame.sort(contract).with_row_index(SOURCE_ROW, offset=1)
        frame = frame.with_columns(pl.lit(origin).alias(SOURCE_FILE), pl.col(SOURCE_ROW).cast(pl.Int64))
    _require_parsed(frame, table)
    return frame.select(*contract, *KEY_COLUMNS)


def _require_keys(frame: pl.DataFrame, table: TableName) -> None:
    if frame.select(pl.any_horizontal(pl.col(SOURCE_FILE, SOURCE_ROW).is_null().any())).item():
        raise DataError(
            f"tables.{table}: {SOURCE_FILE} or {SOURCE_ROW} is null in some row; hand them on from the same "
            f"source for every row, or leave both out."
        )


def _require_parsed(frame: pl.DataFrame, table: TableName) -> None:
    kinds: dict[str, ColumnType] = {**TABLES[table].columns, SOURCE_FILE: "text", SOURCE_ROW: "integer"}
    for name in [column for column in frame.columns if column.startswith(UNPARSED)]:
        bad = frame.filter(pl.col(name).is_not_null())
        if len(bad):
            column = name.removeprefix(UNPARSED)
            first = bad.row(0, named=True)
            advised = advice(column, kinds[column], bad.get_column(name))
            select = f"in the SELECT tables.{table} {advised}" if advised else f"the SELECT tables.{table}"
            raise DataError(
                f"{first[SOURCE_FILE]}, row {first[SOURCE_ROW]}: {column} {first[name][:80]!r} in table "
                f"{table} is no {kinds[column]} ({_such_rows(len(bad))}). Correct the file, or {select}. "
                f"TRY_CAST there leaves {column} empty in such rows, which are then checked as such."
            )


def _such_rows(count: int) -> str:
    return f"{count:,} such row{'' if count == 1 else 's'}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
