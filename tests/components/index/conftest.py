"""An encoder whose vectors the tests choose."""

from collections.abc import Sequence

import numpy as np
import pytest

from components.contract.ports import Encoder, Vectors


class LookupEncoder(Encoder):
    """Gives each text the vector it was told; a subclass of the real port."""

    def __init__(self, vectors: dict[str, Sequence[float]]) -> None:
        self.vectors = vectors

    @property
    def digest(self) -> str:
        return "0" * 64

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.vectors[text] for text in texts], dtype=np.float32)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self.encode_queries(texts)


@pytest.fixture(scope="session")
def lookup_encoder():
    return LookupEncoder
