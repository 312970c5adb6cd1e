"""Mined hard negatives: items that the current champion ranks high for a request, and that are wrong.

Legend of shapes: q requests, n items, p pairs (request, positive item), d dimensions, c candidates
(at most `depth`), k = `per_pair`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Rows, Vectors

NONE = -1
"""Stands for "no negative" in `Mined.rows`."""
CHUNK_BYTES = 64 * 2**20
"""Memory for the scores that are held at a time (requests of a chunk × eligible items)."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Mined:
    """rows: (p, k) item rows, NONE where a pair has fewer; counts: candidates per filter."""

    rows: Rows
    counts: dict[str, int]


@dataclass(frozen=True)
class _Catalogue:
    """What is known of the items: unit vectors (n, d), duplicate group (n,), rows that may be trained on."""

    vectors: Vectors
    groups: Rows
    eligible: Rows


def mine(
    query_vectors: Vectors,
    item_vectors: Vectors,
    pairs: tuple[Rows, Rows],
    known: Sequence[Rows],
    groups: Rows,
    eligible: Flags,
    *,
    depth: int,
    per_pair: int,
    ceiling: float | None,
    seed: int,
) -> Mined:
    """Draws up to `per_pair` negatives per pair from the `depth` eligible items nearest to its request.

    A candidate is dropped, in this order, when it is a known positive of the request, when it is in the
    duplicate group of one, or when it scores above `ceiling` times the score of the pair's own positive:
    such an item is more likely an unjudged positive than a negative (TopK-PercPos of "NV-Retriever",
    arXiv 2407.15831, section 3); None: no ceiling. From what is left the draw is uniform, without repetition.

    Args:
        query_vectors: (q, d) unit vectors of the requests.
        item_vectors: (n, d) unit vectors of the catalogue.
        pairs: request number (p,) and positive item row (p,) of each pair.
        known: per request the rows of all its known positives (those of its pairs and others).
        groups: (n,) number of each item's duplicate group.
        eligible: (n,) true for the items that may be trained on.

    The same arguments give the same rows.
    """
    catalogue = _Catalogue(item_vectors, groups, np.flatnonzero(eligible).astype(np.int64))
    requests, positives = pairs
    rows = np.full((len(requests), per_pair), NONE, dtype=np.int64)
    counts = dict.fromkeys(("candidates", "known_positive", "duplicate_of_positive", "above_ceiling"), 0)
    rng = np.random.default_rng(seed)
    known_keys, group_keys = _positive_keys(known, groups)
    order = np.argsort(requests, kind="stable")
    for part in _chunks(order, requests, len(catalogue.eligible)):
        candidates, scores = _nearest(query_vectors, requests[part], catalogue, depth)
        own = np.einsum("pd,pd->p", query_vectors[requests[part]], item_vectors[positives[part]])
        dropped = {
            "known_positive": np.isin(requests[part, None] * len(groups) + candidates, known_keys),
            "duplicate_of_positive": np.isin(
                requests[part, None] * len(groups) + groups[candidates], group_keys
            ),
            "above_ceiling": scores > (np.inf if ceiling is None else ceiling * own[:, None]),
        }
        left = _count_and_filter(dropped, counts)
        rows[part] = _draw(candidates, left, per_pair, rng)
    counts["drawn"] = int((rows != NONE).sum())
    counts["pairs_without_negative"] = int((rows == NONE).all(axis=1).sum()) if per_pair else 0
    return Mined(rows, counts)


def _positive_keys(known: Sequence[Rows], groups: Rows) -> tuple[Rows, Rows]:
    """One number per (request, positive item) and per (request, positive's group)."""
    lengths = [len(rows) for rows in known]
    requests = np.repeat(np.arange(len(known), dtype=np.int64), lengths)
    rows = np.concatenate([*known, np.empty(0, dtype=np.int64)]).astype(np.int64)
    return np.unique(requests * len(groups) + rows), np.unique(requests * len(groups) + groups[rows])


def _chunks(order: Rows, requests: Rows, items: int) -> Iterator[Rows]:
    """Pair numbers in request order, cut so that the scores of a chunk's requests fit in CHUNK_BYTES."""
    most = max(1, CHUNK_BYTES // (4 * max(1, items)))
    _, number = np.unique(requests[order], return_inverse=True)
    starts = np.flatnonzero(np.diff(number // most, prepend=-1))
    yield from np.split(order, starts[1:]) if len(order) else []


def _nearest(
    query_vectors: Vectors, requests: Rows, catalogue: _Catalogue, depth: int
) -> tuple[Rows, NDArray[np.float32]]:
    """The nearest eligible items of each pair's request: rows and scores, both (pairs, c); ties by row."""
    distinct, line = np.unique(requests, return_inverse=True)
    scores = query_vectors[distinct] @ catalogue.vectors[catalogue.eligible].T
    count = min(depth, len(catalogue.eligible))
    if count < len(catalogue.eligible):
        # The score of the last place decides who is in; among equals the lowest rows are taken.
        last = -np.partition(-scores, count - 1, axis=1)[:, count - 1 : count]
        places = np.stack([_best(row, threshold, count) for row, threshold in zip(scores, last, strict=True)])
    else:
        places = np.argsort(-scores, axis=1, kind="stable")
    return catalogue.eligible[places][line], np.take_along_axis(scores, places, axis=1)[line]


def _best(scores: NDArray[np.float32], threshold: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Places of the `count` largest scores, largest first, ties by place."""
    candidates = np.flatnonzero(scores >= threshold)
    order = np.argsort(-scores[candidates], kind="stable")
    return candidates[order][:count].astype(np.int64)


def _count_and_filter(dropped: dict[str, Flags], counts: dict[str, int]) -> Flags:
    """Adds each filter's drops to `counts` (a candidate counts for the first that drops it); who is left."""
    left: Flags = np.ones_like(next(iter(dropped.values())))
    counts["candidates"] += left.size
    for name, drop in dropped.items():
        counts[name] += int((left & drop).sum())
        left &= ~drop
    return left


def _draw(candidates: Rows, left: Flags, per_pair: int, rng: np.random.Generator) -> Rows:
    """(p, c) candidates and who is left → (p, k) drawn rows, NONE where there are not enough."""
    priority = np.where(left, rng.random(candidates.shape), np.inf)
    places = np.argsort(priority, axis=1, kind="stable")[:, :per_pair]
    rows = np.where(
        np.isfinite(np.take_along_axis(priority, places, axis=1)),
        np.take_along_axis(candidates, places, axis=1),
        NONE,
    )
    missing = per_pair - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing)), constant_values=NONE).astype(np.int64)
