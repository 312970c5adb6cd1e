"""What the same users buy, and how an item that few have bought profits from it.

Shapes: n items of a snapshot, r rows of a live index, m items, d dimensions.

An item scores the sum v of the weights that the past items H have for it (`item_weights`), as in item-based
collaborative filtering (Deshpande and Karypis, ACM TOIS 2004; here over √|H|). An item that nobody has bought
has no weights, which is the cold start. So v is shrunk towards that of the item with the most similar text,
the less the less similar it is:

    v(i) = Σ h∈H weight(h, i) / √|H|
    score(i) = (1 − λ(i)) v(i) + λ(i) √cosine(i, nearest(i)) v(nearest(i))
    λ(i) = SHRINKAGE / (buyers(i) + SHRINKAGE)

λ shrinks by support (Bell and Koren, ICDM 2007), there towards 0. It depends on how many bought the item
before the cut-off and on nothing else: nothing here asks whether an item is new. A purchase counts half when
another HALF_LIFE_DAYS have passed since: what people buy together changes with the season.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from scipy.sparse import csr_array

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.ports import Rows, Vectors
from components.index.growing import GrowingArray
from components.index.item_weights import item_weights, modelled
from components.index.topk import Scores

CO_PURCHASES_FILE = "co_purchases.safetensors"
SHRINKAGE = 3.0
"""Buyers of an item at which its own purchases count half."""
HALF_LIFE_DAYS = 60.0
"""Before the last purchase that is known, not before today: a file of last month means what it meant."""
BLOCK = 256
"""Items that are compared with all others at once: 50 MB of cosines at 50,000 items."""
TIED = np.float32(1e-6)
"""Cosines closer than this are equal, and the first item is taken: float32 sums depend on the batch."""


@dataclass(frozen=True, eq=False)
class CoPurchases:
    """What a release's index folder holds of its purchases. No user is in it."""

    weights: csr_array
    """(n, n) float32; row h: what past item h says for others."""
    buyers: NDArray[np.int32]
    """(n,) of the items that are modelled; 0 of others."""
    nearest: NDArray[np.int32]
    """(n,) the row of another item that somebody bought and whose text is most similar; -1: there is none."""

    @classmethod
    def build(cls, item_ids: Sequence[str], vectors: Vectors, purchases: pl.DataFrame) -> "CoPurchases":
        """item_ids: ascending; vectors: (n, d) of their texts; purchases: user_id, item_id, at. Purchases of
        other items are left out."""
        matrix = _matrix(item_ids, purchases)
        rows = modelled(np.asarray(matrix.sum(axis=0), dtype=np.float64))
        buyers = np.zeros(len(item_ids), dtype=np.int32)
        buyers[rows] = matrix.tocsc()[:, rows].count_nonzero(axis=0)
        return cls(item_weights(matrix, rows), buyers, buyers).with_texts(vectors)

    def with_texts(self, vectors: Vectors) -> "CoPurchases":
        """The same purchases of items whose texts have other vectors (n, d)."""
        nearest = NearestBought(vectors, self.buyers > 0).of(vectors, np.arange(self.items))
        return CoPurchases(self.weights, self.buyers, nearest)

    @property
    def items(self) -> int:
        return len(self.buyers)

    def save(self, folder: Path) -> None:
        arrays = {
            "starts": self.weights.indptr.astype(np.int64),
            "rows": self.weights.indices.astype(np.int32),
            "weights": self.weights.data,
            "buyers": self.buyers,
            "nearest": self.nearest,
        }
        with disk_errors(folder):
            save_file(arrays, folder / CO_PURCHASES_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """None where the folder has none: no user's purchase was known. Raises DataError where its parts do
        not belong together."""
        path = folder / CO_PURCHASES_FILE
        if not path.is_file():
            return None
        with disk_errors(path):
            arrays = load_file(path)
        if "weights" not in arrays:
            raise DataError(f"{path}: it has no weights; it is of an earlier version: build the index again.")
        items = len(arrays["buyers"])
        if len(arrays["starts"]) != items + 1 or len(arrays["nearest"]) != items:
            raise DataError(f"{path}: its parts are of different catalogues; build the index again.")
        weights = csr_array((arrays["weights"], arrays["rows"], arrays["starts"]), shape=(items, items))
        return cls(weights, arrays["buyers"], arrays["nearest"])


class NearestBought:
    """Finds the item with the most similar text among those that somebody bought: by cosine after the mean
    vector of the catalogue was taken out, as in histories.py."""

    def __init__(self, vectors: Vectors, bought: NDArray[np.bool_]) -> None:
        self._rows = np.flatnonzero(bought).astype(np.int32)
        self._place = np.full(len(vectors), -1)
        self._place[self._rows] = np.arange(len(self._rows))
        self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._bought = self._centred(vectors[self._rows])

    def _centred(self, vectors: Vectors) -> Vectors:
        moved = vectors - self._mean
        centred: Vectors = moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-5)
        return centred

    def of(self, vectors: Vectors, own: Rows) -> NDArray[np.int32]:
        """(m, d) vectors; own: (m,) the row that an item has itself and which is left out, -1: none → (m,)
        rows; -1 where nothing is similar."""
        nearest = np.full(len(vectors), -1, dtype=np.int32)
        if not len(self._rows):
            return nearest
        place = np.append(self._place, -1)[own]
        for start in range(0, len(vectors), BLOCK):
            part = slice(start, start + BLOCK)
            cosines = self._centred(vectors[part]) @ self._bought.T
            itself = np.flatnonzero(place[part] >= 0)
            cosines[itself, place[part][itself]] = -np.inf
            best = cosines.max(axis=1, keepdims=True)
            first = np.argmax(cosines >= best - TIED, axis=1)
            nearest[part] = np.where(best[:, 0] > 0, self._rows[first], -1)
        return nearest

    def closeness(self, vectors: Vectors, nearest: NDArray[np.int32]) -> NDArray[np.float32]:
        """(m, d) vectors and what `of` found for them → (m,) roots of the cosines; 0 where it found none."""
        found, closeness = nearest >= 0, np.zeros(len(vectors), dtype=np.float32)
        others = self._bought[self._place[nearest[found]]]
        cosines = np.einsum("md,md->m", self._centred(vectors[found]), others)
        closeness[found] = np.sqrt(np.maximum(cosines, 0))
        return closeness


class CoPurchaseScores:
    """Scores of a live index's rows: the snapshot's items and those that were appended since.

    An appended item keeps the buyers that its id has in the snapshot, whatever its text is now; a new one
    has none, so its score is that of the item with the most similar text. A deleted item's score is still
    lent."""

    def __init__(self, snapshot: CoPurchases, vectors: Vectors) -> None:
        """vectors: (n, d) the snapshot's."""
        self._snapshot, self._vectors = snapshot, vectors
        self._texts = NearestBought(vectors, snapshot.buyers > 0)
        self._own = GrowingArray(np.arange(snapshot.items))
        self._nearest = GrowingArray(snapshot.nearest)
        self._closeness = GrowingArray(self._texts.closeness(vectors, snapshot.nearest))

    def nearest(self, vectors: Vectors, own: Rows) -> NDArray[np.int32]:
        """Of changed items with vectors (m, d); own: (m,) the snapshot's row of the same item_id, -1: none.
        Reads the snapshot alone, so another thread may call it."""
        known = np.flatnonzero(own >= 0)
        same = known[(vectors[known] == self._vectors[own[known]]).all(axis=1)]
        found = np.empty(len(vectors), dtype=np.int32)
        found[same] = self._snapshot.nearest[own[same]]
        others = np.setdiff1d(np.arange(len(vectors)), same)
        found[others] = self._texts.of(vectors[others], own[others])
        return found

    def append(self, vectors: Vectors, nearest: NDArray[np.int32], own: Rows) -> None:
        """As given to `nearest` and as from it."""
        self._own.append(own)
        self._nearest.append(nearest)
        self._closeness.append(self._texts.closeness(vectors, nearest))

    def kept(self, rows: Rows) -> Self:
        """These rows alone, in their order: all of the snapshot's, then some of the appended ones."""
        fewer, first = copy(self), self._snapshot.items
        for name in ("_own", "_nearest", "_closeness"):
            array: GrowingArray = getattr(self, name)
            setattr(fewer, name, some := array.first(first))
            some.append(array.values[rows[first:]])
        return fewer

    def scores(self, past: Sequence[int]) -> Scores:
        """(r,) for the index's rows `past`; past items that the snapshot does not have say nothing."""
        known = np.unique(self._own.values[past])
        known = known[known >= 0]
        weights = self._snapshot.weights[known].sum(axis=0, dtype=np.float64)
        sums = np.append(weights / np.sqrt(max(1, len(known))), 0.0)  # of row -1: no item
        own = self._own.values
        share = SHRINKAGE / (np.append(self._snapshot.buyers, 0)[own] + SHRINKAGE)
        lent = self._closeness.values * sums[self._nearest.values]
        scores: Scores = ((1 - share) * sums[own] + share * lent).astype(np.float32)
        return scores


def _matrix(item_ids: Sequence[str], purchases: pl.DataFrame) -> csr_array:
    """(users, n) float32: what a user's first purchase of an item counts."""
    items = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String}).with_row_index("row")
    dated = purchases.select("user_id", "item_id", "at").drop_nulls()
    first = dated.group_by("user_id", "item_id").agg(pl.col("at").min()).join(items, on="item_id")
    age = (pl.col("at").max() - pl.col("at")).dt.total_seconds()
    pairs = first.with_columns(days=age / 86_400).sort("user_id", "row")
    users = pairs.get_column("user_id").rank("dense").to_numpy().astype(np.int64) - 1
    counts = (0.5 ** (pairs.get_column("days").to_numpy() / HALF_LIFE_DAYS)).astype(np.float32)
    shape = (int(users.max(initial=-1)) + 1, len(item_ids))
    return csr_array((counts, (users, pairs.get_column("row").to_numpy())), shape=shape)
