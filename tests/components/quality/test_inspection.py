from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from components.contract.errors import ConfigError
from components.contract.settings import QualitySettings
from components.contract.tables import TABLES
from components.quality.facts import Catalogue
from components.quality.inspection import inspect_rows

NOW = datetime(2024, 6, 1)
SETTINGS = QualitySettings(ignore_item_pattern="^(POST|DOT)$")
CATALOGUE = Catalogue(listed=pl.Series(["A1", "B2", "BAD"]), clean=pl.Series(["A1", "B2"]))
PRODUCT = "item is a product (its id does not match ignore_item_pattern)"
NUMBER = "is a number (not NaN or infinite)"

BROKEN = [
    ("items", {"item_id": None}, "item_id", "item_id is given"),
    ("items", {"item_id": " "}, "item_id", "item_id is not blank"),
    ("items", {"item_id": "POST"}, "item_id", PRODUCT),
    ("items", {"title": None}, "title", "title is given"),
    ("items", {"title": " \u00a0"}, "title", "title has a letter or a digit"),
    ("items", {"title": "??"}, "title", "title has a letter or a digit"),
    ("items", {"title": "x" * 2_001}, "title", "title is at most 2,000 characters"),
    ("items", {"brand": "x" * 2_001}, "brand", "brand is at most 2,000 characters"),
    ("items", {"description": "x" * 100_001}, "description", "description is at most 100,000 characters"),
    ("items", {"price": 0.0}, "price", "price is above 0 and at most 10,000,000"),
    ("items", {"price": -1.0}, "price", "price is above 0 and at most 10,000,000"),
    ("items", {"price": 1e7 + 1}, "price", "price is above 0 and at most 10,000,000"),
    ("items", {"price": float("nan")}, "price", f"price {NUMBER}"),
    ("items", {"price": float("inf")}, "price", f"price {NUMBER}"),
    ("items", {"listed_at": datetime(2026, 1, 1)}, "listed_at", "listed_at is between 1990 and a year ahead"),
    ("events", {"at": None}, "at", "at is given"),
    ("events", {"at": datetime(1970, 1, 1)}, "at", "at is between 1990 and today"),
    ("events", {"at": datetime(2024, 6, 3)}, "at", "at is between 1990 and today"),
    ("events", {"kind": "refund"}, "kind", "kind is one of impression, search_click, view, cart, purchase"),
    ("events", {"kind": None}, "kind", "kind is given"),
    ("events", {"item_id": None}, "item_id", "item_id is given"),
    ("events", {"item_id": ""}, "item_id", "item_id is not blank"),
    ("events", {"item_id": "Z9"}, "item_id", "item_id is in the items table"),
    ("events", {"item_id": "BAD"}, "item_id", "the item's own row passed its checks"),
    ("events", {"item_id": "POST"}, "item_id", PRODUCT),
    ("events", {"user_id": ""}, "user_id", "user_id is not blank (null where the user is unknown)"),
    ("events", {"query": "x" * 2_001}, "query", "query is at most 2,000 characters"),
    ("events", {"quantity": 0.0}, "quantity", "quantity is above 0"),
    ("events", {"quantity": float("nan")}, "quantity", f"quantity {NUMBER}"),
    ("events", {"position": -1}, "position", "position is 0 or more"),
    ("events", {"propensity": 0.0}, "propensity", "propensity is above 0 and at most 1"),
    ("events", {"propensity": 1.5}, "propensity", "propensity is above 0 and at most 1"),
    ("judgements", {"query": "!"}, "query", "query has a letter or a digit"),
    ("judgements", {"item_id": "Z9"}, "item_id", "item_id is in the items table"),
    ("judgements", {"grade": None}, "grade", "grade is given"),
    ("judgements", {"grade": float("nan")}, "grade", f"grade {NUMBER}"),
    ("judgements", {"grade": -0.5}, "grade", "grade is between 0 and 10"),
    ("judgements", {"grade": 11.0}, "grade", "grade is between 0 and 10"),
    ("reviews", {"text": "\n"}, "text", "text is not blank"),
    ("reviews", {"text": None}, "text", "text is given"),
    ("reviews", {"rating": float("nan")}, "rating", f"rating {NUMBER}"),
    ("reviews", {"rating": 11.0}, "rating", "rating is between 0 and 10"),
    ("reviews", {"item_id": "Z9"}, "item_id", "item_id is in the items table"),
    ("dialogues", {"question": None}, "question", "question is given"),
    ("dialogues", {"answer": " "}, "answer", "answer is not blank"),
    ("dialogues", {"at": datetime(2050, 1, 1)}, "at", "at is between 1990 and today"),
]


def inspect(name, rows, settings=SETTINGS, **more):
    return inspect_rows(name, rows, settings, NOW, None if name == "items" else CATALOGUE, **more)


@pytest.mark.parametrize("name", list(TABLES))
def test_bad_rows(table, name) -> None:
    """A row that breaks an expectation goes to quarantine with its key and sentence; a good one stays."""
    cases = [(column, sentence, change) for which, change, column, sentence in BROKEN if which == name]
    found = inspect(name, table(name, *(change for _, _, change in cases), {}))
    expected = [
        (name, f"{name}.csv", number, f"{number:016x}", column, sentence)
        for number, (column, sentence, _) in enumerate(cases, start=1)
    ]
    assert found.quarantine.drop("value", "row").rows() == expected
    assert found.clean["source_row"].to_list() == [len(cases) + 1]


@pytest.mark.parametrize("name", list(TABLES))
def test_sparse_row_is_good(table, name) -> None:
    """Optional columns may be null."""
    rows = table(name, dict.fromkeys(TABLES[name].optional))
    assert inspect(name, rows).clean.equals(rows)


@pytest.mark.parametrize("title", ["日本語", "стул", "كرسي", "4711", "Été"])
def test_titles_of_other_scripts(table, title) -> None:
    """A letter is a letter in any script: pandas' Arrow strings would know only ASCII."""
    assert inspect("items", table("items", {"title": title})).quarantine.is_empty()


def test_row_breaks_several(table) -> None:
    """A row that breaks several expectations has one line for each, and counts as one bad row."""
    found = inspect("items", table("items", {"title": None, "price": -2.0}))
    assert found.quarantine["column"].to_list() == ["title", "price"]
    assert found.quarantine["value"].to_list() == [None, "-2.0"]
    assert found.bad == 1


def test_values_are_readable(table) -> None:
    """The value stands as text: NaN by name, times without empty fractions, long texts cut."""
    rows = table("items", {"item_id": "a", "price": float("nan")}, {"item_id": "b", "title": "x" * 100_000})
    values = inspect("items", rows).quarantine["value"].to_list()
    assert values == ["NaN", "x" * 200 + "… (100000 characters)"]
    late = inspect("events", table("events", {"at": datetime(2030, 1, 2, 3, 4, 5)}))
    assert late.quarantine["value"].to_list() == ["2030-01-02 03:04:05"]


def test_quarantined_row_is_whole(table) -> None:
    """A title of 100 kB is cut as a value but kept whole in the row."""
    found = inspect("items", table("items", {"title": "x" * 100_000}))
    assert found.quarantine["row"].str.json_path_match("$.title").str.len_chars().to_list() == [100_000]


def test_first_good_id_stays(table) -> None:
    """Of rows with one id the first good one stays: a bad one before it takes nothing away."""
    rows = table("items", {"title": None}, {"title": "first good"}, {"title": "second"}, {"title": "third"})
    found = inspect("items", rows)
    assert found.clean["title"].to_list() == ["first good"]
    assert found.quarantine["expectation"].to_list() == [
        "title is given",
        *["item_id occurs once (its first good row stays)"] * 2,
    ]


def test_repeated_judgement(table) -> None:
    """The second judgement of the same query and item goes; the same item for another query stays."""
    found = inspect("judgements", table("judgements", {"grade": 1.0}, {"grade": 3.0}, {"query": "chair"}))
    assert found.clean["grade"].to_list() == [1.0, 3.0]
    assert found.quarantine["source_row"].to_list() == [2]


def test_repeated_event(table) -> None:
    """An exact repeat of a known actor's event goes; another quantity is another event."""
    found = inspect("events", table("events", {}, {}, {"quantity": 2.0}, {"session_id": "s"}))
    assert found.quarantine["source_row"].to_list() == [2]
    assert found.quarantine["expectation"].to_list() == [
        "row is no exact repeat of an earlier one (the first stays)"
    ]


def test_anonymous_events_are_no_repeats(table) -> None:
    """Equal events that name no user, session or request may be two customers: both stay."""
    nobody = {"user_id": None}
    assert inspect("events", table("events", nobody, nobody)).clean.height == 2


def test_earlier_rows_count(table) -> None:
    """A row may not repeat a row that was accepted before."""
    found = inspect("items", table("items", {}), earlier=table("items", {"title": "older"}))
    assert found.clean.is_empty()


def test_look_around_and_groups_in_pattern(table, recwarn) -> None:
    """ignore_item_pattern is Python's `re`, look-around and groups included, without a warning."""
    settings = QualitySettings(ignore_item_pattern=r"^(?!(\w\d))")
    rows = table("events", {"item_id": "A1"}, {"item_id": "POSTAGE"})
    found = inspect("events", rows, settings)
    assert found.quarantine["expectation"].to_list() == [PRODUCT]
    assert not [each for each in recwarn if each.category is not DeprecationWarning]


def test_bad_pattern(table) -> None:
    """A pattern that is none is a configuration error that names the setting."""
    with pytest.raises(ConfigError, match=r"quality\.ignore_item_pattern: '\(' is no regular expression"):
        inspect("items", table("items", {}), QualitySettings(ignore_item_pattern="("))


def test_event_of_another_time_zone(table) -> None:
    """An event some hours ahead of our clock is good: time zones."""
    assert inspect("events", table("events", {"at": NOW + timedelta(hours=14)})).bad == 0


def test_a_failing_expectation_is_a_defect(table) -> None:
    """An expectation that cannot run is never taken for "all rows are good"."""
    from components.quality import suites
    from components.quality.validation import broken_expectations

    suite = suites.row_suite("items", SETTINGS, datetime.now(UTC).replace(tzinfo=None))
    rows = (
        table("items", {})
        .with_row_index("row:number")
        .with_columns(pl.lit(True).alias("number:price"), pl.lit("dear").alias("price"))
    )
    with pytest.raises(RuntimeError, match="price is above 0"):
        broken_expectations(rows, suite)
