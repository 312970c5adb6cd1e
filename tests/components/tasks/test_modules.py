"""The losses of tasks as torch trains them."""

import numpy as np
import torch
from torch.nn.functional import normalize

from components.contract.task import Task
from components.tasks.modules import TEMPERATURE, TaskContrast, TaskHead, joint_loss

KIND = Task(name="kind", says="Kind", rows="SELECT 1", text=("title",), head="classification")
CONTRASTIVE = KIND.model_copy(update={"loss": "contrastive"})


def test_a_task_declares_its_loss() -> None:
    """The contrastive one has nothing of its own to train."""
    assert isinstance(joint_loss(KIND, 8, np.ones(2)), TaskHead)
    assert list(joint_loss(CONTRASTIVE, 8, np.ones(2)).parameters()) == []


def test_the_contrastive_loss_by_hand() -> None:
    """Mean over rows, and over a row's others of its label, of -log of that one's share among all others; a
    label that is alone adds nothing, a class weight counts."""
    vectors = normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    labels, weights = [0, 1, 0, 0, 2], np.asarray([2.0, 1.0, 1.0])
    expected = 0.0
    for row in (0, 2, 3):
        others = [other for other in range(5) if other != row]
        total = sum(float(torch.exp(vectors[row] @ vectors[other] / TEMPERATURE)) for other in others)
        alike = [other for other in others if labels[other] == 0]
        shares = [float(torch.exp(vectors[row] @ vectors[other] / TEMPERATURE)) / total for other in alike]
        expected += 2.0 * float(-np.mean(np.log(shares))) / 5
    found = TaskContrast(CONTRASTIVE, weights).loss(vectors, torch.tensor(labels))
    np.testing.assert_allclose(float(found), expected, rtol=1e-5)


def test_its_steps_draw_equal_labels_together() -> None:
    """A few steps down the gradient: rows of a label are alike, those of others are not."""
    given = torch.randn(8, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    targets = torch.tensor([0, 1] * 4)
    optimizer = torch.optim.Adam([given], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        TaskContrast(CONTRASTIVE, np.ones(2)).loss(normalize(given, dim=-1), targets).backward()
        optimizer.step()
    cosines = normalize(given.detach(), dim=-1) @ normalize(given.detach(), dim=-1).T
    alike = targets[:, None] == targets
    assert cosines[alike].min() > 0.9 > 0.2 > cosines[~alike].max()


def test_a_row_that_is_alone_has_a_gradient_of_zero() -> None:
    """As a rank's only row is; not NaN."""
    vector = torch.ones(1, 4, requires_grad=True)
    loss = TaskContrast(CONTRASTIVE, np.ones(1)).loss(normalize(vector, dim=-1), torch.tensor([0]))
    loss.backward()
    assert float(loss.detach()) == 0.0 and vector.grad is not None and not vector.grad.any()
