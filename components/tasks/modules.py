"""Heads as torch trains them, alone or beside the encoder.

Legend of shapes: n texts, d dimensions, k outputs (classes; 1 for a regression).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, smooth_l1_loss

from components.contract.task import Task


class TaskHead(nn.Module):
    """One linear layer on unit vectors, and its task's loss.

    Vectors are multiplied by √d first, so that their numbers are about 1 and one learning rate suits encoder
    and head. It begins at zero: the first steps train the head before its gradients reach the encoder (Kumar
    et al. 2022, "Fine-tuning can distort pretrained features", section 3.4, by a milder means).
    """

    class_weights: Tensor

    def __init__(self, task: Task, dimensions: int, class_weights: NDArray[np.float64]) -> None:
        """class_weights: (k,), see `Coding.class_weights`."""
        super().__init__()
        self.task = task
        self.linear = nn.Linear(dimensions, len(class_weights))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        weights = torch.from_numpy(np.asarray(class_weights, dtype=np.float32))
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, d) → (n, k)"""
        return self.linear(vectors * vectors.shape[-1] ** 0.5)  # type: ignore[no-any-return]  # torch's Any

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, or Huber's loss of standardised targets; a scalar. targets: (n,)."""
        outputs = self(vectors)
        if self.task.head == "regression":
            return smooth_l1_loss(outputs[:, 0], targets.float())
        losses = cross_entropy(outputs, targets, reduction="none")
        return (losses * self.class_weights[targets]).mean()
