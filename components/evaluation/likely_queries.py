"""Likely queries: what shoppers would type to find a new item, made without any judgement of it.

Up to six per item, from two sources:

- "own words": its most telling title words (1), those of them that other items share (2), brand and kind
  (3), most telling attribute and kind (4). (1) holds the words that are new with the item, such as a
  name; (2) is what someone types who does not know it: of home_depot's positive training pairs, the
  query holds 1 to 9 % of the title words that fewer than 10 items have, and 15 to 21 % of those that 10
  to 5,000 have. Where fewer than six queries come together, also the two most telling words of (2).
- "asked for similar items": training queries of similar established items, most likely first.

They depend on the catalogue and the training rows alone – not on a release, its vectors or a judged
request – so two releases are checked with the same queries.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.evaluation.asked_queries import AskedQueries
from components.evaluation.catalogue_words import CatalogueWords, is_number
from components.index.postings import tokens
from components.split.catalogue import plain_query

Source = Literal["own words", "asked for similar items"]
MOST_QUERIES = 6
MOST_WORDS, FEWEST_WORDS = 4, 2
"""Words of a query of an item's most telling words, and of the shorter one of these."""
ITEMS_PER_SHARER = 2_500
"""A word is shared when one item in so many holds it, and at least two do. Of 2 to 4 words held by at least
2 to 500 items, 4 words held by 20 of home_depot's 54,667 come nearest to what is asked for its validation
items (F1 of the words 0.30; 3 words 0.25; 4 held by 2, 0.25)."""
MOST_VALUE_WORDS = 3
"""Longer attribute values are sentences, not what is asked for."""


@dataclass(frozen=True)
class LikelyQuery:
    text: str
    source: Source


LikelyQueries = dict[int, tuple[LikelyQuery, ...]]
"""Catalogue row of a new item → its likely queries; none where it has no words."""


def likely_queries(
    items: pl.DataFrame,
    rows: Sequence[int],
    fields: Sequence[str],
    training_queries: pl.DataFrame | None,
    *,
    new: NDArray[np.bool_],
) -> LikelyQueries:
    """The likely queries of the catalogue rows `rows`; the same arguments give the same queries.

    items: the catalogue, sorted by item_id. fields: the columns that the encoder reads. training_queries:
    rows of train/search.parquet (positives), None where the shop has no search. new: (items,), which items
    are new: a training row of one of these is ignored.

    Raises ConfigError for a field that is no column of items.
    """
    words = CatalogueWords(items, fields)
    asked = AskedQueries(items.get_column("item_id").to_list(), words, training_queries, new)
    columns = {name: _texts(items, name) for name in ("brand", "category", "attributes")}
    queries: LikelyQueries = {}
    for row, near in zip(rows, asked.near(rows), strict=True):
        own = _own_words(words, row, **{name: texts[row] for name, texts in columns.items()})
        short = _shared_words(words, row, FEWEST_WORDS)
        queries[row] = _distinct(
            [("own words", list(own)), ("asked for similar items", near), ("own words", [short])]
        )
    return queries


def _texts(items: pl.DataFrame, column: str) -> list[str]:
    """A text per item; "" where it is null, all "" where there is no such column."""
    if column not in items.columns:
        return [""] * len(items)
    return items.get_column(column).cast(pl.String).fill_null("").str.strip_chars().to_list()


def _own_words(words: CatalogueWords, row: int, brand: str, category: str, attributes: str) -> Iterator[str]:
    """The item's own queries, most telling first; some may be equal or empty."""
    title, kind = words.titles[row], _kind(category)
    # A title of stop words alone ("It") has no telling word: it is asked for as it stands.
    yield " ".join(words.most_telling(title, MOST_WORDS)) or title
    yield _shared_words(words, row, MOST_WORDS)
    if brand and kind:
        yield f"{brand} {kind}"
    value = _telling_value(words, attributes)
    if value and kind:
        yield f"{value} {kind}"


def _shared_words(words: CatalogueWords, row: int, most: int) -> str:
    """The title's `most` most telling shared words; "" for a single one, which asks for too much else."""
    sharers = max(2, len(words.texts) // ITEMS_PER_SHARER)
    shared = words.most_telling(words.titles[row], most, held_by=sharers)
    return " ".join(shared) if len(shared) > 1 else ""


def _kind(category: str) -> str:
    """The last part of "A > B > C"; "" where it is a code ("abcat0701002") that nobody types."""
    leaf = category.split(">")[-1].strip()
    return leaf if any(word.isalpha() for word in tokens(leaf)) else ""


def _telling_value(words: CatalogueWords, attributes: str) -> str:
    """Of "name: value; name: value" the value with the largest IDF that another item has too; "" if none."""
    values = [part.split(":", 1)[-1].strip() for part in attributes.split(";")]
    sharers = {value: _least_held(words, value) for value in values if not is_number(value)}
    shared = [v for v, n in sharers.items() if n > 1 and len(v.split()) <= MOST_VALUE_WORDS]
    return min(shared, key=lambda value: sharers[value], default="")


def _least_held(words: CatalogueWords, text: str) -> int:
    return min((words.items_holding(word) for word in tokens(text)), default=0)


def _distinct(sources: list[tuple[Source, list[str]]]) -> tuple[LikelyQuery, ...]:
    """The first MOST_QUERIES that differ in more than case and white space, in lower case."""
    found: dict[str, LikelyQuery] = {}
    for source, texts in sources:
        for text in texts:
            text = plain_query(text)
            if text:
                found.setdefault(text, LikelyQuery(text, source))
    return tuple(found.values())[:MOST_QUERIES]
