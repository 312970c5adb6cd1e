"""The loss agrees with a slow reference that is written one logit at a time."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from components.training.loss import StepVectors, distillation_loss, symmetric_loss

TEMPERATURE = 0.05


def _unit(count: int, generator: torch.Generator) -> Tensor:
    vectors = torch.randn(count, 5, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(vectors, dim=-1)


def _slow(
    vectors: StepVectors, not_negatives: Tensor, not_anchors: Tensor, first: int, shares: Tensor
) -> float:
    """−log softmax of the own item and of the own anchor, each mean over pairs, then their mean."""
    both = 0.0
    for i in range(len(vectors.anchors)):
        own = first + i
        items, anchors = {}, {}
        for j in range(len(vectors.candidates)):
            if not not_negatives[i, j]:
                score = float(vectors.anchors[i] @ vectors.candidates[j]) / TEMPERATURE
                items[j] = math.exp(score - float(shares[j]))
        for j in range(len(vectors.all_anchors)):
            if not not_anchors[i, j]:
                anchors[j] = math.exp(float(vectors.positives[i] @ vectors.all_anchors[j]) / TEMPERATURE)
        both -= math.log(items[own] / sum(items.values())) + math.log(anchors[own] / sum(anchors.values()))
    return both / 2 / len(vectors.anchors)


def _case(
    seed: int, ranks: int, rank: int, negatives: int
) -> tuple[StepVectors, Tensor, Tensor, int, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    b = 3
    all_anchors, items = _unit(ranks * b, generator), _unit(ranks * b * (1 + negatives), generator)
    first = rank * b
    own = slice(first, first + b)
    masks = [torch.rand(b, n, generator=generator) < 0.3 for n in (len(items), ranks * b)]
    for mask in masks:
        mask[torch.arange(b), first + torch.arange(b)] = False
    shares = torch.randn(len(items), generator=generator, dtype=torch.float64)
    return StepVectors(all_anchors[own], items[own], all_anchors, items), masks[0], masks[1], first, shares


@given(seed=st.integers(0, 10_000), ranks=st.integers(1, 3), negatives=st.integers(0, 2), logq=st.booleans())
@settings(deadline=None, max_examples=40)
def test_the_loss_equals_the_slow_reference(seed: int, ranks: int, negatives: int, logq: bool) -> None:
    """Any rank, any number of hard negatives, random masks, with and without logQ."""
    vectors, not_negatives, not_anchors, first, shares = _case(seed, ranks, ranks - 1, negatives)
    loss = symmetric_loss(
        vectors,
        not_negatives,
        not_anchors,
        first=first,
        temperature=TEMPERATURE,
        log_expected=shares if logq else None,
    )
    slow = _slow(vectors, not_negatives, not_anchors, first, shares if logq else torch.zeros_like(shares))
    assert float(loss) == pytest.approx(slow, rel=1e-9)


def test_a_pair_counts_by_its_weight() -> None:
    """The mean of the pairs' losses, each times its weight."""
    vectors, not_negatives, not_anchors, _, _ = _case(4, 1, 0, 1)

    def of(weights: list[float]) -> float:
        return float(
            symmetric_loss(
                vectors,
                not_negatives,
                not_anchors,
                first=0,
                temperature=TEMPERATURE,
                weights=torch.tensor(weights, dtype=torch.float64),
            )
        )

    alone = [of([3.0 * (place == pair) for place in range(3)]) for pair in range(3)]
    assert len(set(alone)) == 3
    assert of([0.5, 1.0, 1.5]) == pytest.approx((0.5 * alone[0] + alone[1] + 1.5 * alone[2]) / 3, rel=1e-9)
    plain = symmetric_loss(vectors, not_negatives, not_anchors, first=0, temperature=TEMPERATURE)
    assert of([1.0, 1.0, 1.0]) == pytest.approx(float(plain), rel=1e-12)


def test_cut_vectors_are_the_first_numbers_of_unit_length() -> None:
    """First all of them, then each size, of anchors, items and what was gathered alike."""
    vectors, *_ = _case(5, 2, 1, 1)
    whole, three, two = vectors.cut((3, 2))
    assert whole is vectors
    for size, cut in ((3, three), (2, two)):
        for name in ("anchors", "positives", "all_anchors", "candidates"):
            full, found = getattr(vectors, name), getattr(cut, name)
            assert found.shape == (len(full), size)
            assert torch.allclose(found.norm(dim=1), torch.ones(len(full), dtype=torch.float64))
            assert torch.allclose(found * full[:, :size].norm(dim=1, keepdim=True), full[:, :size])


def test_distillation_is_the_divergence_from_the_teachers_softmax() -> None:
    """Against logits one at a time; an absent candidate counts for nothing and gets no gradient; a pair with
    nothing but its positive has nothing to learn."""
    generator = torch.Generator().manual_seed(6)
    anchors, candidates = _unit(3, generator), _unit(12, generator).reshape(3, 4, 5).requires_grad_()
    scores = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    scores[1, 2] = scores[2, 1:] = -torch.inf
    loss = distillation_loss(anchors, candidates, scores, temperature=TEMPERATURE)
    expected = 0.0
    for pair in range(3):
        places = [place for place in range(4) if scores[pair, place] > -math.inf]
        wanted, found = (
            [math.exp(float(value)) for value in values]
            for values in (
                [scores[pair, place] for place in places],
                [anchors[pair] @ candidates[pair, place].detach() / TEMPERATURE for place in places],
            )
        )
        for of, own in zip(wanted, found, strict=True):
            share = of / sum(wanted)
            expected += share * math.log(share / (own / sum(found))) / 3
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-9)
    loss.backward()
    assert candidates.grad is not None and torch.isfinite(candidates.grad).all()
    assert not candidates.grad[1, 2].any() and not candidates.grad[2].any()
    assert candidates.grad[0].any()


def test_an_encoder_that_agrees_with_the_teacher_learns_nothing() -> None:
    generator = torch.Generator().manual_seed(7)
    anchors, candidates = _unit(2, generator), _unit(6, generator).reshape(2, 3, 5)
    agreed = torch.einsum("bd,bkd->bk", anchors, candidates) / TEMPERATURE + 3.0
    assert abs(float(distillation_loss(anchors, candidates, agreed, temperature=TEMPERATURE))) < 1e-12


def test_equal_shares_change_nothing() -> None:
    """The logQ correction of a uniform distribution is no correction."""
    vectors, not_negatives, not_anchors, first, shares = _case(1, 2, 0, 1)
    losses = [
        symmetric_loss(
            vectors, not_negatives, not_anchors, first=first, temperature=TEMPERATURE, log_expected=correction
        )
        for correction in (None, torch.full_like(shares, -7.0))
    ]
    assert float(losses[0]) == pytest.approx(float(losses[1]), rel=1e-12)


def test_a_popular_negative_pushes_less() -> None:
    """With logQ a candidate that comes up often gets a smaller share of the softmax."""
    vectors, not_negatives, not_anchors, first, shares = _case(2, 1, 0, 0)
    shares = torch.zeros_like(shares)
    popular = shares.clone()
    popular[2] = 3.0  # comes up e³ times as often; it is the negative of pairs 0 and 1
    not_negatives[:] = False
    rare, often = (
        symmetric_loss(
            StepVectors(vectors.anchors[:2], vectors.positives[:2], vectors.all_anchors, vectors.candidates),
            not_negatives[:2],
            not_anchors[:2],
            first=first,
            temperature=TEMPERATURE,
            log_expected=correction,
        )
        for correction in (shares, popular)
    )
    assert often < rare


def test_masked_candidates_get_no_gradient() -> None:
    """A known positive of an anchor among the candidates is neither pushed nor pulled."""
    vectors, _, _, _, _ = _case(3, 1, 0, 0)
    candidates = vectors.candidates.clone().requires_grad_()
    not_negatives = torch.tensor([[False, True, True], [True, False, True], [True, True, False]])
    loss = symmetric_loss(
        StepVectors(vectors.anchors, vectors.positives, vectors.all_anchors, candidates),
        not_negatives,
        torch.zeros(3, 3, dtype=torch.bool),
        first=0,
        temperature=TEMPERATURE,
    )
    loss.backward()
    assert candidates.grad is not None
    assert float(candidates.grad.abs().max()) < 1e-12
