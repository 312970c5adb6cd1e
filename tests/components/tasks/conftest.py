"""A task, and vectors that say nothing."""

from typing import Any

import numpy as np

from components.contract.ports import Vectors
from components.contract.task import Task
from components.tasks.heads import Head


def task(**changes: Any) -> Task:
    given = {"name": "kind", "says": "Kind", "rows": "SELECT 1", "text": ("title",), "head": "classification"}
    return Task(**given | changes)


def unit(count: int, seed: int, dimensions: int = 16) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clouds(count: int, seed: int, classes: str = "abcd", noise: float = 0.35) -> tuple[Vectors, list[str]]:
    """Unit vectors about four of sixteen axes, as often as `classes` names each, and those names."""
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(["abcd".index(classes[row % len(classes)]) for row in range(count)])
    vectors = (np.eye(16)[numbers] + rng.normal(scale=noise, size=(count, 16))).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [list("abcd")[one] for one in numbers]


def answered(head: Head, vectors: Vectors) -> Any:
    return np.asarray(head.labels)[head.outputs(vectors).argmax(axis=1)]
