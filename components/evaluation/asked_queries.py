"""Queries that were asked for items like a new one.

Which established items are like a new one is told by BM25 over the items' texts. Vectors of the release's
encoder would tell it better, but then each release would be checked with queries of its own, and the
number of undiscoverable items could not be compared between releases.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.ports import Request
from components.evaluation.catalogue_words import CatalogueWords
from components.index.bm25 import BM25Index
from components.index.postings import tokens

NEIGHBOURS = 20
"""Established items whose queries are looked at per new item. The best of the first four queries shares more
with what is asked for home_depot's validation items than with 10 or 5 (F1 of the words 0.37, 0.35, 0.31)."""
Mask = NDArray[np.bool_]


class AskedQueries:
    """The training queries of a catalogue's established items."""

    def __init__(
        self,
        item_ids: Sequence[str],
        words: CatalogueWords,
        training_queries: pl.DataFrame | None,
        new: Mask,
    ) -> None:
        """training_queries: query, item_id, grade (positives); rows of new or unknown items are ignored."""
        self._words = words
        self._queries = _by_row(item_ids, training_queries, words, new)
        self._rows = sorted(self._queries)
        self._index: BM25Index | None = None
        if self._rows:
            ids = [item_ids[row] for row in self._rows]
            self._index = BM25Index("asked for", ids, [words.texts[row] for row in self._rows])

    def near(self, rows: Sequence[int]) -> list[list[str]]:
        """Per item the queries asked for its NEIGHBOURS nearest established items, most likely first.

        Only queries that share a word with the item's text. A query comes first when the item has more of
        its words, by IDF; then the one with more IDF in common, the nearer neighbour, the alphabet.
        """
        if self._index is None:
            return [[] for _ in rows]
        requests = [Request(str(row), text=" ".join(sorted(self._words.words_of(row)))) for row in rows]
        neighbours = self._index.search(requests, NEIGHBOURS).rows
        return [self._ordered(row, line[line >= 0]) for row, line in zip(rows, neighbours, strict=True)]

    def _ordered(self, row: int, neighbours: NDArray[np.int64]) -> list[str]:
        own = self._words.words_of(row)
        keys: dict[str, tuple[float, float, int, str]] = {}
        for place, neighbour in enumerate(neighbours.tolist()):
            for query in self._queries[self._rows[neighbour]]:
                shared, all_words = self._common(own, query)
                if shared > 0 and query not in keys:
                    keys[query] = (-shared / all_words, -shared, place, query)
        return sorted(keys, key=lambda query: keys[query])

    def _common(self, own: frozenset[str], query: str) -> tuple[float, float]:
        """IDF of the query's words that are among `own`, and of all its words."""
        asked = sorted(set(tokens(query)))
        return (
            sum(self._words.idf(word) for word in asked if word in own),
            sum(self._words.idf(word) for word in asked),
        )


def _by_row(
    item_ids: Sequence[str], training_queries: pl.DataFrame | None, words: CatalogueWords, new: Mask
) -> dict[int, list[str]]:
    """Catalogue row → the distinct queries it is a positive of; established items with words only."""
    if training_queries is None:
        return {}
    row_of = {item_id: row for row, item_id in enumerate(item_ids) if not new[row]}
    pairs = training_queries.select("item_id", "query").unique().sort("item_id", "query")
    queries: dict[int, list[str]] = {}
    for item_id, query in pairs.iter_rows():
        row = row_of.get(item_id)
        if row is not None and words.words_of(row):
            queries.setdefault(row, []).append(query)
    return queries
