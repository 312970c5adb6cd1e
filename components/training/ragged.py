"""Rows of different lengths in two flat arrays, so that millions of token lists cost no Python objects."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """Row r is values[offsets[r] : offsets[r + 1]]."""

    values: Integers
    offsets: Integers

    @classmethod
    def of(cls, rows: Iterable[Iterable[int]]) -> Self:
        arrays = [np.asarray(list(row), dtype=np.int64) for row in rows]
        lengths = np.asarray([len(array) for array in arrays], dtype=np.int64)
        values = np.concatenate([*arrays, np.empty(0, dtype=np.int64)])
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Integers:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Integers:
        return np.diff(self.offsets)

    def take(self, rows: Integers) -> "Ragged":
        """The given rows, in the given order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Ragged(self.values[np.arange(offsets[-1]) + shift], offsets)
