"""Bad rows, added to the good ones: what every shop's files hold somewhere. Good rows stay as they are."""

from collections.abc import Callable
from datetime import datetime

from numpy.random import Generator

from components.data.demo import sizes

Row = dict[str, object]
FAR_FUTURE = datetime(2099, 1, 1)


def with_bad_items(rows: list[Row], rng: Generator) -> list[Row]:
    """A repeated sku comes after the good row of that sku; all other bad rows have skus of their own, which
    no event names."""
    spoil: dict[str, Callable[[Row], Row]] = {
        "duplicate_id": lambda row: {"sku": row["sku"], "name": f"{row['name']} (copy)"},
        "blank_title": lambda _: {"name": "   "},
        "negative_price": lambda _: {"price": "-1.00"},
        "nan_price": lambda _: {"price": "NaN"},
        "future_listing": lambda _: {"listed": FAR_FUTURE.isoformat()},
    }
    bad: list[Row] = []
    for kind, count in sizes.BAD_ITEMS.items():
        for row in _sample(rows, count, rng):
            own = f"B{len(bad) + 1:05d}"
            changed = {"sku": own, "family": own, "name": f"{row['name']} {own}", **spoil[kind](row)}
            bad.append({**row, **changed})
    return rows + bad


def with_bad_events(rows: list[Row], rng: Generator) -> list[Row]:
    """Scattered copies of good events with one thing wrong."""
    spoil: dict[str, Callable[[int], Row]] = {
        "unknown_item": lambda number: {"sku": f"GONE{number:04d}"},
        "unknown_kind": lambda number: {"action": ("wishlist", "refund", "share")[number % 3]},
        "future_date": lambda _: {"happened": FAR_FUTURE},
        "missing_item": lambda _: {"sku": None},
    }
    bad = [
        {**row, **spoil[kind](number)}
        for kind, count in sizes.BAD_EVENTS.items()
        for number, row in enumerate(_sample(rows, count, rng))
    ]
    return _scattered(rows, bad, rng)


def with_bad_reviews(rows: list[Row], rng: Generator) -> list[Row]:
    spoil: dict[str, Callable[[int], Row]] = {
        "rating_out_of_range": lambda number: {"stars": (-1, 11, 99)[number % 3]},
        "blank_text": lambda _: {"review": " "},
        "unknown_item": lambda number: {"sku": f"GONE{number:04d}"},
    }
    bad = [
        {**row, **spoil[kind](number)}
        for kind, count in sizes.BAD_REVIEWS.items()
        for number, row in enumerate(_sample(rows, count, rng))
    ]
    return _scattered(rows, bad, rng)


def _sample(rows: list[Row], count: int, rng: Generator) -> list[Row]:
    return [rows[int(number)] for number in rng.choice(len(rows), count, replace=False)]


def _scattered(rows: list[Row], bad: list[Row], rng: Generator) -> list[Row]:
    """The bad rows among the good ones, whose order stays."""
    places = rng.integers(0, len(rows) + 1, len(bad)).tolist()
    merged = [(float(place), row) for place, row in enumerate(rows)]
    merged += [(place - 0.5, row) for place, row in zip(places, bad, strict=True)]
    return [row for _, row in sorted(merged, key=lambda pair: pair[0])]
