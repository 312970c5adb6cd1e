"""An encoder that remembers the vectors of the last queries."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Encoder, Vectors


class QueryCache:
    """An `Encoder`; queries are asked for in one thread, items in any. Each release has its own."""

    def __init__(self, encoder: Encoder, size: int) -> None:
        """size: queries that are kept, the least recently asked leave first; 0: none."""
        self._encoder = encoder
        self._size = size
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    @property
    def digest(self) -> str:
        return self._encoder.digest

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_items(texts)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self.hits += len(texts) - len(missing)
        self.misses += len(missing)
        if len(missing) == len(texts) and not self._size:
            return self._encoder.encode_queries(texts)
        if not texts:
            return self._encoder.encode_queries([])
        vectors = self._encoder.encode_queries(missing) if missing else ()
        # Copies, because a view of one vector would keep its whole batch in memory.
        encoded = {text: vector.copy() for text, vector in zip(missing, vectors, strict=True)}
        found = [encoded[text] if text in encoded else self._kept(text) for text in texts]
        self._vectors.update(encoded)
        while len(self._vectors) > self._size:
            self._vectors.popitem(last=False)
        return np.stack(found)

    def _kept(self, text: str) -> NDArray[np.float32]:
        self._vectors.move_to_end(text)
        return self._vectors[text]
