"""Batches of token ids: every text once, none mixed up."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encoder import batches
from components.encoder.batches import TOKENS_PER_BATCH, encode_distinct, padded


@given(st.lists(st.text(alphabet="ab", max_size=9)), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_each_text_gets_its_own_vector(texts, most):
    """In any order, with repeats, in batches of any size; each distinct text is tokenized and run once."""
    tokenized: list[str] = []
    ran: list[int] = []

    def tokenize(distinct: list[str]) -> list[list[int]]:
        tokenized.extend(distinct)
        return [[1 + (letter == "b") for letter in text] or [0] for text in distinct]

    def run(batch: list[list[int]]) -> np.ndarray:
        ran.append(len(batch) * max(map(len, batch)))
        assert ran[-1] <= most or len(batch) == 1
        return np.array([[len(row), sum(row)] for row in batch], dtype=np.float32)

    before, batches.TOKENS_PER_BATCH = batches.TOKENS_PER_BATCH, most
    try:
        vectors = encode_distinct(texts, tokenize, run, 2)
    finally:
        batches.TOKENS_PER_BATCH = before
    expected = [[max(1, len(text)), sum(1 + (letter == "b") for letter in text)] for text in texts]
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(texts), 2)
    assert vectors.tolist() == expected
    assert sorted(tokenized) == sorted(set(texts))


def test_texts_of_like_length_share_a_batch():
    """A thousand short texts and one long: the short ones are not padded to it."""
    lengths = [4] * 1_000 + [1_000]
    sizes = []

    def run(batch: list[list[int]]) -> np.ndarray:
        sizes.append((len(batch), max(map(len, batch))))
        return np.zeros((len(batch), 1), dtype=np.float32)

    encode_distinct(
        [f"{n:05}" for n in range(1_001)], lambda texts: [[1] * lengths[int(t)] for t in texts], run, 1
    )
    assert sizes == [(1_000, 4), (1, 1_000)]
    assert max(n * longest for n, longest in sizes) <= TOKENS_PER_BATCH


def test_padding_is_masked():
    ids, mask = padded([[5, 6, 7], [8]], pad_id=9)
    assert ids.tolist() == [[5, 6, 7], [8, 9, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert ids.dtype == mask.dtype == np.int64
