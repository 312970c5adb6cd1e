"""The lexical side of an index: shared words, and shared parts of words for what is misspelt.

Normalised BM25: a query's BM25 score over the sum of its terms' IDF, so between 0 (no term shared) and about
1 (every term, in a short text). Words and grams (`analysis.py`) are scored apart, and mixed by a share.
"""

import json
from array import array
from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from components.contract.errors import DataError
from components.contract.files import disk_errors, write_json
from components.contract.learning import Language
from components.contract.ports import Rows
from components.index.analysis import Analyzer
from components.index.postings import Postings, arrays_file, terms_file
from components.index.topk import Scores

K1, B = 0.6, 0.4
"""Titles repeat no word for weight, and a long one is no worse than a short one (validation of home_depot:
recall@10 of the established items 1 point above 1.5 and 0.75, the defaults of bm25s)."""
_WORDS, _GRAMS = "words", "grams"
_LANGUAGE_FILE = "lexical.json"
LEXICAL_FILES = (
    _LANGUAGE_FILE,
    *(file(name) for name in (_WORDS, _GRAMS) for file in (arrays_file, terms_file)),
)


@dataclass(frozen=True, eq=False)
class LexicalSnapshot:
    """What a release's index folder holds of the lexical side."""

    language: Language
    words: Postings
    grams: Postings

    @classmethod
    def build(cls, texts: Sequence[str], language: Language) -> Self:
        """Raises DataError where no text holds a word."""
        analyzer = Analyzer(language)
        words = Postings.build([analyzer.words(text) for text in texts], K1, B)
        return cls(language, words, Postings.build([analyzer.grams(text) for text in texts], K1, B))

    @property
    def items(self) -> int:
        return self.words.items

    def save(self, folder: Path) -> None:
        write_json(folder / _LANGUAGE_FILE, {"language": self.language})
        self.words.save(folder, _WORDS)
        self.grams.save(folder, _GRAMS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        with disk_errors(folder / _LANGUAGE_FILE):
            language = json.loads((folder / _LANGUAGE_FILE).read_bytes())["language"]
        words, grams = Postings.load(folder, _WORDS), Postings.load(folder, _GRAMS)
        if words.items != grams.items:
            raise DataError(f"{folder}: words and grams are of two indexes; build it again.")
        return cls(language, words, grams)


class Lexical:
    """Scores over a snapshot's items and the items appended since.

    An appended item counts with the snapshot's IDF and average length: they move little in the days until the
    next release. A term that the snapshot does not have gets the IDF of a term that one item has.
    """

    def __init__(self, snapshot: LexicalSnapshot, grams_share: float = 0.0) -> None:
        """grams_share: of grams in the score, 0 to 1; the rest are words."""
        self._analyzer = Analyzer(snapshot.language)
        self._share = np.float32(grams_share)
        self._words = _Side(snapshot.words)
        self._grams = _Side(snapshot.grams)

    def append(self, texts: Sequence[str]) -> None:
        for text in texts:
            self._words.append(self._analyzer.words(text))
            self._grams.append(self._analyzer.grams(text) if self._share > 0 else [])

    def kept(self, rows: Rows) -> Self:
        """These rows alone, in their order: all of the snapshot's, then some of the appended ones."""
        fewer = copy(self)
        fewer._words, fewer._grams = self._words.kept(rows), self._grams.kept(rows)
        return fewer

    def parts(self, query: str) -> tuple[Scores, Scores]:
        """(n,) scores by words alone and by grams alone, 0 where nothing is shared."""
        words = self._words.scores(self._analyzer.words(query))
        grams = self._grams.scores(self._analyzer.grams(query))
        none = np.zeros(self._words.rows, dtype=np.float32)
        return none if words is None else words, none if grams is None else grams

    def scores(self, query: str) -> Scores | None:
        """(n,) scores; None where no item has any of the query's terms."""
        words = self._words.scores(self._analyzer.words(query)) if self._share < 1 else None
        if self._share == 0:
            return words
        grams = self._grams.scores(self._analyzer.grams(query))
        if words is None or grams is None:
            left = words if grams is None else grams
            return None if left is None else left * (1 - self._share if grams is None else self._share)
        words *= 1 - self._share
        words += grams * self._share
        return words


class _Side:
    """Postings and the items appended since."""

    def __init__(self, postings: Postings) -> None:
        self._postings = postings
        # Per term the rows that have it and what it adds: numbers without an object each, added at once.
        self._appended: dict[str, tuple[array[int], array[float]]] = defaultdict(
            lambda: (array("q"), array("f"))
        )
        self.rows = postings.items

    def append(self, terms: Sequence[str]) -> None:
        for term, weight in self._postings.weights_of(terms).items():
            rows, weights = self._appended[term]
            rows.append(self.rows)
            weights.append(weight)
        self.rows += 1

    def kept(self, rows: Rows) -> Self:
        fewer, number = type(self)(self._postings), np.full(self.rows, -1, dtype=np.int64)
        number[rows] = np.arange(len(rows))
        for term, (held, weights) in self._appended.items():
            new = number[np.frombuffer(held, dtype=np.int64)]
            stays = new >= 0
            if stays.any():
                fewer._appended[term][0].frombytes(new[stays].tobytes())
                fewer._appended[term][1].frombytes(np.frombuffer(weights, dtype=np.float32)[stays].tobytes())
        fewer.rows = len(rows)
        return fewer

    def scores(self, terms: Sequence[str]) -> Scores | None:
        known = self._postings.scores(terms)
        appended = [self._appended[term] for term in terms if term in self._appended]
        if known is None and not appended:
            return None
        scores = np.zeros(0, dtype=np.float32) if known is None else known
        if len(scores) < self.rows:
            scores = np.append(scores, np.zeros(self.rows - len(scores), dtype=np.float32))
        for rows, weights in appended:  # no row comes twice within one term
            scores[np.frombuffer(rows, dtype=np.int64)] += np.frombuffer(weights, dtype=np.float32)
        scores /= np.float32(sum(map(self._postings.idf, terms)))
        return scores
