"""How much a past item says for another one, from what the same users bought: EASE in closed form.

Shapes: u users, n items, m items that are modelled.

EASE (Steck, WWW 2019, "Embarrassingly shallow autoencoders for sparse data", section 3.1) asks for the (m, m)
weights B without a diagonal that give the purchases X back, |X − X B|² + ridge |B|² at its least:

    P = (XᵀX + ridge I)⁻¹        B = −P / diag(P) (each column by its own)

A column's weights are what is left of a past item's say when all others have had theirs, so two things that
everybody buys do not speak for each other, as they do by the cosine of their buyers.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import coo_array, csr_array

MODELLED = 8_000
"""The most bought items, which alone have weights: the inverse of so many takes 0.8 GB; its time grows with
the cube of their number."""
RIDGE = 10.0
"""In units of the mean of XᵀX's diagonal, so that it means the same in a shop of any size."""
KEPT = 100
"""Weights per item, the largest above 0: 800 bytes an item, and each of them a reason."""
BLOCK = 256
"""Columns that are sorted at once."""


def modelled(buyers: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,) sums of X's columns → (m,) ascending rows, of equally bought items the first."""
    most = np.argsort(-buyers, kind="stable")[:MODELLED]
    return np.sort(most[buyers[most] > 0])


def item_weights(purchases: csr_array, rows: NDArray[np.int64]) -> csr_array:
    """(u, n) what a purchase counts, and the rows to be modelled → (n, n) float32; row h: the weights of past
    item h. On average an item's largest is 1; all are 0 where nobody bought two of the items."""
    items = purchases.shape[1]
    empty = csr_array((items, items), dtype=np.float32)
    if not len(rows):
        return empty
    bought = purchases.tocsc()[:, rows].astype(np.float64)
    gram = np.empty((len(rows), len(rows)), order="F")  # so LAPACK works in place
    for start in range(0, len(rows), BLOCK):
        gram[:, start : start + BLOCK] = (bought.T @ bought[:, start : start + BLOCK]).toarray()
    gram[np.diag_indices_from(gram)] += RIDGE * gram.diagonal().mean()
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, also = lapack.dpotri(factor, lower=1, overwrite_c=1)
    assert not failed and not also, "a ridge makes it positive definite"
    past, of, weights = [], [], []
    for start in range(0, len(rows), BLOCK):
        own = np.arange(start, min(start + BLOCK, len(rows)))
        columns = np.concatenate([inverse[own, :start].T, inverse[start:, own]])
        square = columns[own]  # LAPACK fills what is below the diagonal
        columns[own] = np.tril(square) + np.tril(square, -1).T
        block = (-columns / inverse[own, own]).astype(np.float32)
        block[own, own - start] = 0
        best = np.argsort(-block, axis=0, kind="stable")[:KEPT]
        values = np.take_along_axis(block, best, axis=0)
        places, of_item = np.nonzero(values > 0)
        past.append(best[places, of_item])
        of.append(own[of_item])
        weights.append(values[places, of_item])
    found = np.concatenate(weights)
    if not len(found):
        return empty
    pair = rows[np.concatenate(past)], rows[np.concatenate(of)]
    matrix = coo_array((found, pair), shape=(items, items)).tocsr()
    matrix.data /= np.mean(matrix.max(axis=0).toarray()[rows])
    return matrix
