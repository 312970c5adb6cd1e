"""What texts are about: topics as words that people can read, learnt from earlier texts.

Non-negative matrix factorisation of TF-IDF (Lee & Seung, Nature 1999; scikit-learn): a text's topic is the
one it weighs most. The factors are kept as numbers and words, nothing pickled.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors, write_bytes, write_json
from components.contract.learning import Language

FACTORS, WORDS = "topics.safetensors", "topics.json"
MOST_WORDS = 5_000
FEWEST_TEXTS = 5
"""A word that fewer texts hold says nothing of a topic."""
_ITERATIONS = 400


@dataclass(frozen=True, eq=False)
class Topics:
    vocabulary: tuple[str, ...]
    idf: NDArray[np.float64]
    """(words,)"""
    factors: NDArray[np.float64]
    """(topics, words)"""
    language: Language
    asked: int
    """Topics that were wanted; there are fewer where the texts have fewer words."""

    @classmethod
    def fit(cls, texts: Sequence[str], count: int, language: Language, seed: int) -> Self:
        """`count` topics of the texts. Raises MonitoringError where they share too few words."""
        from sklearn.decomposition import NMF  # here, so that the service starts without it

        vectorizer = _vectorizer(language, min_df=FEWEST_TEXTS, max_df=0.5, max_features=MOST_WORDS)
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError as error:  # no word is left
            raise MonitoringError(
                f"{len(texts)} reviews share too few words for topics: wait for more reviews."
            ) from error
        fewer = min(count, *weights.shape)
        with _unfinished():
            model = NMF(fewer, init="nndsvd", random_state=seed, max_iter=_ITERATIONS).fit(weights)
        words = tuple(vectorizer.get_feature_names_out())
        return cls(words, vectorizer.idf_, model.components_, language, count)

    @property
    def count(self) -> int:
        return len(self.factors)

    def words(self, topic: int, most: int = 5) -> tuple[str, ...]:
        """The topic's strongest words, strongest first."""
        order = np.argsort(-self.factors[topic], kind="stable")[:most]
        return tuple(self.vocabulary[word] for word in order)

    def of(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """(texts,) number of each text's topic, -1 where it has no known word."""
        if not len(texts):
            return np.empty(0, dtype=np.int64)
        from sklearn.decomposition import non_negative_factorization

        vectorizer = _vectorizer(self.language, vocabulary=list(self.vocabulary))
        vectorizer.idf_ = self.idf
        weights = vectorizer.transform(texts)
        shares, _, _ = non_negative_factorization(
            weights,
            H=self.factors,
            n_components=self.count,
            init="custom",
            update_H=False,
            max_iter=_ITERATIONS,
        )
        return np.where(shares.any(axis=1), shares.argmax(axis=1), -1).astype(np.int64)

    def save(self, folder: Path) -> None:
        """FACTORS last: whoever finds them finds the rest."""
        with disk_errors(folder):
            (folder / FACTORS).unlink(missing_ok=True)
        write_json(
            folder / WORDS, {"vocabulary": self.vocabulary, "language": self.language, "asked": self.asked}
        )
        arrays = {"idf": self.idf, "factors": np.ascontiguousarray(self.factors)}
        write_bytes(folder / FACTORS, save(arrays))

    @classmethod
    def load(cls, folder: Path) -> Self:
        with disk_errors(folder):
            arrays = load_file(folder / FACTORS)
            known = json.loads((folder / WORDS).read_bytes())
        asked = known.get("asked", len(arrays["factors"]))
        return cls(tuple(known["vocabulary"]), arrays["idf"], arrays["factors"], known["language"], asked)


@contextmanager
def _unfinished() -> Iterator[None]:
    """A factorisation that ends at its last iteration names the strongest topic all the same, and is the same
    again."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _vectorizer(language: Language, **options: Any) -> Any:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

    stop = list(ENGLISH_STOP_WORDS) if language == "english" else None
    return TfidfVectorizer(
        stop_words=stop, sublinear_tf=True, token_pattern=r"(?u)\b[^\W\d_]{3,}\b", **options
    )
