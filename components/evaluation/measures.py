"""Retrieval measures, one value per request; NaN where the request has no relevant item in the slice.

Definitions as trec_eval has them (linear gain in NDCG); tests compare every one with ir-measures.
Legend of shapes: n requests, p judged pairs, depth places of a ranking.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.evaluation.pairs import JudgedPairs, Mask, Numbers

Values = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)

NDCG_PLACES = 10
JUDGED_PLACES = 10


def slice_measures(
    found: Numbers, filled: Mask, pairs: JudgedPairs, selected: Mask, cutoffs: tuple[int, ...]
) -> dict[str, Values]:
    """All measures of one slice of the items.

    found: (n, depth) pair numbers of the full-catalogue ranking, -1 = not judged; filled: (n, depth), a
    place that holds an item; selected: (p,) pairs whose item is in the slice. Items outside the slice
    keep their places and count as misses. judged@10 is of the whole list, for the slice's requests.
    """
    relevant = pairs.relevant_per_request(selected)
    hits = _hits(found, pairs, selected)
    measures = {f"recall@{k}": recall(hits, relevant, k) for k in cutoffs}
    measures["ndcg@10"] = _ndcg(found, pairs, selected, relevant)
    measures["mrr"] = reciprocal_rank(hits, relevant)
    measures["judged@10"] = _judged_share(found, filled, relevant)
    return measures


def slice_recall(found: Numbers, pairs: JudgedPairs, selected: Mask, k: int) -> Values:
    """recall@k of the selected pairs in a ranking given as pair numbers: (n,)."""
    return recall(_hits(found, pairs, selected), pairs.relevant_per_request(selected), k)


def recall(hits: Mask, relevant: Numbers, k: int) -> Values:
    """|top k ∩ relevant| / |relevant|; hits: (n, depth), relevant: (n,) counts."""
    return _of_population(hits[:, :k].sum(axis=1), relevant) / np.maximum(relevant, 1)


def reciprocal_rank(hits: Mask, relevant: Numbers) -> Values:
    """1 / place of the first hit, 0 where there is none within the depth."""
    first = hits.argmax(axis=1)
    return _of_population(np.where(hits.any(axis=1), 1.0 / (first + 1), 0.0), relevant)


def condense(found: Numbers) -> Numbers:
    """Removes the unjudged items from each list, keeping the order (condensed lists: Sakai, SIGIR 2007).

    It works on lists of the depth that was retrieved, as the paper does: an item beyond it stays a miss.
    Ranking all judged items of a request among themselves would be no test – most requests have fewer
    than k judged items, so that every system's recall@k would be 1.
    """
    order = np.argsort(found < 0, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)


def _hits(found: Numbers, pairs: JudgedPairs, selected: Mask) -> Mask:
    return np.asarray((found >= 0) & _at(selected & pairs.relevant, found))


def _ndcg(found: Numbers, pairs: JudgedPairs, selected: Mask, relevant: Numbers) -> Values:
    """NDCG@10: gain = grade (negative ones 0), discount 1 / log2(place + 1)."""
    grades = np.where(selected, np.maximum(pairs.grade, 0.0), 0.0)
    discounts = 1.0 / np.log2(np.arange(2, NDCG_PLACES + 2))
    places = min(NDCG_PLACES, found.shape[1])
    found = found[:, :places]
    gained = np.where(found >= 0, _at(grades, found), 0.0) @ discounts[:places]
    ideal = _ideal_gain(pairs, grades, discounts)
    with np.errstate(invalid="ignore"):
        return np.asarray(_of_population(gained, relevant) / np.where(ideal > 0, ideal, np.nan))


def _ideal_gain(pairs: JudgedPairs, grades: Values, discounts: Values) -> Values:
    """(n,): the gain of each request's own judged items in the best order."""
    order = np.lexsort((-grades, pairs.request))
    request = pairs.request[order]
    place = np.arange(len(request)) - np.searchsorted(request, request)
    gains = np.where(
        place < len(discounts), grades[order] * discounts[np.minimum(place, len(discounts) - 1)], 0
    )
    return np.bincount(request, weights=gains, minlength=pairs.requests).astype(np.float64)


def _judged_share(found: Numbers, filled: Mask, relevant: Numbers) -> Values:
    """Judged places ÷ filled places of the top 10; 0 where nothing was returned."""
    judged = (found[:, :JUDGED_PLACES] >= 0).sum(axis=1)
    places = filled[:, :JUDGED_PLACES].sum(axis=1)
    return _of_population(judged / np.maximum(places, 1), relevant)


def _at(values: NDArray[T], found: Numbers) -> NDArray[T]:
    """values[found] with any value where found is -1; values: (p,), which may be empty."""
    return values[found] if len(values) else np.zeros(found.shape, dtype=values.dtype)


def _of_population(values: NDArray[Any], relevant: Numbers) -> Values:
    return np.where(relevant > 0, values, np.nan).astype(np.float64)
