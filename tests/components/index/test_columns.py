"""Filters against plain Python, each alone and all together, over a snapshot and later items."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.contract.live import LiveItem
from components.index.columns import Columns, Filters

DAY = datetime(2026, 3, 1)
CATEGORIES = (None, "", "A", "AB", "A > B", "a>b > C", "A  >B", "D > A", "Möbel > Straße", "> A")
BRANDS = (None, " ", "Nord", "NORD ", "nordic", "Größe", "GRÖSSE")
PRICES = (None, 0.0, 4.99, 5.0, 5.01, 1e6)
TIMES = (None, DAY, DAY - timedelta(microseconds=1), DAY + timedelta(hours=5), datetime(1970, 1, 1))

ITEMS = st.lists(
    st.tuples(
        *map(st.sampled_from, (CATEGORIES, BRANDS, PRICES, TIMES)),
        st.booleans(),
    ),
    max_size=8,
)
FILTERS = {
    "category": st.sampled_from(
        ["A", "a > B", "AB", "a>b", "d", "MÖBEL", "möbel > STRASSE", "nothing", "", ">"]
    ),
    "brand": st.sampled_from(["nord", "Nord  ", "größe", "nothing", ""]),
    "min_price": st.sampled_from([0.0, 5.0, 5.005]),
    "max_price": st.sampled_from([5.005, 1e6, 1e9]),
    "listed_from": st.sampled_from([DAY, DAY + timedelta(days=1)]),
    "listed_before": st.sampled_from([DAY, DAY + timedelta(days=1)]),
    "in_stock": st.booleans(),
}


def words(text: str | None) -> list[str]:
    return [" ".join(part.split()) for part in (text or "").casefold().split(">") if part.strip()]


def passes(item: LiveItem, filters: Filters) -> bool:
    """The definition: below the category, that brand, within the price band, listed in [from, before)."""
    path, wanted = words(item.category), words(filters.category)
    listed, price = item.listed_at, item.price
    return all(
        [
            filters.category is None or (bool(wanted) and path[: len(wanted)] == wanted),
            filters.brand is None or (bool(words(item.brand)) and words(item.brand) == words(filters.brand)),
            filters.min_price is None or (price is not None and price >= filters.min_price),
            filters.max_price is None or (price is not None and price <= filters.max_price),
            filters.listed_from is None or (listed is not None and listed >= filters.listed_from),
            filters.listed_before is None or (listed is not None and listed < filters.listed_before),
            filters.in_stock is None or item.in_stock == filters.in_stock,
        ]
    )


def live(number: int, row: tuple) -> LiveItem:
    category, brand, price, listed_at, in_stock = row
    return LiveItem(
        item_id=f"i{number:02}",
        title="x",
        category=category,
        brand=brand,
        price=price,
        listed_at=listed_at,
        in_stock=in_stock,
    )


@given(ITEMS, ITEMS, st.fixed_dictionaries({}, optional=FILTERS))
@settings(max_examples=300, deadline=None)
def test_a_mask_is_the_definition(make_items, first, later, asked):
    """Any filters together, over a snapshot (where all is in stock) and items appended to it."""
    snapshot = [live(n, (*row[:4], True)) for n, row in enumerate(first)]
    appended = [live(n, row) for n, row in enumerate(later, start=len(first))]
    columns = Columns.of(make_items([item.model_dump(exclude={"in_stock"}) for item in snapshot]))
    columns.append(appended)
    filters = Filters(**asked)
    mask = columns.mask(filters)
    if not asked:
        assert mask is None
    else:
        assert mask.tolist() == [passes(item, filters) for item in (*snapshot, *appended)]


@given(ITEMS, ITEMS, st.fixed_dictionaries({}, optional=FILTERS), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_some_rows_alone_filter_as_before(first, later, asked, random):
    """Also after more items; those that are left out take no text with them, and the first columns stay."""
    items = [live(n, row) for n, row in enumerate(first)]
    columns = Columns()
    columns.append(items)
    kept = [n for n in range(len(items)) if random.random() < 0.5]
    fewer, filters = columns.kept(np.asarray(kept, dtype=np.int64)), Filters(**asked)
    left = [items[n] for n in kept]
    for numbers, column in ((fewer.categories, "category"), (fewer.brands, "brand")):
        texts = {" > ".join(words(getattr(item, column))) for item in left} - {""}
        assert numbers.max(initial=-1) + 1 == len(texts)
    more = [live(n, row) for n, row in enumerate(later, start=len(items))]
    fewer.append(more)
    if asked:
        assert fewer.mask(filters).tolist() == [passes(item, filters) for item in (*left, *more)]
        assert columns.mask(filters).tolist() == [passes(item, filters) for item in items]


@pytest.fixture(scope="module")
def shop() -> tuple[Columns, list[LiveItem]]:
    rows = [(c, None, None, None, True) for c in CATEGORIES]
    rows += [(None, b, None, None, True) for b in BRANDS]
    rows += [(None, None, p, None, True) for p in PRICES]
    rows += [(None, None, None, t, True) for t in TIMES]
    items = [live(n, row) for n, row in enumerate([*rows, (None, None, None, None, False)])]
    columns = Columns()
    columns.append(items)
    return columns, items


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"category": "A"}, ["A", "A > B", "a>b > C", "A  >B", "> A"]),
        ({"category": "a > b"}, ["A > B", "a>b > C", "A  >B"]),
        ({"category": "A >"}, ["A", "A > B", "a>b > C", "A  >B", "> A"]),
        ({"category": "B"}, []),
        ({"category": "MÖBEL > STRASSE"}, ["Möbel > Straße"]),
        ({"category": " "}, []),
        ({"brand": "nord"}, ["Nord", "NORD "]),
        ({"brand": "GRÖSSE"}, ["Größe", "GRÖSSE"]),
        ({"brand": ""}, []),
        ({"min_price": 5}, [5.0, 5.01, 1e6]),
        ({"max_price": 5}, [0.0, 4.99, 5.0]),
        ({"min_price": 5, "max_price": 5}, [5.0]),
        ({"listed_from": DAY}, [DAY, DAY + timedelta(hours=5)]),
        ({"listed_before": DAY}, [DAY - timedelta(microseconds=1), datetime(1970, 1, 1)]),
    ],
)
def test_each_filter_alone(shop, filters, kept):
    """A path's own items and those below it, "A" not "AB"; letter case and spaces apart; both ends of a price
    band, the start of a time but not its end; what is not known never passes."""
    columns, items = shop
    mask = columns.mask(Filters(**filters))
    name = next(iter(filters)).replace("min_", "").replace("max_", "")
    column = "listed_at" if name.startswith("listed") else name
    values = [getattr(item, column) for item, shown in zip(items, mask, strict=True) if shown]
    assert values == kept


def test_stock_is_what_was_put(shop):
    columns, items = shop
    assert np.flatnonzero(columns.mask(Filters(in_stock=False))).tolist() == [len(items) - 1]
    assert columns.mask(Filters(in_stock=True)).sum() == len(items) - 1


def test_times_with_a_zone_are_that_moment(shop):
    """02:00 at +02:00 is midnight UTC, in a filter and in an item."""
    columns, _ = shop
    zoned = datetime(2026, 3, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    for at in (zoned, DAY.replace(tzinfo=UTC), "2026-03-01T02:00:00+02:00"):
        assert (columns.mask(Filters(listed_from=at)) == columns.mask(Filters(listed_from=DAY))).all()
    item = Columns()
    item.append([live(0, (None, None, None, zoned, True))])
    assert item.mask(Filters(listed_from=DAY, listed_before=DAY + timedelta(microseconds=1))).tolist() == [
        True
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_price": 2, "max_price": 1},
        {"min_price": -1},
        {"max_price": float("nan")},
        {"max_price": float("inf")},
        {"colour": "red"},
        {"category": "x" * 2_001},
    ],
)
def test_filters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        Filters(**wrong)


def test_only_the_filters_that_were_given_are_active():
    assert Filters(brand="Nord", in_stock=False).active() == {"brand": "Nord", "in_stock": False}
    assert Filters().active() == {}
