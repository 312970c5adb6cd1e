"""Dropout: its share, its scale, what it does to gradients, and that a seed repeats it."""

import pytest
import torch

from components.training.dropout import Dropout, dropped, replace_dropout


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_share_of_zeros_and_mean(share: float) -> None:
    torch.manual_seed(0)
    states = dropped(torch.ones(1_000, 401), share)  # no multiple of four
    zeros = (states == 0).float().mean()
    assert zeros.item() == pytest.approx(share, abs=0.004)  # of 401,000: five standard deviations or more
    assert states[states != 0].unique().tolist() == pytest.approx([1 / (1 - share)], rel=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_states_are_dropped_independently(share: float) -> None:
    """The four states of a draw, and those of one draw and the next, as often together as by chance."""
    torch.manual_seed(1)
    zeros = (dropped(torch.ones(200_000, 8), share) == 0).float()
    together = zeros.T @ zeros / len(zeros)
    wanted = torch.full((8, 8), share**2).fill_diagonal_(share)
    assert torch.allclose(together, wanted, atol=0.006)


def test_gradient_passes_where_a_state_did() -> None:
    torch.manual_seed(2)
    states = torch.randn(50, 30, requires_grad=True)
    found = dropped(states, 0.3)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert states.grad is not None
    assert torch.allclose(states.grad * states, found)
    assert (states.grad == 0).any()


def test_a_seed_repeats_it_and_the_type_stays() -> None:
    states = torch.randn(64, 33, dtype=torch.bfloat16)
    torch.manual_seed(3)
    first = dropped(states, 0.2)
    second = dropped(states, 0.2)
    torch.manual_seed(3)
    assert torch.equal(dropped(states, 0.2), first)
    assert not torch.equal(second, first)
    assert first.dtype == torch.bfloat16


def test_nothing_and_all() -> None:
    states = torch.randn(4, 5)
    assert torch.equal(dropped(states, 0.0), states)
    assert torch.equal(dropped(states, 1.0), torch.zeros(4, 5))


def test_it_takes_the_places_of_torchs_and_rests_in_evaluation() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Sequential(torch.nn.Dropout(0.4)))
    replace_dropout(model)
    assert [module.p for module in model.modules() if isinstance(module, Dropout)] == [0.4]
    states = torch.randn(100, 8)
    model.train()
    assert (model(states) == 0).any()
    model.eval()
    assert torch.equal(model(states), model[0](states))
