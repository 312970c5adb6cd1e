"""What a clean row looks like: one Great Expectations suite per table.

Every expectation carries in its `meta` the contract column it is about and a
sentence a person can read ("price is above 0"). Great Expectations sees one table
at a time and takes NaN for null; what it cannot see is handed to it as helper
columns (`facts.py`), and the expectation is then about the helper column.
"""

import re
from datetime import datetime, timedelta
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe

from components.contract.errors import ConfigError
from components.contract.settings import QualitySettings
from components.contract.tables import EVENT_KINDS, TableName
from components.quality import facts

EARLIEST = datetime(1990, 1, 1)
"""Anything dated before is a default value of some system (epoch 0), not a shop's date."""
EVENT_LEAD = timedelta(days=1)
"""An event may be so far ahead of our clock: time zones."""
LISTING_LEAD = timedelta(days=366)
"""A shop may announce a product a year ahead."""

DATES: dict[TableName, tuple[str, timedelta]] = {
    "items": ("listed_at", LISTING_LEAD),
    "events": ("at", EVENT_LEAD),
    "reviews": ("at", EVENT_LEAD),
    "dialogues": ("at", EVENT_LEAD),
}
"""The column that the clock bounds, and how far ahead of it a date may be."""

# A helper column beside the expectation says "every row keeps this rule once".
Expectation = Any


def row_suite(table: TableName, settings: QualitySettings, now: datetime) -> Any:
    """Expectations that one row can break by itself. `now` (naive UTC) bounds its dates.

    Raises ConfigError where `ignore_item_pattern` is no regular expression.
    """
    build = {
        "items": _items,
        "events": _events,
        "judgements": _judgements,
        "reviews": _reviews,
        "dialogues": _dialogues,
    }[table]
    return gx.ExpectationSuite(f"{table}: rows", expectations=build(settings, now))


def repeat_suite(table: TableName) -> Any | None:
    """The expectation that a row repeats no earlier good row; None for tables that may repeat."""
    sentences = {
        "items": ("item_id", "item_id occurs once (its first good row stays)"),
        "events": ("item_id", "row is no exact repeat of an earlier one (the first stays)"),
        "judgements": ("query", "query and item_id occur together once (the first good row stays)"),
    }
    if table not in sentences:
        return None
    column, sentence = sentences[table]
    once = gxe.ExpectColumnValuesToBeBetween(
        column=facts.OCCURRENCE, max_value=1, meta=_meta(column, sentence)
    )
    return gx.ExpectationSuite(f"{table}: repeats", expectations=[once])


def sentences(suite: Any) -> list[tuple[str, str]]:
    """(contract column, sentence) of every expectation, in the suite's order."""
    return [(each.meta["column"], each.meta["sentence"]) for each in suite.expectations]


def _items(settings: QualitySettings, now: datetime) -> list[Expectation]:
    title, text = settings.max_title_characters, settings.max_text_characters
    return [
        *_identifier("item_id"),
        *_product(settings),
        _given("title"),
        _worded("title"),
        _at_most("title", title),
        _at_most("brand", title),
        _at_most("category", title),
        _at_most("description", text),
        _at_most("attributes", text),
        _finite("price"),
        _between(
            "price",
            f"price is above 0 and at most {settings.max_price:,.15g}",
            above=0.0,
            to=settings.max_price,
        ),
        _dated("items", now, "a year ahead"),
    ]


def _events(settings: QualitySettings, now: datetime) -> list[Expectation]:
    return [
        _given("at"),
        _dated("events", now, "today"),
        _given("kind"),
        _one_of("kind", EVENT_KINDS),
        *_known_item(settings),
        _not_blank("user_id", "user_id is not blank (null where the user is unknown)"),
        _at_most("query", settings.max_title_characters),
        _finite("quantity"),
        _between("quantity", "quantity is above 0", above=0.0),
        _between("position", "position is 0 or more", start=0),
        _finite("propensity"),
        _between("propensity", "propensity is above 0 and at most 1", above=0.0, to=1.0),
    ]


def _judgements(settings: QualitySettings, now: datetime) -> list[Expectation]:  # noqa: ARG001 (undated)
    return [
        _given("query"),
        _worded("query"),
        _at_most("query", settings.max_title_characters),
        *_known_item(settings),
        _given("grade", facts.is_number("grade")),
        *_grade("grade", settings),
    ]


def _reviews(settings: QualitySettings, now: datetime) -> list[Expectation]:
    return [
        *_known_item(settings),
        *_prose("text", settings),
        *_grade("rating", settings),
        _dated("reviews", now, "today"),
    ]


def _dialogues(settings: QualitySettings, now: datetime) -> list[Expectation]:
    return [
        *_prose("question", settings),
        *_prose("answer", settings),
        _dated("dialogues", now, "today"),
    ]


def _identifier(column: str) -> list[Expectation]:
    return [_given(column), _not_blank(column, f"{column} is not blank")]


def _product(settings: QualitySettings) -> list[Expectation]:
    """Ids that stand for postage, fees and the like are named as such, not as unknown items."""
    if settings.ignore_item_pattern is None:
        return []
    try:
        re.compile(settings.ignore_item_pattern)
    except re.error as error:
        raise ConfigError(
            f"quality.ignore_item_pattern: {settings.ignore_item_pattern!r} is no regular expression "
            f"({error}); correct it in debut.yaml."
        ) from error
    return [
        gxe.ExpectColumnValuesToNotMatchRegex(
            column="item_id",
            regex=settings.ignore_item_pattern,
            meta=_meta("item_id", "item is a product (its id does not match ignore_item_pattern)"),
        )
    ]


def _known_item(settings: QualitySettings) -> list[Expectation]:
    return [
        *_identifier("item_id"),
        *_product(settings),
        _true(facts.ITEM_LISTED, "item_id", "item_id is in the items table"),
        _true(facts.ITEM_CLEAN, "item_id", "the item's own row passed its checks"),
    ]


def _grade(column: str, settings: QualitySettings) -> list[Expectation]:
    return [
        _finite(column),
        _between(
            column, f"{column} is between 0 and {settings.max_grade:g}", start=0.0, to=settings.max_grade
        ),
    ]


def _prose(column: str, settings: QualitySettings) -> list[Expectation]:
    return [
        _given(column),
        _not_blank(column, f"{column} is not blank"),
        _at_most(column, settings.max_text_characters),
    ]


def _given(column: str, fact: str | None = None) -> Expectation:
    """`fact`: for numbers, the helper column that is null where the value is null but not where it is NaN."""
    return gxe.ExpectColumnValuesToNotBeNull(column=fact or column, meta=_meta(column, f"{column} is given"))


def _not_blank(column: str, sentence: str) -> Expectation:
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=r"\S", meta=_meta(column, sentence))


def _worded(column: str) -> Expectation:
    # "??" and "-" are in real catalogues; no text model can find them.
    return gxe.ExpectColumnValuesToMatchRegex(
        column=column, regex=r"[^\W_]", meta=_meta(column, f"{column} has a letter or a digit")
    )


def _at_most(column: str, characters: int) -> Expectation:
    return gxe.ExpectColumnValueLengthsToBeBetween(
        column=column,
        max_value=characters,
        meta=_meta(column, f"{column} is at most {characters:,} characters"),
    )


def _finite(column: str) -> Expectation:
    return _true(facts.is_number(column), column, f"{column} is a number (not NaN or infinite)")


def _true(fact: str, column: str, sentence: str) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=fact, value_set=[True], meta=_meta(column, sentence))


def _one_of(column: str, values: tuple[str, ...]) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(
        column=column, value_set=list(values), meta=_meta(column, f"{column} is one of {', '.join(values)}")
    )


def _dated(table: TableName, now: datetime, words: str) -> Expectation:
    column, lead = DATES[table]
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=EARLIEST,
        max_value=now + lead,
        meta=_meta(column, f"{column} is between {EARLIEST:%Y} and {words}"),
    )


def _between(
    column: str,
    sentence: str,
    *,
    start: float | None = None,
    above: float | None = None,
    to: float | None = None,
) -> Expectation:
    """From `start` (or strictly above `above`) to `to`, both ends in."""
    return gxe.ExpectColumnValuesToBeBetween(
        column=column,
        min_value=start if above is None else above,
        max_value=to,
        strict_min=above is not None,
        meta=_meta(column, sentence),
    )


def _meta(column: str, sentence: str) -> dict[str, str]:
    return {"column": column, "sentence": sentence}
