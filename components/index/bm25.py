"""BM25 over the items' texts: the lexical peer that every candidate is shown beside."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Ranking, Request
from components.index.postings import Postings, tokens
from components.index.topk import Scores, candidate_rows, catalogue_rows, empty_ranking, place


class BM25Index:
    """A Retriever by shared words; a history request's text is its known items' texts joined.

    An item that shares no token with the request is no candidate: its places stay -1. Items with equal
    scores come in item_id order.
    """

    def __init__(
        self, name: str, item_ids: Sequence[str], texts: Sequence[str], k1: float = 1.5, b: float = 0.75
    ) -> None:
        """item_ids: ascending; texts: one per item; k1, b: see Postings. Raises DataError where no text
        holds a word."""
        if len(texts) != len(item_ids):
            raise ValueError(f"{len(item_ids)} item_ids, but {len(texts)} texts")
        self.name = name
        self._item_ids = tuple(item_ids)
        self._row_of = catalogue_rows(self._item_ids)
        self._texts = tuple(texts)
        self._postings = Postings.build([tokens(text) for text in texts], k1, b)

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
        scores = self._postings.scores(self._request_tokens(request))
        if scores is None:
            return None
        scores[scores <= 0] = -np.inf
        scores[[self._row_of[i] for i in request.exclude if i in self._row_of]] = -np.inf
        return scores

    def _request_tokens(self, request: Request) -> list[str]:
        if request.text is not None and request.text.strip():
            return tokens(request.text)
        known = dict.fromkeys(item_id for item_id in request.history if item_id in self._row_of)
        return [word for item_id in known for word in tokens(self._texts[self._row_of[item_id]])]
