"""Training of the learned encoders of histories."""

from datetime import datetime, timedelta
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from components.contract.retrieving import HistoryEncoderKind
from components.index.history_encoder import HistoryEncoder
from components.training import histories
from components.training.histories import Held, Past, fit, pasts

KINDS = get_args(HistoryEncoderKind)
ITEMS, DIMENSIONS, GROUPS = 60, 24, 6


def shop() -> tuple[np.ndarray, list[Past]]:
    """Six groups of alike items; who bought of one group buys of the next one, whose texts are others."""
    rng = np.random.default_rng(0)
    group = np.arange(ITEMS) % GROUPS
    vectors = np.eye(DIMENSIONS)[group] + 0.1 * rng.standard_normal((ITEMS, DIMENSIONS))
    vectors -= vectors.mean(axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    users = []
    for _ in range(300):
        first = rng.integers(GROUPS)
        rows = [rng.choice(np.flatnonzero(group == (first + step) % GROUPS)) for step in (0, 0, 1, 1)]
        rows = list(dict.fromkeys(rows))
        baskets = [int(group[row] != first) for row in rows]
        users.append(Past(np.asarray(rows), np.asarray(baskets)))
    return vectors, users


def share_of_next_group(encoder: HistoryEncoder | None, vectors: np.ndarray) -> float:
    """Of the ten items nearest to the vector of a history of one item."""
    found = []
    for row in range(ITEMS):
        user = vectors[row] if encoder is None else encoder.encode(vectors[[row]])
        scores = vectors @ user
        scores[row] = -np.inf
        found.append((np.argsort(-scores)[:10] % GROUPS == (row + 1) % GROUPS).mean())
    return float(np.mean(found))


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_what_is_bought_next(kind: Any) -> None:
    """Which similarity of texts cannot know; and the same seed gives the same weights."""
    vectors, users = shop()
    fitted = fit(kind, vectors, users, seed=1, epochs=12)
    assert fitted.epochs == 12 and fitted.recalls == ()
    assert share_of_next_group(None, vectors) < 0.2
    assert share_of_next_group(fitted.encoder, vectors) > 0.8
    again = fit(kind, vectors, users, seed=1, epochs=1).encoder.weights
    once_more = fit(kind, vectors, users, seed=1, epochs=1).encoder.weights
    other = fit(kind, vectors, users, seed=2, epochs=1).encoder.weights
    assert all((again[name] == once_more[name]).all() for name in again)
    assert any((again[name] != other[name]).any() for name in again)


def test_the_best_epoch_on_validation_is_kept() -> None:
    """The first of equals; training stops after PATIENCE epochs that are no better."""
    vectors, users = shop()
    told, seen = iter([0.1, 0.3, 0.3, *[0.2] * 30]), []

    def recall(encoded: np.ndarray) -> float:
        seen.append(encoded)
        return next(told)

    pasts_held = [np.asarray([4]), np.asarray([5, 9, 2])]
    fitted = fit("attention", vectors, users[:64], seed=0, held=Held(pasts_held, recall))
    assert fitted.epochs == 2 and len(fitted.recalls) == 2 + histories.PATIENCE
    ours = np.stack([fitted.encoder.encode(vectors[rows]) for rows in pasts_held])
    np.testing.assert_allclose(ours, seen[1], atol=2e-6)
    exact = fit("attention", vectors, users[:64], seed=0, epochs=2).encoder
    assert (exact.weights["query"] == fitted.encoder.weights["query"]).all(), "as a refit for two epochs"


def test_what_nobody_bought_is_no_wrong_answer() -> None:
    """An item that was never bought keeps its place beside a bought item of the same text; one more candidate
    would push it down."""
    vectors, users = shop()
    doubled = np.concatenate([vectors, vectors])  # the second half was not bought
    encoder = fit("gru", doubled, users, seed=0, epochs=2).encoder
    alone = fit("gru", vectors, users, seed=0, epochs=2).encoder
    assert all((encoder.weights[name] == alone.weights[name]).all() for name in alone.weights)


def test_pasts_are_in_order_and_baskets_are_moments() -> None:
    """Of users with two baskets or more; purchases of unknown items are left out."""
    day = datetime(2026, 1, 1)
    rows = [
        ("b", "x", 0),
        ("b", "y", 0),
        ("b", "z", 5),
        ("a", "z", 1),
        ("a", "x", 1),
        ("c", "x", 1),
        ("c", "?", 2),
    ]
    frame = pl.DataFrame(
        [(user, item, day + timedelta(days=days)) for user, item, days in rows],
        schema=["user_id", "item_id", "at"],
        orient="row",
    )
    [past] = pasts(frame, ["x", "y", "z"])
    assert past.rows.tolist() == [0, 1, 2] and past.baskets.tolist() == [0, 0, 1]


def test_a_cut_is_between_two_baskets() -> None:
    """Nothing of a basket stands on both sides; only items of one basket are shuffled."""
    past = Past(np.arange(9), np.asarray([0, 0, 0, 1, 1, 1, 2, 2, 2]))
    rng = np.random.default_rng(0)
    orders = set()
    for _ in range(60):
        before, later = histories._cut(past, rng)
        assert len(before) in (3, 6) and sorted([*before, *later]) == list(range(9))
        assert set(before) == set(range(len(before)))
        assert (np.diff(past.baskets[before]) >= 0).all()
        orders.add(tuple(before[:3]))
    assert len(orders) > 1
