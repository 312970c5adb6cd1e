"""How much co-purchases weigh beside the texts of a history."""

import numpy as np
import polars as pl
import pytest

from components.contract.ports import Request
from components.index.co_purchases import CoPurchases
from components.index.fusion import ScoredRequest
from components.index.lexical import LexicalSnapshot
from components.index.live_rows import Snapshot
from components.release.history_mix import HistoryMix, best_mix, scored_users
from components.split.judged import JudgedSet

ITEMS = 30
IDS = [f"i{number:02}" for number in range(ITEMS)]
SCORINGS = ("mean", "top3")


def user(population: str, texts: float, bought: float) -> ScoredRequest:
    """One relevant item among eleven, with these scores; the others have 1 by texts, 0 by purchases."""
    parts = np.zeros((3, 11), dtype=np.float32)
    parts[:2, 1:], parts[:, 0] = 1, (texts, texts, bought)
    other = "new" if population == "established" else "established"
    relevant = np.arange(11) == 0
    return ScoredRequest(parts, {population: (relevant, 1), other: (~relevant & False, 0)})


def test_the_weight_that_finds_most_is_chosen():
    """An established item that texts place last comes up at 1; the first such weight is taken."""
    users = [user("established", 0.5, 0.6), user("new", 1.5, 0.0)]
    assert best_mix(users, SCORINGS, (0.0, 0.5, 1.0, 2.0)) == HistoryMix("mean", 1.0)


def test_what_costs_new_items_is_refused_whatever_it_gains():
    """Five established items are found where one new item is lost: by the mean 2 would win."""
    users = [user("established", 0.5, 0.6)] * 5 + [user("new", 1.5, -1.0), user("new", 1.5, 0.0)]
    assert best_mix(users, SCORINGS, (0.0, 2.0)) == HistoryMix("mean", 0.0)
    users[-2] = user("new", 1.5, 0.0)
    assert best_mix(users, SCORINGS, (0.0, 2.0)) == HistoryMix("mean", 2.0)


def test_a_weight_that_is_given_holds():
    users = [user("established", 0.5, 0.6), user("new", 1.5, -1.0)]
    assert best_mix(users, SCORINGS, (2.0,)) == HistoryMix("mean", 2.0)


def test_a_scoring_that_finds_more_is_taken():
    """Only the second scoring places the item among ten."""
    request = user("new", 0.0, 0.0)
    request.parts[1, 0] = 2
    assert best_mix([request], SCORINGS, (0.0, 1.0)) == HistoryMix("top3", 0.0)


@pytest.mark.parametrize("known", [True, False])
def test_users_are_scored_as_the_index_scores_them(known):
    """Texts exactly, purchases by the snapshot's part (0 without one); what a user has is left out."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((ITEMS, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(f"u{n}", IDS[item]) for n in range(20) for item in rng.integers(0, 25, 6)]
    rows = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    purchases = rows.with_columns(at=pl.datetime(2026, 1, 1))
    part = CoPurchases.build(IDS, vectors, purchases) if known else None
    items = pl.DataFrame({"item_id": IDS, "title": IDS})
    snapshot = Snapshot(items, vectors, LexicalSnapshot.build(IDS, "english"), part)
    past, gone = ("i01", "i02", "unknown"), Request("gone", history=("unknown",))
    asked = Request("u", history=past, exclude=frozenset({"i01", "i02"}))
    relevant = {"u": frozenset({"i03", "i29"}), "gone": frozenset({"i03"})}
    judged = JudgedSet("recommendation", (asked, gone), relevant, {}, False, {})
    [scored] = scored_users(judged, frozenset({"i29"}), snapshot, SCORINGS)
    assert scored.parts.shape == (3, ITEMS - 2)
    mean = vectors[[1, 2]].mean(axis=0)
    others = [row for row in range(ITEMS) if row not in (1, 2)]
    np.testing.assert_allclose(scored.parts[0], vectors[others] @ mean / np.linalg.norm(mean), atol=1e-6)
    assert bool(scored.parts[2].any()) is known
    assert [(relevant.sum(), count) for relevant, count in scored.relevant.values()] == [(1, 1), (1, 1)]
