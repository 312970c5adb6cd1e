"""How a user's past items score an item (settings: `retrieval.history_scoring`).

- "mean": cosine to the normalised mean of the distinct past items' vectors;
- "top3", "top10": mean of the three or ten largest cosines between the item and the distinct past items (of
  all of them where there are fewer);
- "centred_top10": the same after the mean vector of the catalogue was taken out of every item's (Mu and
  Viswanath, ICLR 2018, section 2, step 1), which lowers the items that resemble everything.
"""

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Vectors
from components.contract.settings import HistoryScoring
from components.index.coded_vectors import CodedVectors
from components.index.topk import Scores

TOP: dict[HistoryScoring, int] = {"top3": 3, "top10": 10, "centred_top10": 10}
Wide = NDArray[np.float64]


def is_centred(scoring: HistoryScoring) -> bool:
    return scoring == "centred_top10"


def centred(vectors: Wide, mean: Wide) -> Wide:
    """(n, d) vectors less the mean, scaled to unit length; rows that equal the mean are 0."""
    moved: Wide = vectors - mean
    norms = np.linalg.norm(moved, axis=1, keepdims=True)
    moved /= np.where(norms > 1e-9, norms, np.inf)
    return moved


def unit(vector: Wide) -> Wide:
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else vector


def top_mean(cosines: Scores, count: int) -> Scores:
    """(h, m) cosines of h past items with m items → (m,) means of the (up to) `count` largest per item."""
    cut = max(0, len(cosines) - count)
    best = np.partition(cosines, cut, axis=0)[cut:] if cut else cosines
    means: Scores = np.sort(best, axis=0).mean(axis=0)  # sorted: the sum depends on the values alone
    return means


class Histories:
    """Scores of items for the past items of one user, by scan and exact. The mean vector is the catalogue's
    at the time of the release: items that are listed later do not move it."""

    def __init__(self, scoring: HistoryScoring, catalogue: Vectors) -> None:
        self._scoring = scoring
        self._mean: Wide = catalogue.mean(axis=0, dtype=np.float64)

    def scan(self, vectors: Vectors, coded: CodedVectors, past: list[int]) -> Scores:
        """(n,) approximate scores of all rows for the rows `past`."""
        if self._scoring == "mean":
            direction = unit(vectors[past].mean(axis=0, dtype=np.float64))
            scores: Scores = coded.cosines(direction[None].astype(np.float32))[0]
            return scores
        cosines = coded.cosines(vectors[past])  # (h, n)
        if is_centred(self._scoring):
            self._centre(cosines, vectors, past)
        return top_mean(cosines, TOP[self._scoring])

    def exact(self, items: Vectors, past: Vectors) -> Scores:
        """(m, d) items and (h, d) past items → (m,) scores."""
        wide, wide_past = items.astype(np.float64), past.astype(np.float64)
        if self._scoring == "mean":
            cosines: Scores = (wide @ unit(wide_past.mean(axis=0))).astype(np.float32)
            return cosines
        if is_centred(self._scoring):
            wide, wide_past = centred(wide, self._mean), centred(wide_past, self._mean)
        return top_mean((wide_past @ wide.T).astype(np.float32), TOP[self._scoring])

    def user_vector(self, past: Vectors) -> Vectors:
        """(h, d) past items → (d,) float32, the direction of their mean: what "mean" ranks by, and the middle
        of what the others compare items with, in the space where they do."""
        wide = past.astype(np.float64)
        if is_centred(self._scoring):
            wide = centred(wide, self._mean)
        return unit(wide.mean(axis=0)).astype(np.float32)

    def _centre(self, cosines: Scores, vectors: Vectors, past: list[int]) -> None:
        """Turns cosines of unit vectors a, b, in place, into those of a − m and b − m:
        (a·b − a·m − b·m + m·m) / (|a − m| |b − m|)."""
        on_mean = (vectors @ self._mean.astype(np.float32)).astype(np.float32)
        square = np.float32(self._mean @ self._mean)
        lengths = np.sqrt(np.maximum(1 - 2 * on_mean + square, 1e-9))
        cosines -= on_mean
        cosines -= (on_mean[past] - square)[:, None]
        cosines /= lengths
        cosines /= lengths[past][:, None]
