"""Rankings of peers: recorded once, replayed to the product's judge, fused by reciprocal ranks.

Shapes: n requests, k places.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from components.contract.ports import Ranking, Request, Retriever, Rows
from components.evaluation.judge import DEPTH
from components.index.topk import Scores, candidate_rows, catalogue_rows, empty_ranking, place

RRF_K = 60
"""Cormack, Clarke and Büttcher, SIGIR 2009."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A Retriever that answers the recorded requests, and no others, as another one did."""

    name: str
    item_ids: Sequence[str]
    requests: dict[str, int]
    """request_id → line"""
    everything: Rows
    """(n, k) catalogue rows, -1 where nothing is"""
    new_only: Rows

    @classmethod
    def of(cls, retriever: Retriever, requests: Sequence[Request], new: NDArray[np.bool_]) -> Self:
        lines = {request.request_id: line for line, request in enumerate(requests)}
        everything = retriever.search(requests, DEPTH).rows
        new_only = retriever.search(requests, DEPTH, among=new).rows
        return cls(retriever.name, retriever.item_ids, lines, everything, new_only)

    def save(self, folder: Path) -> None:
        arrays = {"everything": self.everything, "new_only": self.new_only}
        save_file(
            {name: rows.astype(np.int32) for name, rows in arrays.items()}, folder / "rankings.safetensors"
        )

    @classmethod
    def load(cls, folder: Path, name: str, item_ids: Sequence[str], requests: Sequence[Request]) -> Self:
        arrays = load_file(folder / "rankings.safetensors")
        lines = {request.request_id: line for line, request in enumerate(requests)}
        return cls(name, item_ids, lines, *(arrays[of].astype(np.int64) for of in ("everything", "new_only")))

    def search(self, requests: Sequence[Request], k: int, among: NDArray[np.bool_] | None = None) -> Ranking:
        lines = [self.requests[request.request_id] for request in requests]
        rows = (self.everything if among is None else self.new_only)[lines, :k]
        scores = np.where(rows >= 0, -np.arange(rows.shape[1], dtype=np.float32), -np.inf)
        return Ranking(rows=rows, scores=scores.astype(np.float32))


class ScoredIndex:
    """A Retriever by a function that scores all items of the catalogue for one request; -inf: no candidate,
    None: no answer. Excluded items are taken out here; ties go by `drawn`."""

    def __init__(self, name: str, item_ids: Sequence[str], score: Callable[[Request], Scores | None]) -> None:
        self.name, self.item_ids, self._score = name, item_ids, score
        self._row_of = catalogue_rows(item_ids)

    def search(self, requests: Sequence[Request], k: int, among: NDArray[np.bool_] | None = None) -> Ranking:
        ranking = empty_ranking(len(requests), k)
        candidates = candidate_rows(len(self.item_ids), among)
        for line, request in enumerate(requests):
            scores = self._score(request)
            if scores is not None:
                scores = np.array(scores, dtype=np.float32)
                scores[[self._row_of[item] for item in request.exclude if item in self._row_of]] = -np.inf
                order = drawn(request, candidates)
                place(ranking, line, scores[order], order)
        return ranking


def drawn(request: Request, rows: Rows) -> Rows:
    """Rows in an order drawn for the request. Whole words and ranks tie often, and where ids go by age, by
    item_id new items would lose every tie."""
    return np.random.default_rng(zlib.crc32(request.request_id.encode())).permutation(rows)


class Fused:
    """Reciprocal rank fusion of two retrievers: score = Σ 1 / (60 + place), over the first 100 of each."""

    def __init__(self, name: str, first: Retriever, second: Retriever) -> None:
        self.name, self._parts = name, (first, second)

    @property
    def item_ids(self) -> Sequence[str]:
        return self._parts[0].item_ids

    def search(self, requests: Sequence[Request], k: int, among: NDArray[np.bool_] | None = None) -> Ranking:
        ranking = empty_ranking(len(requests), k)
        lists = [part.search(requests, DEPTH, among).rows for part in self._parts]
        for line, request in enumerate(requests):
            rows, scores = reciprocal_ranks([rows[line] for rows in lists])
            order = drawn(request, np.arange(len(rows)))
            place(ranking, line, scores[order], rows[order])
        return ranking


def reciprocal_ranks(lists: Sequence[Rows]) -> tuple[Rows, Scores]:
    """Ascending rows of all items that any list holds (-1: none), and their scores."""
    rows = np.unique(np.concatenate(lists))
    rows = rows[rows >= 0]
    scores = np.zeros(len(rows))
    for listed in lists:
        listed = listed[listed >= 0]
        scores[np.searchsorted(rows, listed)] += 1 / (RRF_K + 1 + np.arange(len(listed)))
    return rows, scores.astype(np.float32)
