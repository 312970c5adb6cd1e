"""How many pieces an encoder's tokenizer cuts a word into: many, and it has hardly seen it as a word."""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

Pieces = Callable[[str], int]
"""A word → its pieces; 0: the tokenizer has no piece for some part of it ([UNK])."""
REMEMBERED_WORDS = 20_000


def word_pieces(encoder: Path) -> Pieces:
    """`Pieces` by a saved encoder's tokenizer.json, safe in any thread.

    The smaller of the counts with and without a space before the word: byte-pair tokenizers hold most words
    with one, others give the space a piece of its own.
    """
    tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    named = json.loads((encoder / "tokenizer_config.json").read_text()).get("unk_token")
    text = named.get("content") if isinstance(named, dict) else named
    unknown = tokenizer.token_to_id(text) if text else None

    @lru_cache(maxsize=REMEMBERED_WORDS)
    def pieces(word: str) -> int:
        ways = [tokenizer.encode(one, add_special_tokens=False).ids for one in (word, f" {word}")]
        return 0 if any(unknown in ids for ids in ways) else min(map(len, ways))

    return pieces
