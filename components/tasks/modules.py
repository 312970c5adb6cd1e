"""Heads as torch trains them, alone or beside the encoder, and the loss that needs no head.

Legend of shapes: n texts, d dimensions, k outputs (classes; 1 for a regression).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, smooth_l1_loss

from components.contract.task import Task

TEMPERATURE = 0.1
"""Of the contrastive loss: what its authors found best."""


class TaskLoss(nn.Module):
    """What a task adds to the training of the encoder."""

    class_weights: Tensor

    def __init__(self, task: Task, class_weights: NDArray[np.float64]) -> None:
        """class_weights: (k,), see `Coding.class_weights`."""
        super().__init__()
        self.task = task
        weights = torch.from_numpy(np.asarray(class_weights, dtype=np.float32))
        self.register_buffer("class_weights", weights, persistent=False)

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """(n, d) unit vectors and (n,) targets, as `Coding.encode` gives them → a scalar."""
        raise NotImplementedError


def joint_loss(task: Task, dimensions: int, class_weights: NDArray[np.float64]) -> TaskLoss:
    """The loss that the task declares."""
    if task.loss == "contrastive":
        return TaskContrast(task, class_weights)
    return TaskHead(task, dimensions, class_weights)


class TaskContrast(TaskLoss):
    """Supervised contrastive loss (Khosla et al. 2020, "Supervised contrastive learning", section 3.2.2,
    equation 2): each row's others of its label against all others of the step. It has no parameters. A row
    that is alone with its label adds nothing.
    """

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        itself = torch.eye(len(targets), dtype=torch.bool, device=vectors.device)
        alike = (targets[:, None] == targets) & ~itself
        scores = vectors @ vectors.T / TEMPERATURE  # (n, n)
        # Not -inf: a rank's only row would have nothing to be compared with, and NaN for a gradient.
        log_shares = log_softmax(scores.masked_fill(itself, torch.finfo(scores.dtype).min), dim=1)
        losses = -(log_shares * alike).sum(dim=1) / alike.sum(dim=1).clamp(min=1)
        return (losses * self.class_weights[targets]).mean()


class TaskHead(TaskLoss):
    """One linear layer on unit vectors, and its task's loss.

    Vectors are multiplied by √d first, so that their numbers are about 1 and one learning rate suits encoder
    and head. It begins at zero: the first steps train the head before its gradients reach the encoder (Kumar
    et al. 2022, "Fine-tuning can distort pretrained features", section 3.4, by a milder means).
    """

    def __init__(self, task: Task, dimensions: int, class_weights: NDArray[np.float64]) -> None:
        super().__init__(task, class_weights)
        self.linear = nn.Linear(dimensions, len(class_weights))
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, d) → (n, k)"""
        return self.linear(vectors * vectors.shape[-1] ** 0.5)  # type: ignore[no-any-return]  # torch's Any

    def loss(self, vectors: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy, or Huber's loss of standardised targets."""
        outputs = self(vectors)
        if self.task.head == "regression":
            return smooth_l1_loss(outputs[:, 0], targets.float())
        losses = cross_entropy(outputs, targets, reduction="none")
        return (losses * self.class_weights[targets]).mean()
