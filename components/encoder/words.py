"""Which tokens of an encoder make up which words of a text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from components.contract.errors import EncoderError
from components.encoder.batches import TextKind
from components.encoder.transformer import TransformerEncoder

# Scripts without spaces between words (Thai to Khmer, kana, Chinese characters): there a token is a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


class NoWordError(EncoderError):
    """The encoder reads no word of a text."""


@dataclass(frozen=True)
class TokenWords:
    """One text as an encoder reads it: its tokens and the words that they make up."""

    ids: list[int]
    """As `TransformerEncoder.tokenize` gives them: with prefix and special tokens, cut at `max_length`."""
    special: list[bool]
    """Per token whether the tokenizer put it in ([CLS], </s>, …)."""
    words: list[str]
    """What stands between spaces, as it is spelt in the text but for separators at its ends (":;,"); a word
    that was cut off is not in it."""
    word_of: list[int | None]
    """Per token the number of its word; None: of no word (special, the encoder's prefix, a space)."""


def token_words(encoder: TransformerEncoder, text: str, kind: TextKind) -> TokenWords:
    """The tokens of `text` and their words.

    Raises NoWordError where the encoder reads no word of the text, EncoderError where its tokenizer does not
    say which characters a token stands for.
    """
    if not encoder.tokenizer.is_fast:
        raise EncoderError(
            f"encoder.name {encoder.settings.name}: its tokenizer does not say which characters a token "
            f"stands for, which explanations need. Use a model that has a tokenizer.json."
        )
    settings = encoder.settings
    prefix = settings.query_prefix if kind == "query" else settings.item_prefix
    encoded = encoder.tokenizer(
        prefix + text,
        truncation=True,
        max_length=settings.max_length,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    special = [bool(flag) for flag in encoded["special_tokens_mask"]]
    spans = [
        None if flag else _span(prefix + text, max(start, len(prefix)), end)
        for (start, end), flag in zip(encoded["offset_mapping"], special, strict=True)
    ]
    words, word_of = _words(prefix + text, spans)
    if not words:
        name = "query" if kind == "query" else "item's text"
        raise NoWordError(
            f"The encoder reads no word of the {name} {text[:40]!r}: there is nothing to explain."
        )
    return TokenWords(encoded["input_ids"], special, words, word_of)


def _span(text: str, start: int, end: int) -> tuple[int, int] | None:
    """A token's first and last character (exclusive) without the spaces around; None: it has no other."""
    token = text[start:end]
    start += len(token) - len(token.lstrip())
    return (start, start + len(token.strip())) if token.strip() else None


def _words(text: str, spans: Sequence[tuple[int, int] | None]) -> tuple[list[str], list[int | None]]:
    """The words that tokens at these places make up, and per token the number of its word."""
    bounds: list[tuple[int, int]] = []
    word_of: list[int | None] = []
    for span in spans:
        if span is None:
            word_of.append(None)
            continue
        if bounds and _continues(text, bounds[-1][1], span[0]):
            bounds[-1] = (bounds[-1][0], max(bounds[-1][1], span[1]))
        else:
            bounds.append(span)
        word_of.append(len(bounds) - 1)
    return [_bare(text[start:end]) for start, end in bounds], word_of


def _bare(word: str) -> str:
    """Without the marks that separate words: "colour: red; size: 3" has the words colour, red, size, 3."""
    return word.strip(":;,") or word


def _continues(text: str, end: int, start: int) -> bool:
    """Whether a token at `start` belongs to the word that so far ends at `end`."""
    if start < end:  # a character of several tokens, as tokenizers of bytes make them
        return True
    at_edge = text[end - 1] + text[start]
    return not any(map(str.isspace, text[end:start])) and not _UNSPACED.search(at_edge)
