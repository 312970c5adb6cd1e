"""Everything that says what a query implies, under one roof: heads of tasks and the shop's knowledge."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.knowledge import KnowledgeSettings
from components.contract.task import Facet
from components.tasks.heads import Head, open_heads
from components.understanding.implied import Implication, Implied, labels_of
from components.understanding.knowledge import Analyze, Knowledge

LIKELIEST, LEAST = 8, 0.02
"""Of a head's answers so many, and none that is less probable."""


class Understanding:
    """Not for use by two threads at once."""

    def __init__(self, heads: Iterable[Head], knowledge: Knowledge | None) -> None:
        """heads: those without a facet are left out."""
        self._heads = [head for head in heads if head.task.facet is not None]
        self._knowledge = knowledge
        self._labels = {head.task.name: _labels(head) for head in self._heads}

    @classmethod
    def open(
        cls, heads: Path, knowledge: Path, categories: Iterable[str | None], analyze: Analyze
    ) -> Self | None:
        """heads: a release's folder of heads; knowledge: its file; None where neither says anything of
        queries."""
        settings = read_knowledge(knowledge)
        known = None if settings is None else Knowledge(settings, categories, analyze)
        return cls(open_heads(heads).values(), known) or None

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return bool(self._heads) or self._knowledge is not None

    def imply(
        self, query: str, vector: NDArray[np.float32], facets: Collection[Facet] | None = None
    ) -> Implied:
        """What a query with vector (d,) implies of these facets (None: of all)."""
        told = [] if self._knowledge is None else self._knowledge.implies(query)
        told = [one for one in told if facets is None or one.facet in facets]
        for head in self._heads:
            if facets is None or head.task.facet in facets:
                told += self._learned(head, vector)
        return tuple(told if self._knowledge is None else self._knowledge.after_accessories(told))

    def variants(self, query: str) -> list[str]:
        """The query in other words, by synonyms."""
        return [] if self._knowledge is None else self._knowledge.variants(query)

    def _learned(self, head: Head, vector: NDArray[np.float32]) -> list[Implication]:
        facet, name = head.task.facet, head.task.name
        assert facet is not None  # the constructor's choice
        if facet == "price":
            (_,), (low,), (high,) = head.values(vector[None])
            if np.isnan(low):
                return []  # validation had too few rows for an interval
            return [Implication(facet, head.task.coverage, "learned", name, low=float(low), high=float(high))]
        [probabilities] = head.probabilities(vector[None])
        likeliest = np.argsort(-probabilities, kind="stable")[:LIKELIEST]
        return [
            Implication(facet, float(probabilities[place]), "learned", name, self._labels[name][place])
            for place in likeliest
            if probabilities[place] >= LEAST
        ]


def read_knowledge(path: Path) -> KnowledgeSettings | None:
    """None where there is no such file; raises DataError for a damaged one."""
    if not path.is_file():
        return None
    with disk_errors(path):
        try:
            return KnowledgeSettings.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise DataError(f"{path} is damaged: build the release again.") from error


def _labels(head: Head) -> list[str]:
    """A head's labels as items' are compared; a category stands for its whole path."""
    facet = head.task.facet
    assert facet is not None
    return [(labels_of(facet, label) or [""])[-1] for label in head.labels]
