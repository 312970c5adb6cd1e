"""Symmetric InfoNCE over a batch that may be spread over ranks.

Legend of shapes: b pairs of this rank, R ranks, B = R · b pairs of the step, H hard negatives per pair,
C = B + B · H candidate items of the step (first every pair's positive, then all hard negatives), d
dimensions.

What is gathered: anchors, positives and hard negatives of all ranks, in rank order, with gradients (the
gradient of a gathered vector is summed over the ranks on its way back to the rank that made it). A rank
scores only its own b anchors and b positives against what was gathered, so its labels are the columns
`first` … `first + b`, with first = rank · b. The mean over ranks that DDP takes of these losses' gradients
is the gradient of one rank's loss over the whole step.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, normalize


@dataclass(frozen=True)
class StepVectors:
    """Unit vectors of one step as one rank sees them."""

    anchors: Tensor
    """(b, d)"""
    positives: Tensor
    """(b, d)"""
    all_anchors: Tensor
    """(B, d)"""
    candidates: Tensor
    """(C, d)"""

    def cut(self, dimensions: Sequence[int]) -> "Iterator[StepVectors]":
        """These, and then the unit vectors of only the first so many numbers of each: what Matryoshka
        representation learning takes the loss of as well (Kusupati et al. 2022, section 3)."""
        yield self
        parts = (self.anchors, self.positives, self.all_anchors, self.candidates)
        for count in dimensions:
            yield StepVectors(*(normalize(part[:, :count], dim=-1) for part in parts))


def symmetric_loss(
    vectors: StepVectors,
    not_negatives: Tensor,
    not_anchors: Tensor,
    *,
    first: int,
    temperature: float,
    log_expected: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Mean of two cross-entropies: anchor → its item among C, item → its anchor among B; a scalar.

    InfoNCE (van den Oord et al. 2018, section 2.3) in both directions (CLIP, Radford et al. 2021, figure
    3), with two repairs of in-batch negatives:

    - Candidates that are no negatives of an anchor (its other known positives, their duplicates, absent
      hard negatives) are left out of its sum, and so are anchors that an item also answers.
    - logQ (Yi et al. 2019, "Sampling-bias-corrected neural modeling", section 3): popular items come up as
      in-batch negatives more often than a uniform draw would have it. With `log_expected` every candidate's
      logit loses the log of how often it is expected among the step's candidates. Here an item comes up as
      somebody's positive or as somebody's hard negative; both are counted (`batches.log_expected`), which is
      the balance heuristic of multiple importance sampling (Veach 1997, section 9.2), so that hard negatives
      are on the same scale as the others.

      The anchor's own positive is corrected too, as Yi et al. do, so that only differences in popularity
      count. Left uncorrected (arXiv 2507.09331: it is not sampled, but always there) the sum would estimate
      the softmax over the whole catalogue: every negative's weight would grow by catalogue / candidates,
      about a hundred times on home_depot, and the temperature would mean something else in every shop.

    The item → anchor direction has no correction: anchors are not what a catalogue is ranked by.

    Args:
        not_negatives: (b, C) true where a candidate is no negative; never at the anchor's own positive.
        not_anchors: (b, B) true where an anchor is no negative of the item; never at the item's own anchor.
        first: column of this rank's first pair in `all_anchors` and `candidates`.
        log_expected: (C,) or None for no correction.
        weights: (b,) of the pairs, whose mean over the step's pairs is 1; None: all are 1.
    """
    labels = torch.arange(first, first + len(vectors.anchors), device=vectors.anchors.device)
    to_items = vectors.anchors @ vectors.candidates.T / temperature  # (b, C)
    if log_expected is not None:
        to_items = to_items - log_expected
    to_anchors = vectors.positives @ vectors.all_anchors.T / temperature  # (b, B)
    to_items = to_items.masked_fill(not_negatives, -torch.inf)
    to_anchors = to_anchors.masked_fill(not_anchors, -torch.inf)
    losses = cross_entropy(to_items, labels, reduction="none") + cross_entropy(
        to_anchors, labels, reduction="none"
    )
    return (losses if weights is None else weights * losses).mean() / 2


def distillation_loss(anchors: Tensor, candidates: Tensor, scores: Tensor, *, temperature: float) -> Tensor:
    """Mean Kullback–Leibler divergence of the encoder's softmax over each anchor's k candidates from the
    teacher's; a scalar, 0 where both agree.

    The teacher's scores are log odds as they are, the encoder's cosines over the temperature. (Hofstätter et
    al. 2020 match margins instead, MarginMSE, which asks cosines for the teacher's scale.)

    Args:
        anchors: (b, d)
        candidates: (b, k, d) unit vectors.
        scores: (b, k) of the teacher; −inf for no candidate, never for all.
    """
    absent = torch.isneginf(scores)
    cosines = torch.einsum("bd,bkd->bk", anchors, candidates) / temperature
    found = log_softmax(cosines.masked_fill(absent, -torch.inf), dim=-1).masked_fill(absent, 0.0)
    wanted = log_softmax(scores, dim=-1).masked_fill(absent, 0.0)
    share = wanted.exp().masked_fill(absent, 0.0)
    return (share * (wanted - found)).sum(dim=-1).mean()
