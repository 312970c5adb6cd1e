"""An encoder that remembers queries gives what the encoder gives, and keeps no more than it was told."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.ports import Encoder, Vectors
from components.service.query_cache import QueryCache


class Counting(Encoder):
    """A vector per text, by its characters; counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.fails = False

    @property
    def digest(self) -> str:
        return "e" * 64

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        if self.fails:
            raise RuntimeError("broken")
        self.asked.append(list(texts))
        return self._vectors(texts, 1.0)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._vectors(texts, -1.0)

    def _vectors(self, texts: Sequence[str], sign: float) -> Vectors:
        rows = [[sign * len(text), sign * sum(map(ord, text))] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(len(texts), 2)


@given(
    size=st.integers(0, 4),
    batches=st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6), max_size=12),
)
def test_remembering_changes_no_vector(size: int, batches: list[list[str]]) -> None:
    """For any order of queries, repeated ones within a batch too, and any size; never more are kept."""
    cache, plain = QueryCache(Counting(), size), Counting()
    for batch in batches:
        np.testing.assert_array_equal(cache.encode_queries(batch), plain.encode_queries(batch))
        assert sum(cache._vectors.get(text) is not None for text in "abcdefg") <= size
    assert cache.hits + cache.misses == sum(map(len, batches))


def test_a_known_query_is_not_encoded_again() -> None:
    """Of a batch only the unknown ones are, each once."""
    encoder = Counting()
    cache = QueryCache(encoder, 10)
    cache.encode_queries(["a", "b"])
    cache.encode_queries(["b", "c", "c", "a"])
    cache.encode_queries(["a", "b", "c"])
    assert encoder.asked == [["a", "b"], ["c"]]
    assert (cache.hits, cache.misses) == (6, 3)


def test_the_query_unused_for_longest_leaves_first() -> None:
    """Asking for a query keeps it."""
    cache = QueryCache(Counting(), 2)
    cache.encode_queries(["a"])
    cache.encode_queries(["b"])
    cache.encode_queries(["a"])
    assert cache._vectors.get("b") is not None
    cache.encode_queries(["c"])
    assert cache._vectors.get("b") is None
    assert cache._vectors.get("a") is not None


def test_a_kept_vector_keeps_nothing_else() -> None:
    """Not the batch that it was encoded with, and not what a caller does to its answer."""
    cache = QueryCache(Counting(), 10)
    answer = cache.encode_queries(["a", "bb", "ccc"])
    answer[:] = 0
    kept = cache._vectors.get("bb")
    assert kept is not None
    assert kept.base is None
    np.testing.assert_array_equal(kept, [2, 2 * ord("b")])
    cache.encode_queries(["bb", "a"])[:] = 0
    np.testing.assert_array_equal(cache.encode_queries(["bb"]), [[2, 2 * ord("b")]])


def test_a_failed_encode_leaves_the_rest_as_it_was() -> None:
    """What was known is still answered, and the failed query is tried again."""
    encoder = Counting()
    cache = QueryCache(encoder, 10)
    cache.encode_queries(["a"])
    encoder.fails = True
    with pytest.raises(RuntimeError):
        cache.encode_queries(["a", "b"])
    cache.encode_queries(["a"])
    encoder.fails = False
    cache.encode_queries(["b"])
    assert encoder.asked == [["a"], ["b"]]


def test_items_and_digest_are_the_encoders_own() -> None:
    """Only queries are remembered: a query and an item of the same text may have other vectors."""
    cache = QueryCache(Counting(), 10)
    cache.encode_queries(["a"])
    np.testing.assert_array_equal(cache.encode_items(["a"]), [[-1, -ord("a")]])
    assert cache.digest == "e" * 64
    assert QueryCache(Counting(), 10).encode_queries([]).shape == (0, 2)
