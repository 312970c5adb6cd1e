"""Lexical scores over a snapshot's items and the items appended since."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from components.index.postings import Postings, tokens
from components.index.topk import Scores


class Lexical:
    """Normalised BM25: a query's BM25 score over the sum of its words' IDF, so between 0 (no word shared) and
    about 1 (every word, in a short text).

    An appended item counts with the snapshot's IDF and average length: they move little in the days until the
    next release. A word that the snapshot does not have gets the IDF of a word that one item has.
    """

    def __init__(self, postings: Postings) -> None:
        self._postings = postings
        self._appended: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self._rows = postings.items

    def append(self, texts: Sequence[str]) -> None:
        for row, text in enumerate(texts, start=self._rows):
            for word, weight in self._postings.weights_of(text).items():
                self._appended[word].append((row, weight))
        self._rows += len(texts)

    def scores(self, query: str) -> Scores | None:
        """(n,) scores; None where no item has any of the query's words."""
        words = tokens(query)
        known = self._postings.scores(words)
        appended = [pair for word in words for pair in self._appended.get(word, ())]
        if known is None and not appended:
            return None
        scores = np.zeros(self._rows, dtype=np.float32)
        if known is not None:
            scores[: len(known)] = known
        for row, weight in appended:
            scores[row] += weight
        scores /= np.float32(sum(map(self._postings.idf, words)))
        return scores
