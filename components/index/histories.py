"""How a user's past items score an item (settings: `retrieval.history_scoring`).

- "mean": cosine to the normalised mean of the distinct past items' vectors;
- "top3", "top10": mean of the three or ten largest cosines between the item and the NEWEST distinct past
  items (of all of them where there are fewer);
- "centred_top10": the same after the mean vector of the catalogue was taken out of every item's (Mu and
  Viswanath, ICLR 2018, section 2, step 1), which lowers the items that resemble everything;
- "gru", "attention": the same, and the cosine to the vector that a learned encoder makes of the history
  (history_encoder.py), both without that mean.
"""

from copy import copy
from functools import cached_property
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Vectors
from components.contract.retrieving import HistoryEncoderKind, HistoryScoring
from components.index.coded_vectors import CodedVectors
from components.index.history_encoder import HistoryEncoder
from components.index.topk import Scores

TOP: dict[HistoryScoring, int] = {"top3": 3, "top10": 10, "centred_top10": 10, "gru": 10, "attention": 10}
BLOCK = 32
"""Past items that are compared with all rows at once: 14 MB at 54,667 rows, however long the past is."""
NEWEST = 256
"""Distinct past items that an item is compared with one by one, wherever a history is ranked: by the service,
the judge and on validation. 1,000 would take 0.6 s of the thread that serves at 54,667 rows, 256 take 0.2 s.
online_retail, recall@10 on validation by texts alone, of all past items and of so many (2 % of the users have
more), before 2011-09-01: new 0.0434 and 0.0435, established 0.0515 and 0.0516; before 2011-07-01: 0.0568 and
0.0559, 0.0467 and 0.0467."""
Wide = NDArray[np.float64]


def is_centred(scoring: HistoryScoring) -> bool:
    return scoring in ("centred_top10", "gru", "attention")


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


def keep_largest(best: Scores, cosines: Scores) -> None:
    """best: (count, m) the largest so far, descending per item, -inf: none yet; cosines: (h, m), inserted row
    by row, which takes half the time of a partition along the first axis. Changes both."""
    passed = np.empty_like(best[0])
    for row in cosines:
        for place in best:
            np.minimum(place, row, out=passed)
            np.maximum(place, row, out=place)
            row, passed = passed, row


class Histories:
    """Scores of items for the past items of one user, by scan and exact. The mean vector is the catalogue's
    at the time of the release: items that are listed later do not move it."""

    def __init__(
        self, scoring: HistoryScoring, catalogue: Vectors, encoder: HistoryEncoder | None = None
    ) -> None:
        """encoder: of a learned scoring; raises ValueError where that has none."""
        if (encoder.kind if encoder else None) != (
            scoring if scoring in get_args(HistoryEncoderKind) else None
        ):
            raise ValueError(f"history scoring {scoring}, but another encoder of histories, or none")
        self._scoring, self._encoder = scoring, encoder
        self._mean: Wide = catalogue.mean(axis=0, dtype=np.float64)

    @cached_property
    def of_texts(self) -> "Histories":
        """The same without what is learned of purchases."""
        if self._encoder is None:
            return self
        found = copy(self)
        found._scoring, found._encoder = "centred_top10", None
        return found

    def scan(self, vectors: Vectors, coded: CodedVectors, past: list[int]) -> Scores:
        """(n,) approximate scores of all rows for the distinct rows `past`, oldest first."""
        if self._scoring == "mean":
            direction = unit(vectors[past].mean(axis=0, dtype=np.float64))
            scores: Scores = coded.cosines(direction[None].astype(np.float32))[0]
            return scores
        scores = self._scan_top(vectors, coded, past[-NEWEST:])
        if self._encoder is not None:
            scores += self._scan_encoded(vectors, coded, self.user_vector(vectors[past]))
        return scores

    def exact(self, items: Vectors, past: Vectors) -> Scores:
        """(m, d) items and (h, d) distinct past items, oldest first → (m,) scores."""
        wide, wide_past = items.astype(np.float64), past.astype(np.float64)
        if self._scoring == "mean":
            cosines: Scores = (wide @ unit(wide_past.mean(axis=0))).astype(np.float32)
            return cosines
        wide_past = wide_past[-NEWEST:]
        if is_centred(self._scoring):
            wide, wide_past = centred(wide, self._mean), centred(wide_past, self._mean)
        scores = top_mean((wide_past @ wide.T).astype(np.float32), TOP[self._scoring])
        if self._encoder is not None:
            scores += (wide @ self.user_vector(past)).astype(np.float32)
        return scores

    def user_vector(self, past: Vectors) -> Vectors:
        """(h, d) past items, oldest first → (d,) float32: what a learned encoder makes of them, else the
        direction of their mean, which is what "mean" ranks by and the middle of what the others compare items
        with; without the catalogue's mean where the scoring leaves that out."""
        wide = past.astype(np.float64)
        if is_centred(self._scoring):
            wide = centred(wide, self._mean)
        found = unit(wide.mean(axis=0)) if self._encoder is None else self._encoder.encode(wide)
        return found.astype(np.float32)

    def _scan_top(self, vectors: Vectors, coded: CodedVectors, past: list[int]) -> Scores:
        """(n,) approximate means of the largest cosines; to the last bit what `top_mean` makes of all (h, n)
        of them at once."""
        count = TOP[self._scoring]
        best = np.full((count, len(vectors)), -np.inf, dtype=np.float32)
        on_mean, lengths = self._from_mean(vectors) if is_centred(self._scoring) else (None, None)
        for start in range(0, len(past), BLOCK):
            some = past[start : start + BLOCK]
            cosines = coded.cosines(vectors[some])
            if on_mean is not None and lengths is not None:
                self._centre(cosines, on_mean, lengths, some)
            keep_largest(best, cosines)
        return top_mean(best[: len(past)], count)

    def _scan_encoded(self, vectors: Vectors, coded: CodedVectors, user: Vectors) -> Scores:
        """(n,) cosines of a user's vector with all rows less the mean."""
        _, lengths = self._from_mean(vectors)
        cosines: Scores = (coded.cosines(user[None])[0] - np.float32(user @ self._mean)) / lengths
        return cosines

    def _from_mean(self, vectors: Vectors) -> tuple[Scores, Scores]:
        """(n, d) unit vectors a, and the mean m → (n,) products a·m and lengths |a − m|."""
        on_mean = (vectors @ self._mean.astype(np.float32)).astype(np.float32)
        return on_mean, np.sqrt(np.maximum(1 - 2 * on_mean + np.float32(self._mean @ self._mean), 1e-9))

    def _centre(self, cosines: Scores, on_mean: Scores, lengths: Scores, past: list[int]) -> None:
        """Turns (h, n) cosines of unit vectors a, b, in place, into those of a − m and b − m:
        (a·b − a·m − b·m + m·m) / (|a − m| |b − m|)."""
        cosines -= on_mean
        cosines -= (on_mean[past] - np.float32(self._mean @ self._mean))[:, None]
        cosines /= lengths
        cosines /= lengths[past][:, None]
