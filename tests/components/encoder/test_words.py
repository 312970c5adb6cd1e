"""Tokens to words, for a tokenizer of word pieces and one of bytes."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.encoder.transformer import TransformerEncoder
from components.encoder.words import token_words

# A family of four code points, a right-to-left script, and a size as shops write it.
MIXED = "👩‍🔧 red  מברגה נטענת 1/2-inch"


def load(folder: Path, **changes: object) -> TransformerEncoder:
    settings = EncoderSettings(name=str(folder), **{"max_length": 64} | changes)  # type: ignore[arg-type]
    return TransformerEncoder.load(folder, settings)


@pytest.fixture(params=["tiny_encoder", "tiny_decoder"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Both kinds of tokenizer."""
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("text", ["brackets", MIXED, " lamp ", "a\u00a0b", "x" * 500])
def test_the_ids_are_the_encoders_own(folder: Path, text: str) -> None:
    """With prefix, special tokens and the cut at max_length."""
    encoder = load(folder, query_prefix="for ", item_prefix="the")
    for kind in ("query", "item"):
        found = token_words(encoder, text, kind)  # type: ignore[arg-type]
        assert found.ids == encoder.tokenize([text], kind)[0]  # type: ignore[arg-type]
        assert len(found.ids) == len(found.special) == len(found.word_of)


def test_words_are_what_stands_between_spaces(folder: Path) -> None:
    """Emoji of several code points, right-to-left script and punctuation included, in the text's order."""
    found = token_words(load(folder), MIXED, "query")
    assert found.words == MIXED.split()
    numbers = [number for number in found.word_of if number is not None]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(5))


def test_separators_are_no_part_of_a_word(folder: Path) -> None:
    """An item's attributes are "name: value; name: value"; what is nothing but separators stays as it is."""
    found = token_words(load(folder), "colour: red; size: 1,5 :: mug,", "item")
    assert found.words == ["colour", "red", "size", "1,5", "::", "mug"]


def test_special_tokens_and_the_prefix_are_of_no_word(tiny_encoder: Path) -> None:
    """[CLS] for the | oak brackets [SEP]: "brackets" is two pieces, one word."""
    found = token_words(load(tiny_encoder, item_prefix="for the "), "oak brackets", "item")
    assert found.words == ["oak", "brackets"]
    assert found.word_of == [None, None, None, 0, 1, 1, None]
    assert found.special == [True, False, False, False, False, False, True]


def test_a_prefix_without_a_space_ends_where_the_text_begins(folder: Path) -> None:
    """The text's first word does not start with letters of the prefix."""
    found = token_words(load(folder, query_prefix="query:"), "lamp mug", "query")
    assert found.words == ["lamp", "mug"]


def test_tokens_are_words_in_scripts_without_spaces(folder: Path) -> None:
    """Chinese characters and kana are told apart; Latin letters between them stay together."""
    assert token_words(load(folder), "椅子 LED灯", "item").words == ["椅", "子", "LED", "灯"]


def test_words_past_max_length_are_not_there(tiny_encoder: Path) -> None:
    """Two of the eight tokens are special, one is the second piece of a word that is read in part."""
    found = token_words(load(tiny_encoder, max_length=8), "red oak lamp mug towel brackets chair", "item")
    assert found.words == ["red", "oak", "lamp", "mug", "towel", "bracket"]


@pytest.mark.parametrize("text", ["", " \t ", "\u0000"])
def test_a_text_without_words_is_one_clear_sentence(tiny_encoder: Path, text: str) -> None:
    with pytest.raises(EncoderError, match="reads no word of the query"):
        token_words(load(tiny_encoder), text, "query")
    with pytest.raises(EncoderError, match="reads no word of the item's text"):
        token_words(load(tiny_encoder), text, "item")


def test_a_prefix_that_takes_all_tokens_is_one_clear_sentence(tiny_encoder: Path) -> None:
    """Nothing of the query is left to explain."""
    encoder = load(tiny_encoder, max_length=4, query_prefix="red oak lamp ")
    with pytest.raises(EncoderError, match="reads no word of the query 'mug'"):
        token_words(encoder, "mug", "query")


def test_a_tokenizer_that_gives_no_places_is_refused(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokenizers written in Python know no characters."""
    encoder = load(tiny_encoder)
    monkeypatch.setattr(encoder, "tokenizer", SimpleNamespace(is_fast=False))
    with pytest.raises(EncoderError, match=r"tokenizer\.json"):
        token_words(encoder, "lamp", "query")
