"""The exact index against a slow reference, and its edge cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.errors import EncoderError
from components.contract.ports import Request
from components.index import exact
from components.index.exact import ExactIndex


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ids_of(count: int) -> list[str]:
    return [f"i{number:05d}" for number in range(count)]


@pytest.fixture(scope="session")
def build(lookup_encoder):
    """An index of random vectors with duplicates, its requests' vectors, and the vectors themselves."""

    def make(items=40, requests=7, seed=0, history_scoring="mean", dimensions=16):
        rng = np.random.default_rng(seed)
        vectors = unit(rng.standard_normal((items, dimensions)))
        vectors[items // 2 :] = vectors[: items - items // 2]  # every item twice: ties everywhere
        queries = {
            f"q{number}": row for number, row in enumerate(unit(rng.standard_normal((requests, dimensions))))
        }
        index = ExactIndex("exact", ids_of(items), vectors, lookup_encoder(queries), history_scoring)
        return index, [Request(name, text=name) for name in queries], vectors, queries

    return make


def reference(scores: np.ndarray, k: int, allowed: np.ndarray) -> list[int]:
    rows = [row for row in range(len(scores)) if allowed[row]]
    best = sorted(rows, key=lambda row: (-scores[row], row))[:k]
    return best + [-1] * (k - len(best))


def cosines(vector: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    return (vectors.astype(np.float64) @ np.asarray(vector, dtype=np.float64)).astype(np.float32)


@given(seed=st.integers(0, 10_000), k=st.integers(1, 50), masked=st.booleans(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_agrees_with_brute_force(build, seed, k, masked, data):
    """Any mask, any exclusions, k above and below the number of candidates, ties everywhere."""
    index, requests, vectors, queries = build(seed=seed)
    among = np.array(data.draw(st.lists(st.booleans(), min_size=40, max_size=40))) if masked else None
    excluded = data.draw(st.frozensets(st.sampled_from([*index.item_ids, "unknown"]), max_size=5))
    asked = [Request(r.request_id, text=r.text, exclude=excluded) for r in requests]
    allowed = np.ones(40, dtype=bool) if among is None else among.copy()
    allowed[[index.item_ids.index(i) for i in excluded if i != "unknown"]] = False
    found = index.search(asked, k, among).rows
    for line, request in zip(found, asked, strict=True):
        assert line.tolist() == reference(cosines(queries[request.text], vectors), k, allowed)


def test_equal_vectors_tie_exactly_and_come_in_id_order(build):
    """Rows far apart with the same vector get the same score to the last bit, in every batch size."""
    index, requests, _, _ = build(items=5_000, requests=50, dimensions=96)
    ranking = index.search(requests, 20)
    assert (ranking.scores[:, 0::2] == ranking.scores[:, 1::2]).all()
    assert (ranking.rows[:, 1::2] - ranking.rows[:, 0::2] == 2_500).all()


def test_a_ranking_does_not_depend_on_the_batch(build, monkeypatch):
    """One request alone, all together, and in chunks of one give the same rows and scores."""
    index, requests, _, _ = build(items=3_000, requests=20, dimensions=64)
    together = index.search(requests, 30)
    alone = [index.search([request], 30) for request in requests]
    monkeypatch.setattr(exact, "CHUNK_BYTES", 1)
    chunked = index.search(requests, 30)
    assert (together.rows == np.concatenate([one.rows for one in alone])).all()
    assert (together.scores == np.concatenate([one.scores for one in alone])).all()
    assert (together.rows == chunked.rows).all()


def test_mean_history_is_the_cosine_to_the_normalised_mean(build):
    index, _, vectors, _ = build()
    mean = vectors[[3, 5, 11]].astype(np.float64).mean(axis=0)
    request = Request("u", history=(index.item_ids[11], index.item_ids[3], "gone", index.item_ids[5]))
    ranking = index.search([request], 10)
    scores = cosines(mean / np.linalg.norm(mean), vectors)
    assert ranking.rows[0].tolist() == reference(scores, 10, np.ones(40, dtype=bool))
    assert np.allclose(ranking.scores[0], scores[ranking.rows[0]], atol=1e-6)


@pytest.mark.parametrize("chunk_bytes", [1, 100_000, 256 * 2**20])
@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_top3_history_is_the_mean_of_the_three_largest_cosines(build, monkeypatch, length, chunk_bytes):
    """Short histories take what there is; blocks of any size give the same result as sorting."""
    monkeypatch.setattr(exact, "CHUNK_BYTES", chunk_bytes)
    index, _, vectors, _ = build(history_scoring="top3")
    rng = np.random.default_rng(length)
    pasts = [rng.choice(40, length, replace=False) for _ in range(5)]
    requests = [
        Request(str(n), history=tuple(index.item_ids[i] for i in rows)) for n, rows in enumerate(pasts)
    ]
    ranking = index.search(requests, 12)
    for line, rows in zip(ranking.rows, pasts, strict=True):
        similar = (vectors.astype(np.float64) @ vectors[rows].T.astype(np.float64)).astype(np.float32)
        best = np.sort(similar, axis=1)[:, ::-1][:, :3]
        total = best[:, 0].copy()
        for column in range(1, best.shape[1]):
            total += best[:, column]
        scores = total / np.float32(best.shape[1])
        assert line.tolist() == reference(scores, 12, np.ones(40, dtype=bool))


def test_centred_top10_history_scores_vectors_without_the_catalogues_mean(build):
    """The mean is the whole catalogue's, also where only some items may be ranked; queries see no change."""
    index, requests, vectors, queries = build(history_scoring="centred_top10")
    moved = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    past = np.random.default_rng(3).choice(40, 17, replace=False)
    best = np.sort(moved @ moved[past].T, axis=1)[:, -10:].mean(axis=1)
    among = np.arange(40) % 3 > 0
    ranking = index.search([Request("u", history=tuple(index.item_ids[row] for row in past))], 12, among)
    assert np.allclose(ranking.scores[0], np.sort(best[among])[::-1][:12], atol=1e-6)
    assert among[ranking.rows[0]].all()
    everything = np.ones(40, dtype=bool)
    expected = reference(cosines(queries[requests[0].text], vectors), 5, everything)
    assert index.search(requests[:1], 5).rows[0].tolist() == expected


def test_a_repeated_past_item_counts_once(build):
    """An item bought three times is not three similar items."""
    index, _, _, _ = build(history_scoring="top3")
    first, second = index.item_ids[1], index.item_ids[2]
    ranking = index.search([Request("u", history=(first, first, first, second))], 5)
    once = index.search([Request("u", history=(first, second))], 5)
    assert (ranking.rows == once.rows).all()


@pytest.mark.parametrize("scoring", ["mean", "top3", "centred_top10"])
def test_a_request_that_says_nothing_gets_no_places(build, scoring):
    """Neither text nor a known past item: all -1; its neighbours in the batch are ranked as ever."""
    index, requests, _, _ = build(history_scoring=scoring)
    silent = [Request("a"), Request("b", history=("gone",)), Request("c", text="  ")]
    ranking = index.search([silent[0], requests[0], *silent[1:]], 4)
    assert (ranking.rows[[0, 2, 3]] == -1).all()
    assert (ranking.scores[[0, 2, 3]] == -np.inf).all()
    assert (ranking.rows[1] == index.search([requests[0]], 4).rows[0]).all()


def test_text_is_used_where_a_request_has_both(build):
    index, requests, _, _ = build()
    both = Request("x", text=requests[0].text, history=(index.item_ids[3],))
    assert (index.search([both], 5).rows == index.search([requests[0]], 5).rows).all()


def test_no_requests_and_no_candidates(build):
    """An empty list of requests, and a mask that allows nothing, are no errors."""
    index, requests, _, _ = build()
    assert index.search([], 5).rows.shape == (0, 5)
    assert (index.search(requests, 5, np.zeros(40, dtype=bool)).rows == -1).all()


def test_damaged_item_vectors_are_refused(lookup_encoder):
    """NaN weights give NaN vectors; they must not be ranked."""
    vectors = np.full((2, 4), np.nan, dtype=np.float32)
    with pytest.raises(EncoderError, match=r"item vectors, number 0.*damaged"):
        ExactIndex("x", ["a", "b"], vectors, lookup_encoder({}))


def test_damaged_query_vectors_are_refused(lookup_encoder):
    index = ExactIndex("x", ["a"], np.eye(1, 2, dtype=np.float32), lookup_encoder({"q": [np.inf, 0.0]}))
    with pytest.raises(EncoderError, match="not finite"):
        index.search([Request("q", text="q")], 1)


def test_opposite_past_items_have_no_direction_and_rank_by_id(lookup_encoder):
    """The mean of opposite vectors is zero: every item scores 0 and the ids decide."""
    vectors = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    index = ExactIndex("x", ["a", "b", "c"], vectors, lookup_encoder({}))
    assert index.search([Request("u", history=("a", "b"))], 3).rows.tolist() == [[0, 1, 2]]


def test_vectors_must_fit_the_ids(lookup_encoder):
    with pytest.raises(ValueError, match="3 item_ids"):
        ExactIndex("x", ["a", "b", "c"], np.zeros((2, 4), dtype=np.float32), lookup_encoder({}))
