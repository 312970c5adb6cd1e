"""An array that rows are appended to; copied only when its memory is full."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


class GrowingArray:
    """Starts with the rows of `values` (not copied until the first append)."""

    def __init__(self, values: NDArray[Any]) -> None:
        self._held = values
        self._length = len(values)

    @property
    def values(self) -> NDArray[Any]:
        """A view of all rows; an append may leave it behind."""
        return self._held[: self._length]

    def first(self, count: int) -> "GrowingArray":
        """The first `count` rows as an array of its own; their memory is shared until the first append."""
        return GrowingArray(self.values[:count])

    def append(self, rows: NDArray[Any]) -> None:
        needed = self._length + len(rows)
        if needed > len(self._held):
            held = np.empty((needed + needed // 4 + 256, *self._held.shape[1:]), dtype=self._held.dtype)
            held[: self._length] = self.values
            self._held = held
        self._held[self._length : needed] = rows
        self._length = needed
