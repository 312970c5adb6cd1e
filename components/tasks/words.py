"""What a text's own words say beside its vector: TF-IDF and a linear model, as `baselines` fitted them.

    heads/<task>/words.safetensors   weights (k, v), bias (k,), idf (v,)
                 words.json          the v words and word pairs, in the order of the columns

Legend of shapes: n texts, v words and word pairs, k outputs (classes; 1 for a regression).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from components.contract.files import write_json
from components.contract.ports import Vectors
from components.tasks.coding import Floats

WEIGHTS, VOCABULARY = "words.safetensors", "words.json"
TF_IDF: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\b\w+\b"}


@dataclass(frozen=True, eq=False)
class Words:
    vocabulary: tuple[str, ...]
    """(v,)"""
    idf: Vectors
    """(v,)"""
    weights: Vectors
    """(k, v)"""
    bias: Vectors
    """(k,)"""
    strength: float | None = None
    """Of the penalty, as it was chosen; not kept in a release."""

    def outputs(self, texts: Sequence[str]) -> Floats:
        """n texts, read whole → (n, k): logits, or values on the head's scale."""
        if not len(texts):  # scikit-learn refuses none
            return np.zeros((0, len(self.bias)))
        counted = self._vectorizer.transform(texts)
        return np.asarray(counted @ self._wide_weights + self.bias)

    @cached_property
    def _wide_weights(self) -> Floats:
        """(v, k). Kept: of many words and classes a copy takes longer than an answer."""
        return np.ascontiguousarray(self.weights.T, dtype=np.float64)

    @cached_property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer  # here: the service starts without it

        vectorizer = TfidfVectorizer(**TF_IDF, vocabulary=self.vocabulary)
        vectorizer.idf_ = self.idf.astype(np.float64)
        return vectorizer

    def misfit(self, outputs: int) -> str | None:
        """What of it does not fit a head of so many outputs, in words."""
        shapes = self.weights.shape, self.bias.shape, self.idf.shape
        count = len(self.vocabulary)
        if shapes == ((outputs, count), (outputs,), (count,)) and len(set(self.vocabulary)) == count:
            return None
        return f"words' weights of shape {self.weights.shape} for {outputs} outputs and {count} words"

    def save(self, folder: Path) -> None:
        arrays = {"weights": self.weights, "bias": self.bias, "idf": self.idf}
        save_file(
            {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()},
            folder / WEIGHTS,
        )
        write_json(folder / VOCABULARY, list(self.vocabulary))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises SafetensorError, ValueError, TypeError for damaged files, OSError for absent ones."""
        arrays: dict[str, Any] = load_file(folder / WEIGHTS)
        vocabulary = json.loads((folder / VOCABULARY).read_bytes())
        if not isinstance(vocabulary, list) or not all(isinstance(word, str) for word in vocabulary):
            raise ValueError(f"{VOCABULARY} is no list of words")
        if not vocabulary or not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError(f"{VOCABULARY} and {WEIGHTS} hold no word, or no number where one should be")
        return cls(tuple(vocabulary), **arrays)


def mixed(by_vectors: Floats, by_words: Floats, share: float) -> Floats:
    """(n, k) outputs of a head; share: what the words have of them."""
    return (1 - share) * by_vectors + share * by_words
