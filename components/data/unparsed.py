"""What to write in the SELECT where a file's text is not what its column holds."""

import re

import polars as pl

from components.contract.tables import ColumnType

# What DuckDB's cast does not take by itself, the usual ones first.
DATE_FORMATS = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d")
TIMES_OF_DAY = (" %H:%M:%S", " %H:%M", "")
EXAMPLE_FORMAT = "%d/%m/%Y %H:%M:%S"
STRAY = re.compile(r"[^\d.,+\-\s]+|(?<=\d)\s+(?=\d)", re.ASCII)
"""In a text that holds a number, what is no part of it: a currency, a unit, a space between thousands."""

DECIMAL_COMMA = r",\d{0,2}(\D|$)|,\d{4}|\..*,"
"""A comma before another number of digits than thousands have, or after a point."""

LONGEST = 60
"""Characters of a text that may stand in the sentence once more."""


def advice(column: str, kind: ColumnType, texts: pl.Series) -> str:
    """What makes values of the `texts` that do not parse, with the SQL; empty where that cannot be told."""
    if len(texts[0]) > LONGEST or "\n" in texts[0]:
        return ""
    makers = {"number": _number, "integer": _integer, "timestamp": _timestamp}
    return makers[kind](column, texts) if kind in makers else ""


def _number(column: str, texts: pl.Series) -> str:
    return _as_number(column, texts, "DOUBLE")


def _integer(column: str, texts: pl.Series) -> str:
    # Which whole number 1.5 stands for, the shop alone knows.
    return "" if _is_number(texts[0]) else _as_number(column, texts, "BIGINT")


def _as_number(column: str, texts: pl.Series, target: str) -> str:
    if not re.search(r"\d", texts[0]):  # "n/a"
        cleaned = f"nullif({column}, {_literal(texts[0])})"
    else:
        cleaned = _without_commas(_without_stray(column, texts[0]), texts)
    if cleaned == column:
        return ""
    return f"take out what is no number, for instance CAST({cleaned} AS {target})"


def _without_stray(sql: str, text: str) -> str:
    for stray in dict.fromkeys(STRAY.findall(text)):
        sql = f"replace({sql}, {_literal(stray)}, '')"
    return sql


def _without_commas(sql: str, texts: pl.Series) -> str:
    """Commas between thousands go; where any text shows that they are decimal, they become points."""
    if "," not in texts[0]:
        return sql
    if not texts.str.contains(DECIMAL_COMMA).any():
        return f"replace({sql}, ',', '')"
    if texts.str.contains(r"\..*,").any():
        sql = f"replace({sql}, '.', '')"
    return f"replace({sql}, ',', '.')"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _timestamp(column: str, texts: pl.Series) -> str:
    if not re.search("[1-9]", texts[0]):  # "0000-00-00", "unknown"
        sql = f"CAST(nullif({column}, {_literal(texts[0])}) AS TIMESTAMP)"
        return f"take out what is no date, for instance {sql}"
    for digits, function in ((10, "to_timestamp"), (13, "epoch_ms")):
        if texts.str.contains(rf"^\s*\d{{{digits}}}\s*$").all():
            return f"convert the count since 1970: {function}(CAST({column} AS BIGINT))"
    fitting = [each for each in _formats() if _fits(texts, each)]
    if not fitting:
        return f"give the format that the texts have, for instance strptime({column}, '{EXAMPLE_FORMAT}')"
    other = f" (or '{fitting[1]}', which fits them as well)" if len(fitting) > 1 else ""
    return f"give the format that the texts have: strptime({column}, '{fitting[0]}'){other}"


def _formats() -> list[str]:
    return [day + time for time in TIMES_OF_DAY for day in DATE_FORMATS]


def _fits(texts: pl.Series, form: str) -> bool:
    parsed = texts.str.strip_chars().str.strptime(pl.Datetime("us"), form, strict=False)
    return parsed.null_count() == 0


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
