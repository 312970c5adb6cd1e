"""BM25 as postings: per word the items that have it and what it adds to their scores.

Okapi BM25 as Lucene computes it (Kamphuis et al., ECIR 2020), by the package bm25s. A text's words are its
lower-case runs of two or more letters, digits or underscores, without the 33 English stop words that bm25s
(and Lucene) leave out; no stemmer. IDF is over the catalogue as it is indexed. A script that puts no space
between words (Chinese, Thai) is one word per run and finds little here.

A query's score is a sum over its words, so a search reads the lists of those words and nothing else.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import bm25s
import numpy as np
from bm25s.stopwords import STOPWORDS_EN
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from components.contract.errors import DataError
from components.contract.files import disk_errors, write_json
from components.index.topk import Scores

TOKEN = re.compile(r"(?u)\b\w\w+\b")
STOP_WORDS = frozenset(STOPWORDS_EN)
ARRAYS_FILE = "postings.safetensors"
WORDS_FILE = "words.json"


def tokens(text: str) -> list[str]:
    return [word for word in TOKEN.findall(text.lower()) if word not in STOP_WORDS]


@dataclass(frozen=True, eq=False)
class Postings:
    """w words, n items, p pairs of a word and an item that has it."""

    words: dict[str, int]
    starts: NDArray[np.int64]
    """(w + 1,): word number i owns the pairs starts[i] to starts[i + 1]."""
    rows: NDArray[np.int32]
    """(p,) item rows."""
    weights: NDArray[np.float32]
    """(p,) what the word adds to the item's score."""
    items: int
    average_words: float
    """Mean length of a text, in words."""
    k1: float
    b: float

    @classmethod
    def build(cls, texts: Sequence[str], k1: float = 1.5, b: float = 0.75) -> Self:
        """k1: saturation of a word's count; b: length normalisation. Raises DataError where no text holds a
        word."""
        cut = [tokens(text) for text in texts]
        # Numbered in their order: bm25s takes a set's, another in each process, and so would the files be.
        words = {word: number for number, word in enumerate(sorted(set().union(*cut)))}
        if not words:
            raise DataError(
                "No item's text holds a word that BM25 can index: check the titles and encoder.item_fields."
            )
        index = bm25s.BM25(k1=k1, b=b, method="lucene")
        numbers = [[words[word] for word in text] for text in cut]
        index.index((numbers, dict(words)), create_empty_token=False, show_progress=False)
        return cls(
            words=words,
            starts=index.scores["indptr"].astype(np.int64),
            rows=index.scores["indices"].astype(np.int32),
            weights=index.scores["data"].astype(np.float32),
            items=len(texts),
            average_words=sum(map(len, cut)) / len(cut),
            k1=k1,
            b=b,
        )

    def save(self, folder: Path) -> None:
        """Writes postings.safetensors and words.json."""
        with disk_errors(folder):
            save_file(
                {"starts": self.starts, "rows": self.rows, "weights": self.weights}, folder / ARRAYS_FILE
            )
        named = sorted(self.words, key=lambda word: self.words[word])
        rest = {"items": self.items, "average_words": self.average_words, "k1": self.k1, "b": self.b}
        write_json(folder / WORDS_FILE, rest | {"words": named})

    @classmethod
    def load(cls, folder: Path) -> Self:
        with disk_errors(folder / ARRAYS_FILE):
            arrays = load_file(folder / ARRAYS_FILE)
        with disk_errors(folder / WORDS_FILE):
            rest = json.loads((folder / WORDS_FILE).read_bytes())
        words = {word: number for number, word in enumerate(rest.pop("words"))}
        if len(arrays["starts"]) != len(words) + 1:
            raise DataError(f"{folder}: {ARRAYS_FILE} and {WORDS_FILE} are of two indexes; build it again.")
        return cls(
            words=words, starts=arrays["starts"], rows=arrays["rows"], weights=arrays["weights"], **rest
        )

    def scores(self, words: Iterable[str]) -> Scores | None:
        """(n,) sums; None where no word is known. A word that is asked for twice counts twice."""
        known = [self.words[word] for word in words if word in self.words]
        if not known:
            return None
        scores = np.zeros(self.items, dtype=np.float32)
        for number in known:
            part = slice(self.starts[number], self.starts[number + 1])
            scores[self.rows[part]] += self.weights[part]
        return scores

    def idf(self, word: str) -> float:
        """Inverse document frequency over the items of this index; a word that none has counts as in one."""
        number = self.words.get(word)
        count = 1 if number is None else max(1, int(self.starts[number + 1] - self.starts[number]))
        return float(np.log(1 + (self.items - count + 0.5) / (count + 0.5)))

    def weights_of(self, text: str) -> dict[str, float]:
        """Per word of a text that is not in the index what it would add, by this index's IDF and lengths."""
        counts = Counter(tokens(text))
        length = 1 - self.b + self.b * sum(counts.values()) / self.average_words
        return {word: self.idf(word) * n / (n + self.k1 * length) for word, n in counts.items()}
