"""BM25 as postings: per term the items that have it and what it adds to their scores.

Okapi BM25 as Lucene computes it (Kamphuis et al., ECIR 2020), by the package bm25s. What a text's terms are
is the caller's matter: `tokens` here are bm25s's own, `analysis.py` has the lexical side's. IDF is over the
catalogue as it is indexed.

A query's score is a sum over its terms, so a search reads the lists of those terms and nothing else.
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
from scipy.sparse import csc_array

from components.contract.errors import DataError
from components.contract.files import disk_errors, write_json
from components.index.topk import Scores

TOKEN = re.compile(r"(?u)\b\w\w+\b")
STOP_WORDS = frozenset(STOPWORDS_EN)


def arrays_file(name: str) -> str:
    return f"{name}.safetensors"


def terms_file(name: str) -> str:
    return f"{name}.json"


def tokens(text: str) -> list[str]:
    """Words as bm25s cuts them by default: lower-case runs of two or more letters, digits or underscores,
    without the 33 English stop words that it (and Lucene) leaves out; no stemmer."""
    return [word for word in TOKEN.findall(text.lower()) if word not in STOP_WORDS]


@dataclass(frozen=True, eq=False)
class Postings:
    """w terms ("words"), n items, p pairs of a term and an item that has it."""

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
    def build(cls, cut: Sequence[Sequence[str]], k1: float = 1.5, b: float = 0.75) -> Self:
        """cut: each item's terms; k1: saturation of a term's count; b: length normalisation. Raises DataError
        where no item has a term."""
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
            items=len(cut),
            average_words=sum(map(len, cut)) / len(cut),
            k1=k1,
            b=b,
        )

    def save(self, folder: Path, name: str) -> None:
        """Writes <name>.safetensors and <name>.json."""
        with disk_errors(folder):
            save_file(
                {"starts": self.starts, "rows": self.rows, "weights": self.weights},
                folder / arrays_file(name),
            )
        named = sorted(self.words, key=lambda word: self.words[word])
        rest = {"items": self.items, "average_words": self.average_words, "k1": self.k1, "b": self.b}
        write_json(folder / terms_file(name), rest | {"words": named})

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        with disk_errors(folder / arrays_file(name)):
            arrays = load_file(folder / arrays_file(name))
        with disk_errors(folder / terms_file(name)):
            rest = json.loads((folder / terms_file(name)).read_bytes())
        words = {word: number for number, word in enumerate(rest.pop("words"))}
        if len(arrays["starts"]) != len(words) + 1:
            files = f"{arrays_file(name)} and {terms_file(name)}"
            raise DataError(f"{folder}: {files} are of two indexes; build it again.")
        return cls(
            words=words, starts=arrays["starts"], rows=arrays["rows"], weights=arrays["weights"], **rest
        )

    def scores(self, words: Iterable[str]) -> Scores | None:
        """(n,) sums; None where no word is known. A word that is asked for twice counts twice."""
        known = [self.words[word] for word in words if word in self.words]
        if not known:
            return None
        parts = [slice(self.starts[number], self.starts[number + 1]) for number in known]
        ends = np.cumsum([0, *(part.stop - part.start for part in parts)])
        pairs = (
            np.concatenate([self.weights[part] for part in parts]),
            np.concatenate([self.rows[part] for part in parts]),
            ends.astype(np.int32),
        )
        # A product with ones adds pair by pair, term after term, as a loop over the terms would: 2.7 times
        # as fast as numpy's indexed additions at 57,000 pairs, and the same bits.
        columns = csc_array(pairs, shape=(self.items, len(known)))
        scores: Scores = columns @ np.ones(len(known), dtype=np.float32)
        return scores

    def idf(self, word: str) -> float:
        """Inverse document frequency over the items of this index; a word that none has counts as in one."""
        number = self.words.get(word)
        count = 1 if number is None else max(1, int(self.starts[number + 1] - self.starts[number]))
        return float(np.log(1 + (self.items - count + 0.5) / (count + 0.5)))

    def weights_of(self, words: Iterable[str]) -> dict[str, float]:
        """Per word of an item that is not in the index what it would add, by this index's IDF and lengths."""
        counts = Counter(words)
        length = 1 - self.b + self.b * sum(counts.values()) / self.average_words
        return {word: self.idf(word) * n / (n + self.k1 * length) for word, n in counts.items()}
