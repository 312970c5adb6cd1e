"""How the targets of a task become what is fitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.contract.task import Task

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Coding:
    """How targets become what a head is trained on, learned from the training rows."""

    labels: tuple[str, ...] = ()
    mean: float = 0.0
    sd: float = 1.0
    """Of a regression's targets on the head's scale."""

    @classmethod
    def of(cls, task: Task, targets: Sequence[str | float]) -> Self:
        if task.head != "regression":
            return cls(labels=tuple(sorted({str(target) for target in targets})))
        scaled = on_scale(task, targets)
        return cls(mean=float(scaled.mean()), sd=float(scaled.std()) or 1.0)

    @property
    def outputs(self) -> int:
        return len(self.labels) or 1

    def encode(self, task: Task, targets: Sequence[str | float]) -> NDArray[np.int64] | Floats:
        """(n,) class numbers, -1 for one that training did not have; or standardised numbers."""
        if task.head == "regression":
            return (on_scale(task, targets) - self.mean) / self.sd
        number = {label: place for place, label in enumerate(self.labels)}
        return np.asarray([number.get(str(target), -1) for target in targets], dtype=np.int64)

    def class_weights(self, task: Task, codes: NDArray[np.int64] | Floats) -> Floats:
        """(k,) weight of each class's rows in the loss; their mean over the rows is 1."""
        if not task.balanced:
            return np.ones(self.outputs)
        counts = np.bincount(codes.astype(np.int64), minlength=self.outputs)
        return np.asarray(len(codes) / (self.outputs * np.maximum(counts, 1)))


def on_scale(task: Task, values: Sequence[str | float]) -> Floats:
    """Numbers on the head's scale."""
    numbers = np.asarray(values, dtype=np.float64)
    return np.log(numbers) if task.log_scale else numbers
