"""Training rows that are left out of a fit, to choose its strength by."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

FOLDS, FEW_ROWS = 5, 2_000
"""With more rows than these one fold decides: a fifth of so many is enough."""
Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def folds_of(texts: Sequence[str] | NDArray[np.int64], seed: int) -> Folds:
    """Rows to fit on and rows to leave out, FOLDS times; each row is left out once, with all of its text: a
    head that has seen a text answers it too surely."""
    kind = pl.Series(texts).rank("dense").to_numpy().astype(np.int64) - 1
    if not kind.any():  # one text alone
        kind = np.arange(len(kind))
    kinds = int(kind.max()) + 1
    order = np.random.default_rng((seed, kinds)).permutation(kinds)
    held = [np.isin(kind, part) for part in np.array_split(order, min(FOLDS, kinds))]
    return [(np.flatnonzero(~part), np.flatnonzero(part)) for part in held]
