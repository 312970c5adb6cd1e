"""What a query implies of the items that answer it, one statement at a time."""

from dataclasses import dataclass
from typing import Literal

from components.contract.task import Facet

Source = Literal["learned", "tree", "rule", "synonym"]
"""learned: by a task's head; tree: the query names a category; rule: one of the shop's; synonym: tree or rule
would say so of the query in other words."""


@dataclass(frozen=True, slots=True)
class Implication:
    """The items that answer the query have `value`, or a price between `low` and `high`."""

    facet: Facet
    probability: float
    source: Source
    because: str
    """The task, or the words of the query that say so."""
    value: str | None = None
    """As `labels_of` writes it; None for a price."""
    low: float | None = None
    """None: no lower, or no upper, end."""
    high: float | None = None


Implied = tuple[Implication, ...]


def labels_of(facet: Facet, text: str | None) -> list[str]:
    """What an item has by one of its columns, in the form in which it is compared: letter case and space do
    not matter. "A > B" → a, a > b; "colour: red; size: 5" → colour: red, size: 5."""
    if facet == "attributes":
        pairs = (plain(pair) for pair in (text or "").split(";"))
        return list(dict.fromkeys(pair for pair in pairs if pair))
    label = plain(text) if facet == "brand" else plain_path(text)
    if not label:
        return []
    parts = label.split(" > ") if facet == "category" else [label]
    return [" > ".join(parts[: count + 1]) for count in range(len(parts))]


def plain(text: str | None) -> str:
    """Case folded, white space collapsed."""
    return " ".join((text or "").casefold().split())


def plain_path(text: str | None) -> str:
    """A category "A > B" the same way, without empty levels."""
    return " > ".join(part for part in map(plain, (text or "").split(">")) if part)
