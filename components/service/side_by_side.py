"""Two rankings of one query beside each other, and what differs, in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from components.service import phrases
from components.service.answering import hit_of
from components.service.index_thread import Found
from components.service.schemas import Hit
from components.service.serving import Release

COMPARED_DEPTH = 100
"""Places of each release in which the other's items are looked for."""


@dataclass(frozen=True)
class Mark:
    """How an item's place differs from its place in the other ranking."""

    kind: Literal["up", "down", "same", "alone"]
    words: str


@dataclass(frozen=True)
class Shown:
    """One item of a ranking as the page shows it."""

    place: int
    hit: Hit
    age: str
    """ "listed 3 days ago"."""
    mark: Mark | None


@dataclass(frozen=True)
class Column:
    """The first k places of one release."""

    release: Release
    rows: tuple[Shown, ...]

    @property
    def new(self) -> int:
        """How many of its items are new."""
        return sum(row.hit.new for row in self.rows)

    @property
    def alone(self) -> int:
        """How many of its items the other column does not show."""
        return sum(row.mark is not None and row.mark.kind == "alone" for row in self.rows)


def column(
    release: Release, found: Found, k: int, now: datetime, other: Found | None = None, name: str = ""
) -> Column:
    """The first k places of `found`, each marked with the difference to the ranking `other`, if any.

    now: naive, in UTC; name: what the page calls the other one.
    """
    places = None if other is None else _places(other)
    rows = []
    for place, row in enumerate(found.rows[:k], start=1):
        item = found.index.item(row)
        mark = None if places is None else _mark(place, places.get(item["item_id"]), k, name)
        rows.append(shown(item, release, now, found.scores[place - 1], place, mark))
    return Column(release, tuple(rows))


def shown(
    item: dict[str, Any],
    release: Release,
    now: datetime,
    score: float = 0.0,
    place: int = 0,
    mark: Mark | None = None,
) -> Shown:
    """An item of `LiveIndex.item`; place 0: of no ranking."""
    age = phrases.age(item.get("listed_at"), item.get("first_seen"), now)
    return Shown(place, hit_of(item, score, release, now), age, mark)


def _places(found: Found) -> dict[str, int]:
    return {found.index.item_ids[row]: place for place, row in enumerate(found.rows, start=1)}


def _mark(place: int, there: int | None, k: int, name: str) -> Mark:
    if there is None:
        return Mark("alone", f"only here; {name}: beyond place {COMPARED_DEPTH}")
    if there > k:
        return Mark("alone", f"only here; {name}: place {there}")
    if there == place:
        return Mark("same", "same place")
    kind: Literal["up", "down"] = "up" if place < there else "down"
    return Mark(kind, f"{abs(there - place)} {kind}; {name}: place {there}")
