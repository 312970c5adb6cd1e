"""BM25 over the items' texts: the lexical peer that every candidate is shown beside.

Okapi BM25 as Lucene computes it (Kamphuis et al., ECIR 2020), by the package bm25s. A text's tokens are
its lower-case runs of two or more letters, digits or underscores, without the 33 English stop words
that bm25s (and Lucene) leave out; no stemmer. IDF is over the catalogue as it is indexed. A script that
puts no space between words (Chinese, Thai) is one token per run and finds little here.
"""

import re
from collections.abc import Sequence

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray

from components.contract.errors import DataError
from components.contract.ports import Ranking, Request
from components.index.topk import Scores, candidate_rows, catalogue_rows, empty_ranking, place

TOKEN = re.compile(r"(?u)\b\w\w+\b")
STOP_WORDS = frozenset(STOPWORDS_EN)


def tokens(text: str) -> list[str]:
    return [word for word in TOKEN.findall(text.lower()) if word not in STOP_WORDS]


class BM25Index:
    """A Retriever by shared words; a history request's text is its known items' texts joined.

    An item that shares no token with the request is no candidate: its places stay -1. Items with equal
    scores come in item_id order.
    """

    def __init__(
        self, name: str, item_ids: Sequence[str], texts: Sequence[str], k1: float = 1.5, b: float = 0.75
    ) -> None:
        """item_ids: ascending; texts: one per item; k1: saturation of a word's count; b: length
        normalisation. Raises DataError where no text holds a word."""
        if len(texts) != len(item_ids):
            raise ValueError(f"{len(item_ids)} item_ids, but {len(texts)} texts")
        self.name = name
        self._item_ids = tuple(item_ids)
        self._row_of = catalogue_rows(self._item_ids)
        self._tokens = [tokens(text) for text in texts]
        if not any(self._tokens):
            raise DataError(
                "No item's text holds a word that BM25 can index: check the titles and encoder.item_fields."
            )
        self._bm25 = bm25s.BM25(k1=k1, b=b, method="lucene")
        self._bm25.index(self._tokens, show_progress=False)

    @property
    def item_ids(self) -> Sequence[str]:
        return self._item_ids

    def search(self, requests: Sequence[Request], k: int, among: NDArray[np.bool_] | None = None) -> Ranking:
        """Ranks all items, or only those where `among` is true; see ports.Retriever."""
        ranking = empty_ranking(len(requests), k)
        candidates = candidate_rows(len(self._item_ids), among)
        for line, request in enumerate(requests):
            scores = self._scores(request)
            if scores is not None:
                place(ranking, line, scores[candidates], candidates)
        return ranking

    def _scores(self, request: Request) -> Scores | None:
        """(items,), -inf for items without a shared token and excluded ones; None without known tokens."""
        known = [word for word in self._request_tokens(request) if word in self._bm25.vocab_dict]
        if not known:
            return None
        scores: Scores = self._bm25.get_scores(known)
        scores[scores <= 0] = -np.inf
        scores[[self._row_of[i] for i in request.exclude if i in self._row_of]] = -np.inf
        return scores

    def _request_tokens(self, request: Request) -> list[str]:
        if request.text is not None and request.text.strip():
            return tokens(request.text)
        known = dict.fromkeys(item_id for item_id in request.history if item_id in self._row_of)
        return [word for item_id in known for word in self._tokens[self._row_of[item_id]]]
