"""The weights of parts of a score, chosen on validation; here the lexical side's.

Per judged request the scores of the items that any part ranks high are computed once; weights are then judged
by adding them up. Shapes: n items, p parts, m items of a request.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Encoder, Request, Rows
from components.contract.retrieving import RetrievalSettings
from components.index.lexical import Lexical
from components.index.live_rows import Snapshot
from components.index.topk import top_columns
from components.split.judged import JudgedSet

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0)
SHARES = (0.0, 0.25, 0.5, 0.75)
K = 10
DEPTH = 100
"""Items per query and part: what is among the best ten of a sum is high in one of its parts."""


@dataclass(frozen=True)
class Fusion:
    """score = cosine + weight · ((1 − share) · words + share · grams)"""

    weight: float
    share: float

    @property
    def weights(self) -> tuple[float, ...]:
        """Of cosines, words, grams."""
        return 1, self.weight * (1 - self.share), self.weight * self.share


@dataclass(frozen=True)
class ScoredRequest:
    parts: NDArray[np.float32]
    """(p, m)"""
    relevant: Mapping[str, tuple[NDArray[np.bool_], int]]
    """Per population (new, established) which of the m items are relevant, and how many of all are."""


class Populations:
    """Which rows of the validation's items are relevant to a request, apart for new and established items."""

    def __init__(self, judged: JudgedSet, new: frozenset[str], item_ids: Sequence[str]) -> None:
        self._judged = judged
        self._is_new = np.asarray([item_id in new for item_id in item_ids])
        self.row_of = {item_id: row for row, item_id in enumerate(item_ids)}

    def of(self, request: Request, rows: Rows) -> dict[str, tuple[NDArray[np.bool_], int]]:
        relevant = self._judged.relevant[request.request_id]
        wanted = np.asarray([self.row_of[item] for item in relevant], dtype=np.int64)
        new = self._is_new[wanted]
        populations = {"new": wanted[new], "established": wanted[~new]}
        return {name: (np.isin(rows, some), len(some)) for name, some in populations.items()}

    def best_rows(self, request: Request, parts: NDArray[np.float32]) -> Rows:
        """(p, n) scores → the rows that are among the first DEPTH of any part, without those that the request
        excludes; changes `parts`."""
        excluded = [self.row_of[item] for item in request.exclude if item in self.row_of]
        parts[:, excluded] = -np.inf
        return np.setdiff1d(np.concatenate([top_columns(part, DEPTH) for part in parts]), excluded)


def scored_queries(
    judged: JudgedSet, new: frozenset[str], snapshot: Snapshot, encoder: Encoder
) -> list[ScoredRequest]:
    """new: item_ids of the items that count as new on validation."""
    populations = Populations(judged, new, snapshot.items.get_column("item_id").to_list())
    lexical = Lexical(snapshot.lexical)
    asked = encoder.encode_queries([str(request.text) for request in judged.requests])
    scored = []
    for request, vector in zip(judged.requests, asked, strict=True):
        words, grams = lexical.parts(str(request.text))
        parts = np.stack([snapshot.vectors @ vector, words, grams])
        rows = populations.best_rows(request, parts)
        scored.append(ScoredRequest(parts[:, rows], populations.of(request, rows)))
    return scored


def fusions(wanted: RetrievalSettings) -> list[Fusion]:
    """What the settings leave open; the first, where they leave all open, is none at all."""
    weights = WEIGHTS if wanted.lexical_weight == "auto" else (wanted.lexical_weight,)
    shares = SHARES if wanted.grams_share == "auto" else (wanted.grams_share,)
    return [Fusion(weight, share) for weight, share in product(weights, shares)]


def best_fusion(queries: list[ScoredRequest], among: Iterable[Fusion]) -> Fusion:
    """The highest mean of recall@10 of new and of established items; the first of equals: least weight."""
    return max(among, key=lambda fusion: fused_recall(queries, fusion.weights))


def fused_recall(requests: list[ScoredRequest], weights: Sequence[float]) -> float:
    """Mean over the populations that have a relevant item of their recall@10."""
    return float(np.mean(list(recalls(requests, weights).values()) or [0.0]))


def recalls(requests: list[ScoredRequest], weights: Sequence[float]) -> dict[str, float]:
    """Recall@10 per population that has a relevant item; weights: (p,) of the parts."""
    return {name: float(np.mean(values)) for name, values in found(requests, weights).items()}


def found(requests: Sequence[ScoredRequest], weights: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """The same of each request that has a relevant item in the population."""
    shares: dict[str, list[float]] = {}
    for request in requests:
        best = top_columns(np.asarray(weights, dtype=np.float32) @ request.parts, K)
        for name, (relevant, count) in request.relevant.items():
            if count:
                shares.setdefault(name, []).append(relevant[best].sum() / count)
    return {name: np.asarray(values) for name, values in shares.items()}
