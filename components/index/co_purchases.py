"""What the same users buy, and how an item that few have bought profits from it.

Shapes: n items of a snapshot, r rows of a live index, m items, d dimensions.

Item-based collaborative filtering (Sarwar, Karypis, Konstan and Riedl, WWW 2001): two items are as similar as
their columns of the user × item matrix, by cosine, and an item scores the sum v of its similarities to the
past items H (Deshpande and Karypis, ACM TOIS 2004; here over √|H|). An item that nobody has bought has no
such similarity, which is the cold start. So v is shrunk towards that of the item with the most similar text:

    v(i) = Σ h∈H similarity(i, h) / √|H|
    score(i) = (1 − λ(i)) v(i) + λ(i) v(nearest(i))        λ(i) = SHRINKAGE / (buyers(i) + SHRINKAGE)

λ shrinks by support (Bell and Koren, ICDM 2007), there towards 0. It depends on how many bought the item
before the cut-off and on nothing else: nothing here asks whether an item is new.
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
from scipy.sparse import csc_array, csr_array, diags_array, vstack

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.ports import Rows, Vectors
from components.index.growing import GrowingArray
from components.index.topk import Scores

CO_PURCHASES_FILE = "co_purchases.safetensors"
SIMILAR = 100
"""Past items kept per item, the most similar ones: 800 bytes an item."""
SHRINKAGE = 3.0
"""Buyers of an item at which its own purchases count half."""
BLOCK = 256
"""Items that are compared with all others at once: 50 MB of cosines at 50,000 items."""
TIED = np.float32(1e-6)
"""Cosines closer than this are equal, and the first item is taken: float32 sums depend on the batch."""


@dataclass(frozen=True, eq=False)
class CoPurchases:
    """What a release's index folder holds of its purchases. No user is in it."""

    similar: csr_array
    """(n, n) float32; row h: the items that count h among their SIMILAR most similar ones, with the cosines
    of their buyers. Nothing is similar to itself."""
    buyers: NDArray[np.int32]
    """(n,)"""
    nearest: NDArray[np.int32]
    """(n,) the row of another item that somebody bought and whose text is most similar; -1: there is none."""

    @classmethod
    def build(cls, item_ids: Sequence[str], vectors: Vectors, purchases: pl.DataFrame) -> "CoPurchases":
        """item_ids: ascending; vectors: (n, d) of their texts; purchases: user_id, item_id. Purchases of
        other items are left out."""
        matrix = _matrix(item_ids, purchases)
        buyers = np.asarray(matrix.sum(axis=0), dtype=np.int32)
        return cls(_similar(matrix, buyers), buyers, buyers).with_texts(vectors)

    def with_texts(self, vectors: Vectors) -> "CoPurchases":
        """The same purchases of items whose texts have other vectors (n, d)."""
        nearest = NearestBought(vectors, self.buyers > 0).of(vectors, np.arange(self.items))
        return CoPurchases(self.similar, self.buyers, nearest)

    @property
    def items(self) -> int:
        return len(self.buyers)

    def save(self, folder: Path) -> None:
        arrays = {
            "starts": self.similar.indptr.astype(np.int64),
            "rows": self.similar.indices.astype(np.int32),
            "cosines": self.similar.data,
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
        items = len(arrays["buyers"])
        if len(arrays["starts"]) != items + 1 or len(arrays["nearest"]) != items:
            raise DataError(f"{path}: its parts are of different catalogues; build the index again.")
        similar = csr_array((arrays["cosines"], arrays["rows"], arrays["starts"]), shape=(items, items))
        return cls(similar, arrays["buyers"], arrays["nearest"])


class NearestBought:
    """Finds the item with the most similar text among those that somebody bought: by cosine after the mean
    vector of the catalogue was taken out, as in histories.py."""

    def __init__(self, vectors: Vectors, bought: NDArray[np.bool_]) -> None:
        self._vectors, self._left_out = vectors, ~bought
        self._mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        squares = (
            np.einsum("nd,nd->n", vectors, vectors) - 2 * (vectors @ self._mean) + self._mean @ self._mean
        )
        self._lengths = np.sqrt(np.maximum(squares, 1e-9))

    def of(self, vectors: Vectors, own: Rows) -> NDArray[np.int32]:
        """(m, d) vectors; own: (m,) the row that an item has itself and which is left out, -1: none → (m,)
        rows; -1 where nothing is similar."""
        nearest = np.full(len(vectors), -1, dtype=np.int32)
        for start in range(0, len(vectors), BLOCK):
            part = slice(start, start + BLOCK)
            moved = vectors[part] - self._mean
            cosines = moved @ self._vectors.T
            cosines -= (moved @ self._mean)[:, None]
            cosines /= self._lengths
            cosines[:, self._left_out] = -np.inf
            known = np.flatnonzero(own[part] >= 0)
            cosines[known, own[part][known]] = -np.inf
            best = cosines.max(axis=1, keepdims=True)
            first = np.argmax(cosines >= best - TIED * np.linalg.norm(moved, axis=1, keepdims=True), axis=1)
            nearest[part] = np.where(best[:, 0] > 0, first, -1)
        return nearest


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

    def append(self, nearest: NDArray[np.int32], own: Rows) -> None:
        """As from `nearest`."""
        self._own.append(own)
        self._nearest.append(nearest)

    def kept(self, rows: Rows) -> Self:
        """These rows alone, in their order: all of the snapshot's, then some of the appended ones."""
        fewer, first = copy(self), self._snapshot.items
        fewer._own, fewer._nearest = self._own.first(first), self._nearest.first(first)
        fewer.append(self._nearest.values[rows[first:]], self._own.values[rows[first:]])
        return fewer

    def scores(self, past: Sequence[int]) -> Scores:
        """(r,) for the index's rows `past`; past items that the snapshot does not have say nothing."""
        known = np.unique(self._own.values[past])
        known = known[known >= 0]
        similar = self._snapshot.similar[known].sum(axis=0, dtype=np.float64) / np.sqrt(max(1, len(known)))
        sums = np.append(similar, 0.0)  # of row -1: no item
        own = self._own.values
        share = SHRINKAGE / (np.append(self._snapshot.buyers, 0)[own] + SHRINKAGE)
        scores: Scores = ((1 - share) * sums[own] + share * sums[self._nearest.values]).astype(np.float32)
        return scores


def _matrix(item_ids: Sequence[str], purchases: pl.DataFrame) -> csr_array:
    """(users, n) float32 ones."""
    items = pl.DataFrame({"item_id": item_ids}, schema={"item_id": pl.String}).with_row_index("row")
    pairs = purchases.select("user_id", "item_id").drop_nulls().unique().join(items, on="item_id")
    users = pairs.get_column("user_id").rank("dense").to_numpy().astype(np.int64) - 1
    ones = np.ones(len(pairs), dtype=np.float32)
    shape = (int(users.max(initial=-1)) + 1, len(item_ids))
    return csr_array((ones, (users, pairs.get_column("row").to_numpy())), shape=shape)


def _similar(matrix: csr_array, buyers: NDArray[np.int32]) -> csr_array:
    """CoPurchases.similar of a (users, n) matrix."""
    unit = (matrix @ diags_array(1 / np.sqrt(np.maximum(buyers, 1)))).astype(np.float32).tocsc()
    blocks = [_most_similar(unit, start) for start in range(0, unit.shape[1], BLOCK)]
    return vstack(blocks, format="csr").T.tocsr()


def _most_similar(unit: csc_array, start: int) -> csr_array:
    """Per item of a block its SIMILAR most similar others, of equal ones the first: (block, n)."""
    cosines = (unit[:, start : start + BLOCK].T @ unit).tocsr()
    cosines.sort_indices()
    starts, rows, values = [0], [], []
    for number, (first, last) in enumerate(zip(cosines.indptr, cosines.indptr[1:], strict=False)):
        row, value = cosines.indices[first:last], cosines.data[first:last].copy()
        value[row == start + number] = 0
        best = np.sort(np.argsort(-value, kind="stable")[:SIMILAR])
        best = best[value[best] > 0]
        rows.append(row[best])
        values.append(value[best])
        starts.append(starts[-1] + len(best))
    return csr_array((np.concatenate(values), np.concatenate(rows), starts), shape=cosines.shape)
