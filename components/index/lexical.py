"""Lexical scores over a snapshot's items and the items appended since."""

from array import array
from collections import defaultdict
from collections.abc import Sequence
from typing import Self

import numpy as np

from components.contract.ports import Rows
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
        # Per word the rows that have it and what it adds: numbers without an object each, added at once.
        self._appended: dict[str, tuple[array[int], array[float]]] = defaultdict(
            lambda: (array("q"), array("f"))
        )
        self._rows = postings.items

    def append(self, texts: Sequence[str]) -> None:
        for row, text in enumerate(texts, start=self._rows):
            for word, weight in self._postings.weights_of(text).items():
                rows, weights = self._appended[word]
                rows.append(row)
                weights.append(weight)
        self._rows += len(texts)

    def kept(self, rows: Rows) -> Self:
        """These rows alone, in their order: all of the snapshot's, then some of the appended ones."""
        fewer, number = type(self)(self._postings), np.full(self._rows, -1, dtype=np.int64)
        number[rows] = np.arange(len(rows))
        for word, (held, weights) in self._appended.items():
            new = number[np.frombuffer(held, dtype=np.int64)]
            stays = new >= 0
            if stays.any():
                fewer._appended[word][0].frombytes(new[stays].tobytes())
                fewer._appended[word][1].frombytes(np.frombuffer(weights, dtype=np.float32)[stays].tobytes())
        fewer._rows = len(rows)
        return fewer

    def scores(self, query: str) -> Scores | None:
        """(n,) scores; None where no item has any of the query's words."""
        words = tokens(query)
        known = self._postings.scores(words)
        appended = [self._appended[word] for word in words if word in self._appended]
        if known is None and not appended:
            return None
        scores = np.zeros(self._rows, dtype=np.float32)
        if known is not None:
            scores[: len(known)] = known
        for rows, weights in appended:  # no row comes twice within one word
            scores[np.frombuffer(rows, dtype=np.int64)] += np.frombuffer(weights, dtype=np.float32)
        scores /= np.float32(sum(map(self._postings.idf, words)))
        return scores
