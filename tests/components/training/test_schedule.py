"""The learning rate of a step."""

from itertools import pairwise

import pytest
import torch

from components.training.schedule import learning_rate_share, warmed_up


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    """Linear warm-up to one, linear decay, nothing left at the end; without warm-up it starts at one."""
    shares = [learning_rate_share(step, 4, 14) for step in range(15)]
    assert shares[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(left > right for left, right in pairwise(shares[4:]))
    assert shares[14] == 0.0
    assert learning_rate_share(0, 0, 10) == 1.0


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11, 100])
def test_a_training_of_any_length_ends_at_zero(steps: int) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2.0)
    schedule = warmed_up(optimizer, steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert max(rates) <= 2.0 and min(rates) > 0
    assert optimizer.param_groups[0]["lr"] == 0
