"""What `make bench-recall` computes of its own: fusion, replay, the cache, intervals."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from components.contract.ports import Request

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import hybrid
import peer_cache
import peers_purchases
import recall_table
from peer_cache import PeerCache, key_of
from peers_search import bm25
from rankings import Fused, Recorded, ScoredIndex, reciprocal_ranks

ITEMS = ["a", "b", "c", "d"]
REQUESTS = [Request("one", text="x", exclude=frozenset({"b"})), Request("two", text="x")]


def _scored(name: str, scores: list[float]) -> ScoredIndex:
    return ScoredIndex(name, ITEMS, lambda request: np.asarray(scores, dtype=np.float32))


def test_reciprocal_ranks_sum_over_the_lists_that_hold_an_item() -> None:
    rows, scores = reciprocal_ranks([np.asarray([3, 0, -1]), np.asarray([0, 2, 3])])
    assert rows.tolist() == [0, 2, 3]
    assert scores == pytest.approx([1 / 62 + 1 / 61, 1 / 62, 1 / 61 + 1 / 63])


def test_a_fusion_keeps_what_is_excluded_out() -> None:
    fused = Fused("both", _scored("up", [1, 2, 3, 4]), _scored("down", [4, 3, 2, 1]))
    rows = fused.search(REQUESTS, 4).rows
    assert {*rows[0, :2].tolist()} == {0, 3} and rows[0, 2:].tolist() == [2, -1]  # "b" excluded: a and d tie
    assert {*rows[1, :2].tolist()} == {0, 3} and {*rows[1, 2:].tolist()} == {1, 2}


def test_ties_favour_no_id() -> None:
    """Of a peer's scores, and of a fusion of two lists that are each other's reverse; asked again alike."""
    requests = [Request(f"r{number}", text="x") for number in range(400)]
    fused = Fused("both", _scored("up", [1, 2, 3, 4]), _scored("down", [4, 3, 2, 1]))
    for system, tied in ((_scored("same", [1, 1, 1, 1]), [0, 1, 2, 3]), (fused, [0, 3])):
        first = system.search(requests, 4).rows[:, 0]
        counts = np.bincount(first, minlength=4)
        assert counts[tied].min() > 0.7 * 400 / len(tied) and counts.sum() == counts[tied].sum()
        np.testing.assert_array_equal(system.search(requests[::-1], 4).rows[::-1, 0], first)


def test_a_recorded_ranking_answers_as_the_retriever_did(tmp_path: Path) -> None:
    index, new = _scored("peer", [1, 2, 3, -np.inf]), np.asarray([False, True, True, False])
    Recorded.of(index, REQUESTS, new).save(tmp_path)
    again = Recorded.load(tmp_path, "peer", ITEMS, REQUESTS)
    for among in (None, new):
        asked = list(reversed(REQUESTS))
        np.testing.assert_array_equal(again.search(asked, 3, among).rows, index.search(asked, 3, among).rows)


def test_a_failed_peer_leaves_nothing_in_the_cache_and_another_key_is_another_row(tmp_path: Path) -> None:
    cache, made = PeerCache(tmp_path), []

    def make(out: Path) -> None:
        made.append(out)
        (out / "row").write_text("whole")

    def fail(out: Path) -> None:
        (out / "row").write_text("half")
        raise KeyboardInterrupt

    keys = [
        key_of(("numpy",), (peer_cache,), "data", seed, rate=rate) for seed, rate in ((0, 1), (1, 1), (0, 2))
    ]
    with pytest.raises(KeyboardInterrupt):
        cache.made("peer", keys[0], fail)
    assert [cache.made("peer", key, make)[1] for key in keys] == [False] * 3
    assert [cache.made("peer", key, make)[1] for key in keys] == [True] * 3
    assert len(made) == 3
    assert keys[0]["versions"] == {"numpy": np.__version__}


def test_a_new_item_of_the_hybrid_has_its_words_and_no_id() -> None:
    """Items that nobody bought are no negatives: a new one is not pushed down."""
    rng = np.random.default_rng(0)
    bought = (rng.random((30, 6)) < 0.5).astype(np.float32)
    matrix = csr_array(np.hstack([bought, np.zeros((30, 1), dtype=np.float32)]))
    texts = [f"word{item}" for item in range(6)] + ["nothing like them"]
    found = hybrid.scores(matrix, texts, dimensions=4, epochs=3, seed=0)
    torch.manual_seed(0)
    untrained = hybrid.scores(matrix, texts, dimensions=4, epochs=0, seed=0)
    assert np.abs(found[:, -1]).max() < 10 * np.abs(untrained[:, -1]).max()
    assert found[:, -1].mean() > found[:, :-1].mean() - found.std(), "it is not pushed down"


def test_content_knn_scores_histories_as_validation_wants() -> None:
    """Nothing of it is set by hand, as nothing of ours is."""
    built = []

    class Index:
        def __init__(self, name: str, ids: object, vectors: object, encoder: object, scoring: str) -> None:
            self.scoring = scoring
            built.append((name, scoring))

    recalls = {"mean": 0.1, "top3": 0.2, "top10": 0.3}
    bench = SimpleNamespace(validation=SimpleNamespace(item_ids=[], texts=[]), item_ids=[], texts=[])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers_purchases, "ExactIndex", Index)
        patch.setattr(peers_purchases, "recall", lambda index, _: recalls[index.scoring])
        encoder = SimpleNamespace(encode_items=lambda texts: texts)
        patch.setattr(peers_purchases, "encoder_of", lambda *_: encoder)
        peers_purchases._content_knn(SimpleNamespace(bench=bench))
    assert built[-1] == ("content_knn", "top10")


def test_the_gain_is_paired_and_over_the_best_peer_in_new_item_recall() -> None:
    values = {"bm25": [0.0, 1.0, np.nan], "minilm": [0.0, 0.0, np.nan], "debut": [1.0, 1.0, np.nan]}
    systems = {name: dict.fromkeys(recall_table.MEASURES, np.asarray(row)) for name, row in values.items()}
    found = recall_table.compared(systems)
    assert found["best_peer"] == "bm25"
    assert found["systems"]["bm25"]["new_recall@10"] == {"value": 0.5, "ci95": [0.0, 1.0]}
    assert set(found["best_peer_by_measure"].values()) == {"bm25"}
    assert found["gain_over_best_peer_ci95"] == [0.0, 1.0]
    assert found["gains"]["bm25"]["all_recall@10"] == {"value": 0.5, "ci95": [0.0, 1.0]}
    assert found["gains"]["minilm"]["new_recall@10"] == {"value": 1.0, "ci95": [1.0, 1.0]}
    described = {
        "dataset": "shop",
        "requests": 3,
        "requests_with_new": 2,
        "commit": "",
        "command": "",
        "seeds": 1,
    }
    table = recall_table.markdown(found | described | {"notes": []}, {})
    assert "| minilm | +1.000 [1.000, 1.000] |" in table.split("| debut less |")[1]


def test_a_request_counts_with_its_mean_over_the_seeds() -> None:
    seeds = [dict.fromkeys(recall_table.MEASURES.values(), np.asarray([v, np.nan])) for v in (0.0, 0.5, 1.0)]
    np.testing.assert_array_equal(recall_table.seed_means(seeds)["all_recall@10"], [0.5, np.nan])


def test_bm25_answers_a_history_with_the_words_of_its_items() -> None:
    cut = [["oak", "table"], ["oak", "chair"], ["red", "mug"], ["red", "lamp"]]
    index = bm25("bm25", ITEMS, cut, False, 1.5, 0.75)
    request = Request("user", history=("a", "gone"), exclude=frozenset({"a"}))
    assert index.search([request], 4).rows[0].tolist() == [1, -1, -1, -1]
