"""The weights of the lexical side, chosen on validation.

Per judged query the scores of the items that any part ranks high are computed once; a pair of weights is then
judged by adding them up. Shapes: n items, m items of a query.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Encoder
from components.index.lexical import Lexical
from components.index.live import Snapshot
from components.index.topk import top_columns
from components.split.judged import JudgedSet

K = 10
DEPTH = 100
"""Items per query and part: what is among the best ten of a sum is high in one of its parts."""


@dataclass(frozen=True)
class Fusion:
    """score = cosine + weight · ((1 − share) · words + share · grams)"""

    weight: float
    share: float

    def scores(self, parts: NDArray[np.float32]) -> NDArray[np.float32]:
        """(3, m) cosines, words, grams → (m,)"""
        scales = np.asarray([1, self.weight * (1 - self.share), self.weight * self.share], dtype=np.float32)
        fused: NDArray[np.float32] = scales @ parts
        return fused


@dataclass(frozen=True)
class ScoredQuery:
    parts: NDArray[np.float32]
    """(3, m)"""
    relevant: Mapping[str, tuple[NDArray[np.bool_], int]]
    """Per population (new, established) which of the m items are relevant, and how many of all are."""


def scored_queries(
    judged: JudgedSet, new: frozenset[str], snapshot: Snapshot, encoder: Encoder
) -> list[ScoredQuery]:
    """new: item_ids of the items that count as new on validation."""
    item_ids = snapshot.items.get_column("item_id").to_list()
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    is_new = np.asarray([item_id in new for item_id in item_ids])
    lexical = Lexical(snapshot.lexical)
    asked = encoder.encode_queries([str(request.text) for request in judged.requests])
    scored = []
    for request, vector in zip(judged.requests, asked, strict=True):
        words, grams = lexical.parts(str(request.text))
        parts = np.stack([snapshot.vectors @ vector, words, grams])
        excluded = [row_of[item] for item in request.exclude if item in row_of]
        parts[:, excluded] = -np.inf
        rows = np.unique(np.concatenate([top_columns(part, DEPTH) for part in parts]))
        wanted = np.asarray([row_of[item] for item in judged.relevant[request.request_id]], dtype=np.int64)
        relevant = {}
        for name, inside in (("new", is_new[wanted]), ("established", ~is_new[wanted])):
            relevant[name] = (np.isin(rows, wanted[inside]), int(inside.sum()))
        scored.append(ScoredQuery(parts[:, rows], relevant))
    return scored


def best_fusion(queries: list[ScoredQuery], weights: Iterable[float], shares: Iterable[float]) -> Fusion:
    """The highest mean of recall@10 of new and of established items; the first of equals: least weight."""
    pairs = [Fusion(weight, share) for weight, share in product(weights, shares)]
    return max(pairs, key=lambda pair: fused_recall(queries, pair))


def fused_recall(queries: list[ScoredQuery], fusion: Fusion) -> float:
    """Mean over the populations that have a relevant item of their recall@10."""
    found: dict[str, list[float]] = {}
    for query in queries:
        best = top_columns(fusion.scores(query.parts), K)
        for name, (relevant, count) in query.relevant.items():
            if count:
                found.setdefault(name, []).append(relevant[best].sum() / count)
    return float(np.mean([np.mean(recalls) for recalls in found.values()])) if found else 0.0
