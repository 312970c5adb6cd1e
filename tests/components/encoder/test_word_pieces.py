"""Pieces per word, by a saved encoder's own tokenizer."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from components.encoder.word_pieces import word_pieces


def test_pieces_are_counted_and_0_where_there_is_none(tiny_encoder: Path) -> None:
    """The tiny vocabulary holds "lamp", "chair" and single letters, but no sharp s and no Han character."""
    pieces = word_pieces(tiny_encoder)
    assert [pieces(word) for word in ("lamp", "chair", "zorblax", "größe", "漢")] == [1, 1, 7, 0, 0]


def test_threads_share_it(tiny_encoder: Path) -> None:
    pieces = word_pieces(tiny_encoder)
    words = [first + second * 3 for first in "abcdef" for second in "ghijkl"]
    expected = [pieces.__wrapped__(word) for word in words]
    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(lambda _: [pieces(w) for w in words], range(50)))
