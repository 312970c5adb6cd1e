"""What a person is told to write where a text does not parse, run as SQL over those texts."""

import re
from datetime import datetime
from typing import Any

import duckdb
import polars as pl
import pytest

from components.data.unparsed import advice

AUGUST = datetime(2026, 8, 31)


def advised(kind: Any, texts: list[str]) -> list[Any]:
    """What the SQL of the advice makes of the texts."""
    sentence = advice("c", kind, pl.Series(texts))
    found = re.search(r"(CAST|strptime|to_timestamp|epoch_ms)\(.*?\)(?= \(or|$)", sentence)
    assert found, sentence
    sql = f"SELECT CAST({found[0]} AS {'TIMESTAMP' if kind == 'timestamp' else 'DOUBLE'}) FROM given"
    with duckdb.connect() as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("CREATE TABLE given AS SELECT unnest(?) AS c", [texts])
        return [row[0] for row in connection.execute(sql).fetchall()]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["€110.38", "€1"], [110.38, 1.0]),
        (["110 EUR"], [110.0]),
        (["it's 5"], [5.0]),
        (["12,50"], [12.5]),
        (["1,299", "2,000,000"], [1299.0, 2_000_000.0]),
        (["1,299", "12,50"], [1.299, 12.5]),
        (["€1,299.00"], [1299.0]),
        (["1.299,00 €"], [1299.0]),
        (["1 299,5"], [1299.5]),
        (["12.5\u00a0€"], [12.5]),
        (["n/a"], [None]),
    ],
)
def test_numbers_lose_what_is_no_number(texts: list[str], values: list[float | None]) -> None:
    """Currencies, units and spaces go; a comma is decimal where any text shows it."""
    assert advised("number", texts) == values


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["31/08/2026"], AUGUST),
        (["08/31/2026 00:00"], AUGUST),
        (["31/08/2026 10:02:03", "1/8/2026 10:02:03"], AUGUST.replace(hour=10, minute=2, second=3)),
        (["31.08.2026"], AUGUST),
        (["20260831"], AUGUST),
        (["1788134400"], AUGUST),
        (["1788134400000"], AUGUST),
        (["0000-00-00 00:00:00"], None),
    ],
)
def test_times_get_the_format_that_fits_them_all(texts: list[str], value: datetime | None) -> None:
    assert advised("timestamp", texts)[0] == value


def test_a_date_that_two_formats_fit_is_told_with_both() -> None:
    """Which one is meant, the shop alone knows."""
    sentence = advice("at", "timestamp", pl.Series(["05/08/2026"]))
    assert "strptime(at, '%d/%m/%Y')" in sentence and "or '%m/%d/%Y'" in sentence


def test_an_unknown_format_is_told_by_example() -> None:
    assert "for instance strptime(at, '%d/%m/%Y %H:%M:%S')" in advice(
        "at", "timestamp", pl.Series(["Aug 3, 26"])
    )


@pytest.mark.parametrize(("kind", "text"), [("integer", "1.5"), ("number", "x" * 100_000)])
def test_without_an_idea_nothing_is_advised(kind: Any, text: str) -> None:
    assert advice("position", kind, pl.Series([text])) == ""
