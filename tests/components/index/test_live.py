"""The live index without changes: it ranks as the exact index does, and adds the lexical scores."""

import math

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.errors import EncoderError
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index import exact as exact_index
from components.index import histories, live
from components.index.analysis import Analyzer
from components.index.columns import Filters
from components.index.exact import ExactIndex
from components.index.lexical import K1, B, LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot

SCORINGS = ("mean", "top3", "top10", "centred_top10")
WORDS = ("oak", "pine", "chair", "table", "lamp", "red", "blue", "steel", "the", "for")


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def ids_of(count: int) -> list[str]:
    return [f"i{number:05d}" for number in range(count)]


def titles_of(count: int, rng: np.random.Generator) -> list[str]:
    return [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(count)]


def rows_of(titles: list[str]) -> list[dict]:
    return [{"item_id": i, "title": title} for i, title in zip(ids_of(len(titles)), titles, strict=True)]


@pytest.fixture(scope="session")
def build(lookup_encoder, make_snapshot):
    """The same random items as a live and as an exact index; the second half repeats the first's vectors."""

    def make(items=40, requests=7, seed=0, scoring="mean", dimensions=16, clusters=None, **plan):
        rng = np.random.default_rng(seed)
        centres = unit(rng.standard_normal((clusters or items, dimensions)))
        near = centres[rng.integers(0, len(centres), items)]
        vectors = unit(near + 0.3 * unit(rng.standard_normal((items, dimensions))))
        vectors[items // 2 :] = vectors[: items - items // 2]
        asked = unit(
            vectors[rng.integers(0, items, requests)]
            + 0.3 * unit(rng.standard_normal((requests, dimensions)))
        )
        titles = titles_of(items, rng)
        encoder = lookup_encoder({f"oak q{n}": vector for n, vector in enumerate(asked)})
        snapshot = make_snapshot(rows_of(titles), vectors)
        index = LiveIndex(
            "live", snapshot, encoder, RetrievalPlan(history_scoring=scoring, **plan), ("title",)
        )
        exact = ExactIndex("exact", ids_of(items), vectors, encoder, scoring)
        queries = [Request(f"q{n}", text=f"oak q{n}") for n in range(requests)]
        users = [
            Request(f"u{n}", history=tuple(rng.choice([*ids_of(items), "gone"], rng.integers(1, 25))))
            for n in range(requests)
        ]
        return index, exact, [*queries, *users]

    return make


@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 50),
    scoring=st.sampled_from(SCORINGS),
    masked=st.booleans(),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_without_changes_it_ranks_as_the_exact_index(build, seed, k, scoring, masked, data):
    """Queries and all history scorings, any mask, any exclusions, k above the candidates, ties everywhere."""
    index, exact, requests = build(seed=seed, scoring=scoring, requests=4)
    among = np.array(data.draw(st.lists(st.booleans(), min_size=40, max_size=40))) if masked else None
    excluded = data.draw(st.frozensets(st.sampled_from([*exact.item_ids, "unknown"]), max_size=5))
    asked = [Request(r.request_id, r.text, r.history, excluded) for r in requests]
    ours, theirs = index.search(asked, k, among), exact.search(asked, k, among)
    assert ours.rows.tolist() == theirs.rows.tolist()
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_exact_index_leaves_out_the_same_past_items(build, monkeypatch, scoring):
    """Of a past that is longer than what items are compared with."""
    monkeypatch.setattr(histories, "NEWEST", 3)
    monkeypatch.setattr(exact_index, "NEWEST", 3)
    index, exact, requests = build(seed=1, scoring=scoring)
    assert max(len(request.history) for request in requests) > 6
    assert index.search(requests, 10).rows.tolist() == exact.search(requests, 10).rows.tolist()


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_scan_of_a_larger_catalogue_proposes_what_the_exact_one_ranks(build, scoring):
    """4,000 items in 80 groups of near neighbours: of ten places none differs, queries and users alike."""
    index, exact, requests = build(
        items=4_000, requests=15, scoring=scoring, dimensions=64, clusters=80, seed=3
    )
    assert index.search(requests, 10).rows.tolist() == exact.search(requests, 10).rows.tolist()


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_ranking_does_not_depend_on_the_batch(build, monkeypatch, scoring):
    """All requests together, in blocks of one, and each alone give the same rows and scores to the last bit,
    with lexical scores added; there are more queries than a block holds."""
    index, _, requests = build(
        items=600, requests=70, scoring=scoring, dimensions=48, clusters=20, lexical_weight=0.3
    )
    together = index.search(requests, 30)
    alone = [index.search([request], 30) for request in requests]
    monkeypatch.setattr(live, "BATCH", 1)
    blocks = index.search(list(reversed(requests)), 30)
    for other in (
        np.concatenate([one.rows for one in alone]),
        blocks.rows[::-1],
    ):
        assert (together.rows == other).all()
    assert (together.scores == np.concatenate([one.scores for one in alone])).all()
    assert (together.scores == blocks.scores[::-1]).all()


def test_equal_vectors_come_in_id_order_also_where_they_fill_all_proposals(lookup_encoder, make_snapshot):
    """500 equal items, more than are proposed: the first ids, in their order."""
    snapshot = make_snapshot(rows_of(["oak"] * 500), np.tile([[0.6, 0.8]], (500, 1)))
    index = LiveIndex("x", snapshot, lookup_encoder({"q": [1.0, 0.0]}), RetrievalPlan(), ("title",))
    ranking = index.search([Request("q", text="q"), Request("u", history=("i00499",))], 120)
    assert (ranking.rows == np.arange(120)).all()
    assert (ranking.scores[0] == np.float32(0.6)).all()


def lexical_by_hand(titles: list[str], query: str) -> np.ndarray:
    """bm25s's scores over the sum of the query words' Lucene IDF, counted here."""
    words = Analyzer("english").words
    cut, asked = [words(title) for title in titles], words(query)
    peer = bm25s.BM25(k1=K1, b=B, method="lucene")
    peer.index(cut, show_progress=False)
    known = [word for word in asked if any(word in title for title in cut)]
    total = 0.0
    for word in asked:
        holding = max(1, sum(word in title for title in cut))
        total += math.log(1 + (len(titles) - holding + 0.5) / (holding + 0.5))
    return peer.get_scores(known) / total if known else np.zeros(len(titles))


@given(
    seed=st.integers(0, 10_000),
    weight=st.sampled_from([0.1, 0.5, 1.5]),
    query=st.lists(st.sampled_from([*WORDS, "unheard", "of"]), min_size=1, max_size=5).map(" ".join),
)
@settings(max_examples=60, deadline=None)
def test_a_lexical_weight_adds_normalised_bm25(word_encoder, make_snapshot, seed, weight, query):
    """cosine + weight · BM25 ÷ sum of IDF, for queries of known, unknown, repeated and stop words."""
    titles = titles_of(50, np.random.default_rng(seed))
    snapshot = make_snapshot(rows_of(titles), encoder=word_encoder)
    index = LiveIndex("x", snapshot, word_encoder, RetrievalPlan(lexical_weight=weight), ("title",))
    cosines = snapshot.vectors.astype(np.float64) @ word_encoder.encode_queries([query])[0].astype(np.float64)
    expected = cosines + weight * lexical_by_hand(titles, query)
    ranking = index.search([Request("q", text=query)], 50)
    np.testing.assert_allclose(ranking.scores[0], expected[ranking.rows[0]], atol=2e-6)
    rounded = ranking.scores[0]
    assert sorted(ranking.rows[0].tolist()) == list(range(50))
    assert all(
        left > right or (left == right and row < after)
        for left, right, row, after in zip(
            rounded, rounded[1:], ranking.rows[0], ranking.rows[0][1:], strict=False
        )
    )


def test_a_query_without_known_words_is_ranked_by_its_vector_alone(build):
    index, exact, requests = build(lexical_weight=1.5)
    stranger = index.encoder
    stranger.vectors["the zebra"] = stranger.vectors["oak q0"]
    asked = [Request("z", text="the zebra")]
    expected = exact.search(requests[:1], 5)
    assert index.search(asked, 5).rows.tolist() == expected.rows.tolist()


def test_a_history_takes_no_lexical_score(build):
    plain, _, requests = build()
    weighted, _, _ = build(lexical_weight=1.5)
    users = requests[7:]
    assert (plain.search(users, 10).scores == weighted.search(users, 10).scores).all()


def test_the_parts_of_a_score_add_up_to_it(build):
    """Cosine, lexical score and weight as the ranking used them."""
    index, _, requests = build(lexical_weight=0.7)
    ranking = index.search(requests[:1], 40)
    for row, score in zip(ranking.rows[0], ranking.scores[0], strict=True):
        parts = index.parts(requests[0].text, int(row))
        assert parts["score"] == pytest.approx(score, abs=1e-6)
        assert parts["score"] == pytest.approx(parts["cosine"] + 0.7 * parts["lexical"], abs=1e-6)
    assert max(index.parts(requests[0].text, row)["lexical"] for row in range(40)) > 0


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("request_", [Request("a"), Request("b", history=("gone",)), Request("c", text=" ")])
def test_a_request_that_says_nothing_gets_no_places(build, scoring, request_):
    index, _, requests = build(scoring=scoring)
    ranking = index.search([requests[0], request_, requests[-1]], 4)
    assert (ranking.rows[1] == -1).all()
    assert (ranking.scores[1] == -np.inf).all()
    assert (ranking.rows[[0, 2]] >= 0).all()


def test_each_request_can_have_its_own_mask(build):
    index, _, requests = build()
    even = np.arange(40) % 2 == 0
    ranking = index.search_each(requests[:3], 40, [even, None, ~even])
    for line, among in zip(ranking.rows, (even, np.ones(40, dtype=bool), ~even), strict=True):
        assert sorted(line[line >= 0].tolist()) == np.flatnonzero(among).tolist()


def test_no_requests_no_candidates_and_no_places(build):
    """An empty list of requests and a mask that allows nothing are no errors; k = 0 is one."""
    index, _, requests = build()
    assert index.search([], 5).rows.shape == (0, 5)
    assert (index.search(requests, 5, np.zeros(40, dtype=bool)).rows == -1).all()
    with pytest.raises(ValueError, match="at least 1"):
        index.search(requests, 0)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_the_exact_scan_finds_what_eight_bits_cannot_tell_apart(lookup_encoder, make_snapshot, scoring):
    """1,000 vectors that differ by less than a step of the codes, the best of them last: the fast scan
    proposes others, the exact one finds it, for a query and for a history."""
    angles = np.append(np.linspace(0, 0.001, 1_000), 1.2)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    snapshot = make_snapshot(rows_of(["oak"] * 1_001), vectors)
    encoder = lookup_encoder({"q": vectors[-1]})
    last = "i01000"
    requests = [
        Request("q", text="q", exclude=frozenset({last})),
        Request("u", history=(last,), exclude=frozenset({last})),
    ]
    plan = RetrievalPlan(history_scoring=scoring)
    fast = LiveIndex("fast", snapshot, encoder, plan, ("title",)).search(requests, 5)
    exact = LiveIndex("exact", snapshot, encoder, plan, ("title",), exact=True).search(requests, 5)
    reference = ExactIndex("reference", ids_of(1_001), snapshot.vectors, encoder, scoring)
    assert exact.rows.tolist() == reference.search(requests, 5).rows.tolist()
    assert exact.rows[:, 0].tolist() == [999, 999]
    assert 999 not in fast.rows


def test_what_an_index_tells_of_its_items(make_snapshot, word_encoder):
    """Number, rows, columns, vectors and filters by item."""
    rows = [{"item_id": "b", "title": "oak chair", "price": 5.0}, {"item_id": "a", "title": "lamp"}]
    index = LiveIndex(
        "x", make_snapshot(rows, encoder=word_encoder), word_encoder, RetrievalPlan(), ("title",)
    )
    assert (len(index), index.item_ids, index.row("b"), index.row("c")) == (2, ["a", "b"], 1, None)
    assert index.item(1)["title"] == "oak chair"
    assert (index.vector(1) == word_encoder.encode_items(["oak chair"])[0]).all()
    assert index.mask(Filters(max_price=5)).tolist() == [False, True]
    assert index.mask(Filters()) is None
    assert [index.in_snapshot(name) for name in ("a", "b", "aa", "", "c")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_parts_of_different_catalogues_are_refused(make_snapshot, lookup_encoder):
    snapshot = make_snapshot(rows_of(["oak", "pine"]), np.eye(2))
    for broken in (
        Snapshot(snapshot.items, snapshot.vectors[:1], snapshot.lexical),
        Snapshot(snapshot.items, snapshot.vectors, LexicalSnapshot.build(["oak"], "english")),
    ):
        with pytest.raises(ValueError, match="another catalogue"):
            LiveIndex("x", broken, lookup_encoder({}), RetrievalPlan(), ("title",))


def test_vectors_that_are_not_finite_are_refused(make_snapshot, lookup_encoder):
    """NaN weights give NaN vectors, of items and of queries: neither is ranked."""
    rows = rows_of(["oak", "pine"])
    with pytest.raises(EncoderError, match=r"item vectors, number 1.*damaged"):
        LiveIndex(
            "x", make_snapshot(rows, [[1, 0], [np.nan, 0]]), lookup_encoder({}), RetrievalPlan(), ("title",)
        )
    encoder = lookup_encoder({"q": [np.inf, 0.0]})
    index = LiveIndex("x", make_snapshot(rows, np.eye(2)), encoder, RetrievalPlan(), ("title",))
    with pytest.raises(EncoderError, match="queries, number 0"):
        index.search([Request("q", text="q")], 1)
