"""Exact nearest neighbours: every request against every item's vector.

Legend of shapes: n requests, m candidate items, h distinct history items, d dimensions.

Products are computed in float64 and rounded to float32 before ranking. BLAS sums a float32 product in
an order that depends on the batch size and the CPU (92 % of the scores of one request changed in their
last bits when it was searched alone instead of in a batch), which would break ties between equal
vectors at random; float64 noise (1e-16) is far below float32's spacing, so a ranking depends on the
vectors alone. It costs less than twice the time: 2,466 × 54,667 in about 3 s on two cores.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Encoder, Ranking, Request, Vectors
from components.contract.retrieving import HistoryEncoderKind, HistoryScoring
from components.index.histories import NEWEST, TOP, Wide, centred, is_centred, top_mean, unit
from components.index.topk import Scores, candidate_rows, catalogue_rows, empty_ranking, place
from components.index.vectors import check_finite

CHUNK_BYTES = 256 * 2**20
"""Memory for the scores of the requests that are ranked together."""

Rows = NDArray[np.int64]


class ExactIndex:
    """A Retriever that scans the whole catalogue (it holds the vectors in float64: 8 · m · d bytes).

    A request with text is scored by the cosine of its vector and the item's, one with a history as
    `components.index.histories` says.
    Past items that the catalogue does not have are ignored; a request with neither text nor a known past
    item gets no places (all -1). Items with equal scores come in item_id order.
    """

    def __init__(
        self,
        name: str,
        item_ids: Sequence[str],
        vectors: Vectors,
        encoder: Encoder,
        history_scoring: HistoryScoring = "mean",
    ) -> None:
        """item_ids: ascending; vectors: (items, d), unit length, in the same order.

        Raises ValueError where the shapes do not fit or the ids are not ascending, EncoderError where a
        vector is not finite.
        """
        if history_scoring in get_args(HistoryEncoderKind):
            raise ValueError(f"history scoring {history_scoring} is learned: a LiveIndex has its encoder")
        if vectors.ndim != 2 or len(vectors) != len(item_ids):
            raise ValueError(f"{len(item_ids)} item_ids, but vectors of shape {vectors.shape}")
        self.name = name
        self.history_scoring = history_scoring
        self._item_ids = tuple(item_ids)
        self._row_of = catalogue_rows(self._item_ids)
        self._vectors = _finite(vectors, "item vectors")
        self._history_vectors = self._vectors
        if is_centred(history_scoring):
            self._history_vectors = centred(self._vectors, self._vectors.mean(axis=0))
        self._encoder = encoder
        self._last_queries: tuple[list[str], Wide] | None = None

    @property
    def item_ids(self) -> Sequence[str]:
        return self._item_ids

    def search(self, requests: Sequence[Request], k: int, among: NDArray[np.bool_] | None = None) -> Ranking:
        """Ranks all items, or only those where `among` is true; see ports.Retriever."""
        ranking = empty_ranking(len(requests), k)
        candidates = candidate_rows(len(self._item_ids), among)
        if len(candidates):
            for chunk, scores in self._scored(requests, slice(None) if among is None else candidates):
                self._exclude(requests, chunk, candidates, scores)
                for line, request in enumerate(chunk):
                    place(ranking, int(request), scores[line], candidates)
        return ranking

    def _scored(self, requests: Sequence[Request], rows: Rows | slice) -> Iterator[tuple[Rows, Scores]]:
        """Per chunk of requests their numbers and scores (chunk, m), without requests that have no score.

        rows: of the candidate items."""
        texts = [number for number, request in enumerate(requests) if _has_text(request)]
        histories = {
            number: past
            for number, request in enumerate(requests)
            if not _has_text(request) and len(past := self._history_rows(request))
        }
        if texts:
            items = self._vectors[rows]
            vectors = self._query_vectors([str(requests[i].text) for i in texts])
            yield from _chunks(
                np.asarray(texts), 16 * len(items), lambda part: _cosines(vectors[part], items)
            )
        if histories:
            candidates = self._history_vectors[rows]
            numbers, pasts = np.asarray(list(histories)), list(histories.values())
            yield from _chunks(
                numbers, 32 * len(candidates), lambda part: self._score_histories(pasts[part], candidates)
            )

    def _query_vectors(self, texts: list[str]) -> Wide:
        """The judge ranks the same queries among all items and among the new ones: encoded once."""
        if self._last_queries is None or self._last_queries[0] != texts:
            self._last_queries = texts, _finite(self._encoder.encode_queries(texts), "queries")
        return self._last_queries[1]

    def _history_rows(self, request: Request) -> Rows:
        past = (self._row_of[item_id] for item_id in request.history if item_id in self._row_of)
        known = list(dict.fromkeys(past))
        if self.history_scoring != "mean":
            known = known[-NEWEST:]
        return np.asarray(sorted(known), dtype=np.int64)

    def _score_histories(self, histories: list[Rows], items: Wide) -> Scores:
        if self.history_scoring != "mean":
            return _top_means(self._history_vectors, histories, items, TOP[self.history_scoring])
        return _cosines(np.stack([unit(self._vectors[rows].mean(axis=0)) for rows in histories]), items)

    def _exclude(self, requests: Sequence[Request], chunk: Rows, candidates: Rows, scores: Scores) -> None:
        """Sets the scores of each request's excluded items to -inf, in place."""
        for line, request in enumerate(chunk):
            excluded = [self._row_of[i] for i in requests[request].exclude if i in self._row_of]
            if excluded:
                scores[line, np.isin(candidates, excluded)] = -np.inf


def _has_text(request: Request) -> bool:
    return request.text is not None and bool(request.text.strip())


def _finite(vectors: NDArray[np.floating], what: str) -> Wide:
    """The vectors in float64; raises EncoderError where a number is NaN or infinite."""
    return np.ascontiguousarray(check_finite(vectors, what), dtype=np.float64)


def _cosines(vectors: Wide, items: Wide) -> Scores:
    """(n, d), (m, d) unit vectors → (n, m)."""
    return (vectors @ items.T).astype(np.float32)


def _chunks(
    numbers: Rows, bytes_per_request: int, score: Callable[[slice], Scores]
) -> Iterator[tuple[Rows, Scores]]:
    size = max(1, CHUNK_BYTES // bytes_per_request)
    for start in range(0, len(numbers), size):
        part = slice(start, start + size)
        yield numbers[part], score(part)


def _top_means(vectors: Wide, histories: list[Rows], items: Wide, count: int) -> Scores:
    """Mean of the (up to) `count` largest cosines between an item and a history: (n, m).

    The cosines of the distinct past items are computed once for all requests where they fit the memory.
    """
    distinct = np.unique(np.concatenate(histories))
    fits = 4 * len(distinct) * len(items) <= CHUNK_BYTES
    shared = _cosines(vectors[distinct], items) if fits else None
    means = np.empty((len(histories), len(items)), dtype=np.float32)
    for line, rows in enumerate(histories):
        cosines = (
            _cosines(vectors[rows], items) if shared is None else shared[np.searchsorted(distinct, rows)]
        )
        means[line] = top_mean(cosines, count)
    return means
