"""Mining: negatives agree with a slow reference of the filters, and counts add up."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from components.augment import negatives
from components.augment.negatives import NONE, Mined, mine

QUERIES, ITEMS, PAIRS, DIMENSIONS = 7, 40, 25, 6


def _unit(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    vectors = rng.normal(size=(count, DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class World:
    """Random requests and items; each request knows the positives of its pairs and one more."""

    queries: NDArray[np.float32]
    items: NDArray[np.float32]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
    known: list[NDArray[np.int64]]
    groups: NDArray[np.int64]
    eligible: NDArray[np.bool_]

    def mine(self, *, depth: int = 12, per_pair: int = 3, ceiling: float = 0.95, seed: int = 0) -> Mined:
        return mine(
            self.queries,
            self.items,
            self.pairs,
            self.known,
            self.groups,
            self.eligible,
            depth=depth,
            per_pair=per_pair,
            ceiling=ceiling,
            seed=seed,
        )

    def allowed(self, pair: int, depth: int, ceiling: float) -> set[int]:
        """What the filters leave, written down one candidate at a time."""
        query, positive = int(self.pairs[0][pair]), int(self.pairs[1][pair])
        scores = self.queries[query] @ self.items.T
        ranked = sorted(np.flatnonzero(self.eligible), key=lambda row: (-scores[row], row))[:depth]
        positive_groups = {int(self.groups[row]) for row in self.known[query]}
        limit = ceiling * scores[positive]
        return {int(r) for r in ranked if int(self.groups[r]) not in positive_groups and scores[r] <= limit}


def _world(seed: int) -> World:
    rng = np.random.default_rng(seed)
    queries = rng.integers(0, QUERIES, PAIRS)
    positives = rng.integers(0, ITEMS, PAIRS)
    known = [np.unique([*positives[queries == q], rng.integers(0, ITEMS)]) for q in range(QUERIES)]
    groups = np.arange(ITEMS) // 2 * 2 if seed % 2 else np.arange(ITEMS)
    eligible = rng.random(ITEMS) < 0.8
    return World(_unit(rng, QUERIES), _unit(rng, ITEMS), (queries, positives), known, groups, eligible)


@given(seed=st.integers(0, 10_000), ceiling=st.sampled_from([0.5, 0.95, 1.0]), depth=st.integers(1, 45))
@settings(deadline=None, max_examples=40)
def test_negatives_are_drawn_from_what_the_filters_leave(seed: int, ceiling: float, depth: int) -> None:
    """Each pair gets min(per_pair, left) different rows, all of them left by a slow reference."""
    world = _world(seed)
    mined = world.mine(depth=depth, ceiling=ceiling)
    for pair, rows in enumerate(mined.rows):
        drawn = [int(row) for row in rows if row != NONE]
        allowed = world.allowed(pair, depth, ceiling)
        assert set(drawn) <= allowed
        assert len(drawn) == len(set(drawn)) == min(3, len(allowed))


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=20)
def test_counts_explain_every_candidate(seed: int) -> None:
    """Drops and what was left add up to the candidates; drawn and empty pairs are counted."""
    world = _world(seed)
    mined = world.mine()
    left = sum(len(world.allowed(pair, 12, 0.95)) for pair in range(PAIRS))
    dropped = sum(mined.counts[name] for name in ("known_positive", "duplicate_of_positive", "above_ceiling"))
    assert mined.counts["candidates"] - dropped == left
    assert mined.counts["drawn"] == (mined.rows != NONE).sum()
    assert mined.counts["pairs_without_negative"] == sum((rows == NONE).all() for rows in mined.rows)


def test_the_chunk_size_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows come out when one request is scored at a time."""
    world = _world(1)
    whole = world.mine()
    monkeypatch.setattr(negatives, "CHUNK_BYTES", 1)
    assert np.array_equal(world.mine().rows, whole.rows)


def test_the_draw_depends_on_the_seed() -> None:
    """The same seed repeats a draw, another one draws others."""
    world = _world(2)
    assert np.array_equal(world.mine(seed=3).rows, world.mine(seed=3).rows)
    assert not np.array_equal(world.mine(seed=3).rows, world.mine(seed=4).rows)


def test_held_out_items_are_never_negatives() -> None:
    """With nothing eligible there is no negative, and the pairs without one are counted."""
    nothing = replace(_world(3), eligible=np.zeros(ITEMS, dtype=np.bool_))
    assert (nothing.mine().rows == NONE).all()
    assert nothing.mine().counts["pairs_without_negative"] == PAIRS


def test_equal_scores_are_cut_by_row() -> None:
    """Where the last place is a tie, the lowest rows are candidates."""
    items = np.tile(np.asarray([[1.0, 0.0]], dtype=np.float32), (10, 1))
    query = np.asarray([[1.0, 0.0]], dtype=np.float32)
    pair = (np.zeros(1, dtype=np.int64), np.asarray([9]))
    flags = np.ones(10, dtype=bool)
    mined = mine(
        query, items, pair, [np.asarray([9])], np.arange(10), flags, depth=3, per_pair=8, ceiling=1.0, seed=0
    )
    assert sorted(mined.rows[0]) == [NONE] * 5 + [0, 1, 2]
