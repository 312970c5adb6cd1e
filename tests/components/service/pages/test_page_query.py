"""What the search form asks for: any query string has a meaning or an error, never a traceback."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from components.service.page_query import FILTERS, PLACES, page_query

_FIELDS = ("q", "k", *FILTERS)


@given(st.dictionaries(st.sampled_from(_FIELDS), st.text(max_size=30)))
def test_any_query_string_is_taken(fields: dict[str, str]) -> None:
    """What was typed is kept; with an error nothing is filtered."""
    found = page_query(QueryParams(urlencode(fields, errors="replace")), 20)
    assert found.k in PLACES and set(found.errors) <= set(_FIELDS)
    assert set(found.typed) == set(FILTERS)
    if any(name in found.errors for name in FILTERS):
        assert not found.filters.active()


@pytest.mark.parametrize(
    ("typed", "price"), [("19.90", 19.9), ("19,90", 19.9), (" 7 ", 7.0), ("1,000.50", None), ("-1", None)]
)
def test_a_price_may_have_a_comma(typed: str, price: float | None) -> None:
    """As a decimal mark; with both marks nobody knows which is which."""
    found = page_query(QueryParams({"q": "a", "max_price": typed}), 20)
    assert found.filters.max_price == price
    assert ("max_price" in found.errors) == (price is None)


def test_a_page_without_a_query_is_no_error() -> None:
    """Only a form that was sent empty is."""
    assert page_query(QueryParams({}), 20).errors == {}
    assert "q" in page_query(QueryParams({"q": ""}), 20).errors
