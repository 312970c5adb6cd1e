"""How a text becomes the terms that the lexical side matches.

Words: lower-case runs of letters, and numbers. Letters and digits are cut apart ("2x4in" → 2, x, 4, in),
because units are written with and without a space. Stop words are left out, the rest is stemmed by Snowball
(Porter 2001) in the shop's language.

Grams: runs of three characters of each unstemmed word, its ends marked ("oak" → #oa, oak, ak#). They match
misspelt words, words that are written together or apart, and scripts that put no space between words.
"""

import re

import Stemmer
from bm25s import stopwords

from components.contract.learning import Language

GRAM = 3
_TERM = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")
_EDGE = "#"


class Analyzer:
    """Not for use by two threads at once: the stemmer keeps a cache."""

    def __init__(self, language: Language) -> None:
        self._stop_words = _stop_words(language)
        self._stemmer = None if language == "none" else Stemmer.Stemmer(language)

    def words(self, text: str) -> list[str]:
        kept = self._kept(text)
        return kept if self._stemmer is None else list(self._stemmer.stemWords(kept))

    def grams(self, text: str) -> list[str]:
        marked = (f"{_EDGE}{word}{_EDGE}" for word in self._kept(text))
        return [word[start : start + GRAM] for word in marked for start in range(len(word) - GRAM + 1)]

    def _kept(self, text: str) -> list[str]:
        return [word for word in _TERM.findall(text.lower()) if word not in self._stop_words]


def _stop_words(language: Language) -> frozenset[str]:
    if language == "none":
        return frozenset()
    name = "EN" if language == "english" else language.upper()
    return frozenset(getattr(stopwords, f"STOPWORDS_{name}"))
