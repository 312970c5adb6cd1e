"""What the traffic log keeps of a query's text: computed before the text is sealed, and no text itself."""

import re
import unicodedata
from dataclasses import dataclass

from components.encoder.word_pieces import Pieces

UNDETERMINED = "und"
RARE_PIECES = 4
"""A word of so many pieces counts as unknown: the encoder has hardly seen it as a word."""
_WORD = re.compile(r"\w+")
# A longer text is no search; without a limit one request could keep the tokenizer busy for seconds.
_MAX_WORDS, _MAX_WORD, _MAX_GUESSED = 64, 100, 1_000

# Function words that shoppers type, without those that another language's shop texts are full of ("die",
# "van", "sous vide", "e bike", "coffee pod"). A word of several languages counts for each.
_FUNCTION_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and with without for of from your under over between which what how men's women's",
        "de": "und mit ohne für von der das den dem ein eine einen aus zum zur nicht oder auf zwischen",
        "fr": "et avec sans les des du une un dans pour sur la le de entre ou aux",
        "es": "con sin para los las el la de del una un por sobre bajo entre mujer hombre niños",
        "it": "con senza per il lo gli della delle dello di da una un sotto tra la le donna uomo",
        "pt": "com sem para os dos das do da um uma de sob entre não mulher homem",
        "nl": "en met zonder voor het een de der onder over tussen niet naar dames heren",
        "pl": "bez dla oraz przez między nie damskie męskie ze od",
        "ru": "и с без для на из под над по или не между от",
        "uk": "і з без для на із під над по або не між від та",
    }.items()
}
# Scripts that one language of shops uses, by the first word of a character's Unicode name. Kana decide
# before Han characters, which Japanese writes too. Arabic, Devanagari and others have several languages.
_SCRIPTS = {
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "THAI": "th",
    "GREEK": "el",
    "HEBREW": "he",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "CJK": "zh",
}


@dataclass(frozen=True, slots=True)
class QueryFeatures:
    characters: int
    words: int
    """Runs of letters and digits; a script without spaces makes one word of a run."""
    language: str
    unknown_word_rate: float
    """Share of the first 64 words that have no piece or at least four; 0.0 without words."""


def query_features(text: str, pieces: Pieces) -> QueryFeatures:
    """The features of one query; `pieces` is asked about each of its words."""
    words = _WORD.findall(text)
    asked = words[:_MAX_WORDS]
    unknown = sum(_is_unknown(word, pieces) for word in asked)
    return QueryFeatures(
        characters=len(text),
        words=len(words),
        language=guess_language(text),
        unknown_word_rate=unknown / len(asked) if asked else 0.0,
    )


def guess_language(text: str) -> str:
    """A language code (ISO 639-1), or und where script and function words leave it open.

    A guess for counting shifts in traffic, not a fact about one query: most queries are two nouns without a
    function word and read und; one borrowed function word decides for its language; a Japanese query in Han
    characters alone reads zh.
    """
    by_script = _by_script(text)
    return by_script if by_script is not None else _by_function_words(text)


def _is_unknown(word: str, pieces: Pieces) -> bool:
    if len(word) > _MAX_WORD:
        return True
    count = pieces(word)
    return count == 0 or count >= RARE_PIECES


def _by_script(text: str) -> str | None:
    """The language of a listed script; one such letter among others decides nothing ("10 Ω resistor")."""
    scripts = [unicodedata.name(char, "").partition(" ")[0] for char in text[:_MAX_GUESSED] if char.isalpha()]
    listed = [script for script in _SCRIPTS if script in scripts]
    letters = sum(script in _SCRIPTS for script in scripts)
    return _SCRIPTS[listed[0]] if letters >= min(2, len(scripts)) > 0 else None


def _by_function_words(text: str) -> str:
    """The one language with the most function words in the text; und for none or a tie."""
    words = text[:_MAX_GUESSED].lower().split()
    votes = {code: sum(word in known for word in words) for code, known in _FUNCTION_WORDS.items()}
    most = max(votes.values())
    leaders = [code for code, count in votes.items() if count == most]
    return leaders[0] if most and len(leaders) == 1 else UNDETERMINED
