"""Length groups: a partition with the least cost."""

from itertools import combinations, pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from components.training.length_groups import length_groups


def _cost(groups: list[list[int]], overhead: int) -> int:
    return sum(len(group) * max(group) + overhead for group in groups)


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=8), overhead=st.integers(0, 60))
@settings(deadline=None)
def test_no_other_cut_of_the_sorted_texts_costs_less(lengths: list[int], overhead: int) -> None:
    """Compared with every way to cut the texts, in order of length, into groups."""
    ordered = sorted(lengths)
    cuts = [
        [0, *inner, len(ordered)]
        for count in range(len(ordered))
        for inner in combinations(range(1, len(ordered)), count)
    ]
    best = min(_cost([ordered[a:b] for a, b in pairwise(cut)], overhead) for cut in cuts)
    groups = length_groups(np.asarray(lengths), overhead)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert _cost([[lengths[place] for place in group] for group in groups], overhead) == best
