"""The weights of what queries imply, chosen on validation."""

from typing import Any

import numpy as np
import pytest

from components.index.facets import FACETS
from components.index.fusion import ScoredRequest
from components.release.implied_weights import (
    SYNONYM_SHARES,
    WEIGHTS,
    chosen_synonym_share,
    chosen_weights,
)

ITEMS, REQUESTS = 40, 30


def requests(helps: int | None, *, hurts_new: bool = False, seed: int = 0) -> list[ScoredRequest]:
    """One relevant item each, new in every other request. Part number `helps` is 1 for it; every part is also
    1 for ten items drawn at random."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(REQUESTS):
        parts = np.zeros((len(SYNONYM_SHARES) + len(FACETS), ITEMS), dtype=np.float32)
        parts[: len(SYNONYM_SHARES)] = rng.normal(scale=0.05, size=ITEMS)
        for facet in range(len(SYNONYM_SHARES), len(parts)):
            parts[facet, rng.permutation(ITEMS)[:10]] = 1
        new = number % 2 == 0
        relevant = np.arange(ITEMS) == 0
        parts[len(SYNONYM_SHARES) :, 0] = 0
        if helps is not None:
            parts[helps, 0] = 0.0 if hurts_new and new else 1.0
        if hurts_new and new:
            parts[: len(SYNONYM_SHARES), 0] = np.sort(parts[0, 1:])[-10] + 1e-4  # just in the first ten
        none: Any = (np.zeros(ITEMS, dtype=bool), 0)
        own = (relevant, 1)
        made.append(ScoredRequest(parts, {"new": own if new else none, "established": none if new else own}))
    return made


def test_the_facet_that_helps_is_weighed() -> None:
    """And no other, where theirs are drawn at random."""
    for number, facet in enumerate(FACETS):
        chosen = chosen_weights(requests(len(SYNONYM_SHARES) + number), 0.0)
        assert list(chosen) == [facet] and chosen[facet] in WEIGHTS


def test_nothing_is_weighed_that_does_not_help() -> None:
    """Noise is not followed."""
    assert all(chosen_weights(requests(None, seed=seed), 0.0) == {} for seed in range(5))


def test_what_costs_new_items_recall_is_not_weighed() -> None:
    """However much the established ones gain."""
    assert chosen_weights(requests(len(SYNONYM_SHARES), hurts_new=True), 0.0) == {}


def test_a_share_that_no_part_has_is_refused() -> None:
    """Facets alone would be ranked by, and weights chosen for a ranking that nobody serves."""
    with pytest.raises(ValueError, match=r"0\.7"):
        chosen_weights(requests(None), 0.7)


def test_synonyms_count_where_they_help() -> None:
    """The least share of those that help alike."""
    plain = requests(None)
    assert chosen_synonym_share(plain) == 0.0
    for request in plain:
        request.parts[2 : len(SYNONYM_SHARES), 0] = 1.0
    assert chosen_synonym_share(plain) == SYNONYM_SHARES[2]
