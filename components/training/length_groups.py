"""Cutting a batch's texts into groups of like length, each padded to its own longest text."""

import numpy as np

from components.training.ragged import Integers

# What one more forward and backward pass costs, in tokens' worth of time: kernel launches on a GPU, small
# matrices on a CPU. Measured on two AVX-512 cores with MiniLM; the GPU's value is an estimate.
OVERHEAD_TOKENS = {"cpu": 100, "cuda": 20_000}


def length_groups(lengths: Integers, overhead: int) -> list[Integers]:
    """Positions of the texts of each group, shortest first, with the least padding.

    Minimises Σ over groups (texts · longest + overhead) by dynamic programming over the distinct lengths;
    a cut between texts of equal length never pays. With home_depot's queries (6 tokens), titles and
    negatives (20) one padded batch computes 195 % more tokens than it has, groups at overhead 100 10 %.
    """
    order = np.argsort(lengths, kind="stable")
    distinct, counts = np.unique(lengths, return_counts=True)
    before = np.concatenate([[0], np.cumsum(counts)])  # texts shorter than distinct[i]
    cost, cut = np.zeros(len(distinct) + 1), np.zeros(len(distinct) + 1, dtype=np.int64)
    for end in range(1, len(distinct) + 1):
        options = cost[:end] + (before[end] - before[:end]) * distinct[end - 1] + overhead
        cut[end] = int(np.argmin(options))
        cost[end] = options[cut[end]]
    groups: list[Integers] = []
    end = len(distinct)
    while end:
        groups.append(order[before[cut[end]] : before[end]])
        end = int(cut[end])
    return groups[::-1]
