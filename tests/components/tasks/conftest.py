"""A task, and vectors that say nothing."""

from typing import Any

import numpy as np

from components.contract.ports import Vectors
from components.contract.task import Task


def task(**changes: Any) -> Task:
    given = {"name": "kind", "says": "Kind", "rows": "SELECT 1", "text": ("title",), "head": "classification"}
    return Task(**given | changes)


def unit(count: int, seed: int, dimensions: int = 16) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
