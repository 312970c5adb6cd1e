"""How the page says ages, dates and decisions."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.records import Decision, DecisionKind
from components.service import phrases

NOW = datetime(2026, 3, 10, 15, 30)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (0, "listed today"),
        (1, "listed yesterday"),
        (2, "listed 2 days ago"),
        (13, "listed 13 days ago"),
        (14, "listed 2 weeks ago"),
        (60, "listed 8 weeks ago"),
        (61, "listed 2 months ago"),
        (730, "listed 23 months ago"),
        (731, "listed 2 years ago"),
        (4_000, "listed 10 years ago"),
    ],
)
def test_an_age_is_said_in_the_largest_unit_that_still_tells(days: int, words: str) -> None:
    """By calendar days: what was listed last evening was listed yesterday."""
    assert phrases.age(NOW - timedelta(days=days), None, NOW) == words
    late = (NOW - timedelta(days=days)).replace(hour=23, minute=59)
    assert phrases.age(late, None, NOW) == words


def test_an_age_says_what_it_counts_from() -> None:
    """The listing goes before the first sight; days to come and no day at all are said too."""
    before = NOW - timedelta(days=3)
    assert phrases.age(None, before, NOW) == "first seen 3 days ago"
    assert phrases.age(before, NOW, NOW) == "listed 3 days ago"
    assert phrases.age(NOW + timedelta(days=2), None, NOW) == "to be listed on 12 Mar 2026"
    assert phrases.age(None, None, NOW) == "no listing date"


@given(st.datetimes())
def test_every_date_has_an_age(at: datetime) -> None:
    """A count is never 0 and one is never plural."""
    words = phrases.age(at, None, NOW)
    assert " 0 " not in words and " 1 days" not in words and words


def test_moments_and_digests_are_short() -> None:
    """As the commands print them."""
    assert phrases.moment(datetime(2026, 3, 1, 7, 5, 59, tzinfo=UTC)) == "1 Mar 2026, 07:05 UTC"
    assert (phrases.short("a" * 64), phrases.short(None)) == ("a" * 12, "none")
    assert [phrases.plural(count, "item") for count in (0, 1, 2_000)] == ["0 items", "1 item", "2,000 items"]


@pytest.mark.parametrize("kind", get_args(DecisionKind))
def test_every_kind_of_decision_has_words(kind: DecisionKind) -> None:
    """The history shows the whole log, whatever else the shop decides one day."""
    record = Decision(
        number=2,
        kind=kind,
        release=None,
        predecessor=None,
        at=NOW,
        actor="ci",
        reason="r",
        previous_hash=None,
    )
    words, tone, sign = phrases.verdict(record)
    assert words and sign and tone in ("good", "bad", "open", "quiet")


def test_the_first_promotion_is_the_baseline() -> None:
    """Nothing was judged then; later ones were."""
    first = Decision(
        number=1,
        kind="promotion",
        release="a" * 64,
        predecessor=None,
        at=NOW,
        actor="ci",
        reason="baseline",
        previous_hash=None,
    )
    assert phrases.verdict(first)[0] == "Baseline"
    assert phrases.verdict(first.model_copy(update={"predecessor": "b" * 64}))[0] == "Promoted"
