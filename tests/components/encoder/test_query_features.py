"""Query features for the traffic log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.encoder.query_features import guess_language, query_features


def test_counts_and_the_share_of_unknown_words() -> None:
    """Words of four pieces, of none, and overlong ones are unknown; three pieces are not."""
    pieces = {"oak": 1, "tables": 3, "qwx77": 4, "漢": 0}
    found = query_features("oak tables, qwx77 漢", pieces.__getitem__)
    assert (found.characters, found.words, found.unknown_word_rate) == (19, 4, 0.5)
    assert query_features("x" * 101, lambda word: 1).unknown_word_rate == 1.0


def test_a_text_without_words_has_rate_zero() -> None:
    """Empty, blank, or punctuation only."""
    for text in ("", "   ", "?! –"):
        found = query_features(text, lambda word: pytest.fail("nothing to ask about"))
        assert (found.words, found.unknown_word_rate, found.language) == (0, 0.0, "und")


def test_a_very_long_text_asks_about_its_beginning_only() -> None:
    """One request cannot keep the tokenizer busy."""
    asked: list[str] = []

    def pieces(word: str) -> int:
        asked.append(word)
        return 1

    assert query_features("word " * 5_000, pieces).words == 5_000
    assert len(asked) == 64


@given(text=st.text(alphabet=st.characters(exclude_categories=())), count=st.integers(0, 10))
def test_any_text_has_features(text: str, count: int) -> None:
    """No text raises; the rate is a share; the language a short code."""
    found = query_features(text, lambda word: count)
    assert 0 <= found.unknown_word_rate <= 1
    assert found.characters == len(text)
    assert found.language == "und" or len(found.language) == 2


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("chair for the garden", "en"),
        ("Stuhl für den Garten mit Armlehne", "de"),
        ("chaise de jardin avec coussin", "fr"),
        ("silla para el jardín", "es"),
        ("sedia da giardino con gli cuscini", "it"),
        ("cadeira com braços para os jardins", "pt"),
        ("stoel met kussen voor het terras", "nl"),
        ("krzesło bez oparcia dla dzieci", "pl"),
        ("стул для сада с подушкой", "ru"),
        ("стілець для саду від дощу", "uk"),
        ("ガーデンチェア 木製", "ja"),
        ("木製の椅子", "ja"),
        ("花园椅子", "zh"),
        ("정원 의자", "ko"),
        ("Bosch 드릴", "ko"),
        ("เก้าอี้สวน", "th"),
        ("καρέκλα κήπου", "el"),
        ("כיסא גינה", "he"),
    ],
)
def test_script_and_function_words_tell_the_language(text: str, language: str) -> None:
    """One example per language that is told apart."""
    assert guess_language(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "oak chair",
        "10 Ω resistor",
        "de la",
        "стул",
        "كرسي حديقة",
        "m8x40",
        "pour over kettle",
        "die cutter",
    ],
)
def test_an_open_question_reads_und(text: str) -> None:
    """No function word, a tie, one foreign letter, or a script of several languages."""
    assert guess_language(text) == "und"
