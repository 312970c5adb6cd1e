"""Search, recommendation, similar items and explanations, as a shop's own code calls them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import httpx
import numpy as np
import polars as pl
import pytest

from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index.live import LiveIndex
from components.index.retrieval import open_candidate

COLOURS, THINGS = ("red", "blue", "green"), ("chair", "lamp", "mug", "towel", "drill")
TITLES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
WEIGHT = 0.5


def _rows() -> list[dict]:
    start = datetime(2026, 1, 1)
    return [
        {
            "title": title,
            "price": float(n),
            "brand": COLOURS[n // 5].title(),
            "category": f"Home > {THINGS[n % 5]}",
            "listed_at": start + n * timedelta(days=1),
        }
        for n, title in enumerate(TITLES)
    ]


@pytest.fixture(scope="module")
def digest(make_candidate: Callable[..., str]) -> str:
    plan = RetrievalPlan(lexical_weight=WEIGHT, history_scoring="top3", co_purchase_weight=1.0)
    pairs = [(f"u{user}", str(100 + item)) for user in range(9) for item in (user, 7, (5 * user) % 13)]
    bought = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    purchases = bought.with_columns(at=pl.datetime(2026, 1, 1))
    return make_candidate(_rows(), plan, purchases=purchases)


@pytest.fixture(scope="module")
def shop(digest: str, make_releases, running_service, tmp_path_factory):
    releases = make_releases()
    releases.promote(digest)
    releases.histories = {"ann": ["100", "107"], "bob": ["gone", "103"]}
    with running_service(releases, tmp_path_factory.mktemp("serving")) as running:
        yield running


def _ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["item_id"] for hit in answer.json()["results"]]


def test_answers_are_the_release_s_own_ranking(shop, digest, candidates) -> None:
    """Items and scores are those of the candidate as the judge opens it, whatever k is."""
    index = open_candidate(candidates / digest, "judge")
    for k in (1, 7, 15, 100):
        ranking = index.search([Request(title, text=title) for title in TITLES], k)
        for n, title in enumerate(TITLES):
            results = shop.client.get("/search", params={"q": title, "k": k}).json()["results"]
            rows = [row for row in ranking.rows[n] if row >= 0]
            assert [hit["item_id"] for hit in results] == [index.item_ids[row] for row in rows]
            np.testing.assert_array_equal(
                np.float32([hit["score"] for hit in results]), ranking.scores[n, : len(rows)]
            )


def test_every_answer_names_the_release_that_gave_it(shop, digest) -> None:
    """In its body and in its header, at each entrance."""
    answers = [
        shop.client.get("/search", params={"q": "red"}),
        shop.client.post("/recommend", json={"history": ["100"]}),
        shop.client.get("/similar/100"),
        shop.client.get("/explain", params={"q": "red", "item_id": "100"}),
    ]
    assert [answer.json()["release"] for answer in answers] == [digest] * 4
    assert [answer.headers["X-Debut-Release"] for answer in answers] == [digest] * 4


def test_hits_hold_what_a_shop_shows(shop) -> None:
    """Title, brand, category, price, date and stock; ten items unless asked otherwise."""
    answer = shop.client.get("/search", params={"q": "blue mug"}).json()
    assert len(answer["results"]) == 10
    first = answer["results"][0]
    assert {name: first[name] for name in ("item_id", "title", "brand", "category", "price")} == {
        "item_id": "107",
        "title": "blue mug",
        "brand": "Blue",
        "category": "Home > mug",
        "price": 7.0,
    }
    assert (first["listed_at"], first["in_stock"], first["explored"]) == ("2026-01-08T00:00:00Z", True, False)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"brand": "bLuE"}, range(5, 10)),
        ({"category": "home > MUG"}, (2, 7, 12)),
        ({"category": "Home"}, range(15)),
        ({"min_price": 4, "max_price": 6}, (4, 5, 6)),
        ({"listed_from": "2026-01-14T00:00:00Z"}, (13, 14)),
        ({"listed_from": "2026-01-14T01:00:00+01:00", "listed_before": "2026-01-15"}, (13,)),
        ({"in_stock": True, "brand": "red", "max_price": 1}, (0, 1)),
    ],
    ids=str,
)
def test_filters_hold_at_every_entrance(shop, params: dict, expected) -> None:
    """The same items pass in a search, among similar items and in a recommendation."""
    wanted = {str(100 + n) for n in expected}
    assert set(_ids(shop.client.get("/search", params={"q": "red", "k": 100, **params}))) == wanted
    assert set(_ids(shop.client.get("/similar/100", params={"k": 100, **params}))) == wanted - {"100"}
    body = {"history": ["100"], "k": 100, "filters": params, "exclude_history": False}
    assert set(_ids(shop.client.post("/recommend", json=body))) == wanted


def test_recommendations_leave_out_what_the_user_has(shop) -> None:
    """Unless told otherwise; a user's own history and a sent one are the same, and items that are gone count
    for nothing."""
    by_user = shop.client.post("/recommend", json={"user_id": "ann", "k": 100})
    assert set(_ids(by_user)) == {str(100 + n) for n in range(15)} - {"100", "107"}
    by_items = shop.client.post("/recommend", json={"history": ["100", "107"], "k": 100})
    assert _ids(by_items) == _ids(by_user)
    with_own = shop.client.post("/recommend", json={"user_id": "ann", "k": 100, "exclude_history": False})
    assert len(_ids(with_own)) == 15
    assert len(_ids(shop.client.post("/recommend", json={"user_id": "bob", "k": 100}))) == 14
    both = shop.client.post("/recommend", json={"user_id": "ann", "history": ["103"], "k": 100})
    assert "100" in _ids(both), "the history that was sent counts alone"


def test_similar_items_are_the_nearest_ones_without_the_item(shop, digest, candidates) -> None:
    """By their texts, not by who bought what, as a recommendation is; ids with slashes and spaces are ids."""
    index, one = open_candidate(candidates / digest, "judge"), frozenset({"107"})
    expected = [
        [index.item_ids[row] for row in index.search([request], 14).rows[0]]
        for request in (
            Request("x", history=("107",), exclude=one, by_text=True),
            Request("x", history=("107",), exclude=one),
        )
    ]
    similar = _ids(shop.client.get("/similar/107", params={"k": 100}))
    recommended = _ids(shop.client.post("/recommend", json={"history": ["107"], "k": 100}))
    assert [similar, recommended] == expected
    assert similar != recommended
    assert "107" not in similar
    for item_id in ("a/b", "a b/c?d", "."):
        shop.put({"item_id": item_id, "title": "blue mug"})
        path = "/similar/" + "".join(f"%{byte:02X}" for byte in item_id.encode())
        assert _ids(shop.client.get(path, params={"k": 1})) == ["107"]
        shop.delete(item_id)


def test_debug_shows_how_each_score_came_about(shop) -> None:
    """Plan, filters, and per hit the parts, which add up to its score."""
    params = {"q": "green lamp", "k": 6, "debug": True, "max_price": 13}
    answer = shop.client.get("/search", params=params).json()
    debug = answer["debug"]
    assert debug["plan"] == {
        "history_scoring": "top3",
        "history_encoder_epochs": 0,
        "inference": "torch",
        "lexical_weight": WEIGHT,
        "grams_share": 0.0,
        "co_purchase_weight": 1.0,
        "co_purchases": "ease",
        "implied_weights": {},
        "synonym_share": 0.0,
        "rankers": [],
    }
    assert (debug["implied"], debug["synonyms"]) == ([], [])
    assert debug["filters"] == {"max_price": 13.0}
    assert list(debug["parts"]) == [hit["item_id"] for hit in answer["results"]]
    for hit in answer["results"]:
        parts = debug["parts"][hit["item_id"]]
        assert parts["cosine"] + WEIGHT * parts["lexical"] == pytest.approx(hit["score"], abs=1e-5)
    assert shop.client.get("/search", params={"q": "green lamp"}).json()["debug"] is None


def test_an_explanation_adds_up(shop) -> None:
    """Parts to the score of the search, the words' shares to the cosine (less what no word is the cause of),
    and the place is the item's place."""
    results = shop.client.get("/search", params={"q": "green lamp", "k": 100}).json()["results"]
    for place in (1, 2, 8):
        hit = results[place - 1]
        why = shop.client.get("/explain", params={"q": "green lamp", "item_id": hit["item_id"]}).json()
        assert (why["place"], why["title"], why["item_id"]) == (place, hit["title"], hit["item_id"])
        parts = why["parts"]
        assert parts["score"] == pytest.approx(parts["cosine"] + WEIGHT * parts["lexical"])
        assert parts["score"] == pytest.approx(hit["score"], abs=1e-5)
        assert [word for word, _ in why["query_words"]] == ["green", "lamp"]
        assert [word for word, _ in why["item_words"]] == hit["title"].split()
        assert why["completeness"] < 0.02
    assert [word for word, share in why["query_words"] if share != 0]


def test_the_words_shares_are_the_encoder_s(shop, digest, candidates) -> None:
    """The same as of the attribution itself, over the release's fp32 encoder."""
    from components.encoder.attribution import explain_match
    from components.encoder.transformer import TransformerEncoder

    encoder = TransformerEncoder.load_saved(candidates / digest / "encoder")
    match = explain_match(encoder, "green lamp", "green mug")
    why = shop.client.get("/explain", params={"q": "green lamp", "item_id": "112"}).json()
    assert dict(why["query_words"]) == pytest.approx(dict(match.query))
    assert dict(why["item_words"]) == pytest.approx(dict(match.item))
    whole = match.query_baseline + match.query_rest + sum(share for _, share in why["query_words"])
    assert whole == pytest.approx(why["parts"]["cosine"], abs=why["completeness"] + 1e-5)


def test_an_explanation_says_what_a_filter_does(shop) -> None:
    """Whether the item passes, and its place among those that do."""
    asked = {"q": "green lamp", "item_id": "111"}
    inside = shop.client.get("/explain", params={**asked, "brand": "green", "min_price": 11}).json()
    assert (inside["passes_filters"], inside["place"]) == (True, 1)
    assert inside["filters"] == {"brand": "green", "min_price": 11.0}
    outside = shop.client.get("/explain", params={**asked, "brand": "red"}).json()
    assert (outside["passes_filters"], outside["place"]) == (False, None)
    shop.put({"item_id": "sold", "title": "green lamp", "in_stock": False, "category": "Home > lamp"})
    sold = {"q": "green lamp", "item_id": "sold"}
    for params, passes in (({"in_stock": True}, False), ({"in_stock": False, "category": "home"}, True)):
        assert shop.client.get("/explain", params={**sold, **params}).json()["passes_filters"] is passes
    assert shop.client.get("/explain", params={**asked, "in_stock": True}).json()["passes_filters"] is True
    shop.delete("sold")


def test_the_index_is_used_in_its_own_thread_alone(digest, releases, service, monkeypatch) -> None:
    """Every route that ranks, filters, explains or changes: elsewhere its columns could grow in between."""
    releases.promote(digest)
    shop = service()
    threads: dict[str, set[str]] = {"mask": set(), "search_each": set(), "parts": set(), "apply": set()}

    def noted(name: str) -> Callable:
        real = getattr(LiveIndex, name)

        def act(*arguments):
            threads[name].add(threading.current_thread().name)
            return real(*arguments)

        return act

    for name in threads:
        monkeypatch.setattr(LiveIndex, name, noted(name))
    filters = {"brand": "red", "category": "home"}
    shop.put({"item_id": "x", "title": "oak"})
    shop.client.get("/search", params={"q": "red", "debug": True, **filters})
    shop.client.get("/similar/100", params=filters)
    shop.client.post("/recommend", json={"history": ["100"], "filters": filters})
    shop.client.get("/explain", params={"q": "red", "item_id": "100", **filters})
    shop.delete("x")
    assert set().union(*threads.values()) == {"index"}
    assert all(threads.values()), "each of them was called"


def test_the_fp32_encoder_is_loaded_once(digest, releases, service, monkeypatch) -> None:
    """Also where several ask for their first explanation at the same time: it takes hundreds of megabytes."""
    from components.encoder.transformer import TransformerEncoder

    releases.promote(digest)
    shop = service(socket=True)
    loads, load = [], TransformerEncoder.load_saved

    def counted(folder):
        loads.append(folder)
        return load(folder)

    monkeypatch.setattr(TransformerEncoder, "load_saved", counted)
    with ThreadPoolExecutor(6) as pool:
        asked = [
            pool.submit(httpx.get, f"{shop.url}/explain", params={"q": "red", "item_id": "100"}, timeout=30)
            for _ in range(6)
        ]
        assert {one.result().status_code for one in asked} == {200}
    assert len(loads) == 1


@pytest.mark.parametrize("size", [0, 3, 1_000])
def test_remembered_queries_change_no_answer(digest, releases, service, size: int) -> None:
    """With the query cache off, too small, or large: the same results, asked once or three times."""
    releases.promote(digest)
    shop = service(query_cache=size)
    rounds = [
        [shop.client.get("/search", params={"q": title, "k": 5}).json()["results"] for title in TITLES]
        for _ in range(3)
    ]
    for results in rounds:
        for hit in (hit for answer in results for hit in answer):
            hit.pop("age_days")
    assert rounds[0] == rounds[1] == rounds[2]
    cache = shop.serving.release().cache
    assert cache.hits == (2 * len(TITLES) if size == 1_000 else 0)
    assert sum(cache._vectors.get(title) is not None for title in TITLES) == min(size, len(TITLES))


def test_concurrent_searches_share_a_batch_and_get_their_own_answers(
    digest, releases, service, until
) -> None:
    """While the encoder is busy the next queries gather."""
    releases.promote(digest)
    shop = service(socket=True, query_cache=0)
    go = threading.Event()
    shop.serving.run(lambda: go.wait(60))

    def search(n: int) -> list[str]:
        params = {"q": TITLES[n % 15], "k": 1 + n // 15}
        return _ids(httpx.get(f"{shop.url}/search", params=params, timeout=30))

    with ThreadPoolExecutor(30) as pool:
        asked = [pool.submit(search, n) for n in range(30)]
        until(lambda: shop.serving._thread._jobs.qsize() == 30, 60)
        go.set()
        answers = [one.result() for one in asked]
    assert [answer[0] for answer in answers] == [str(100 + n % 15) for n in range(30)]
    assert [len(answer) for answer in answers] == [1 + n // 15 for n in range(30)]
    metrics = dict(
        line.rsplit(" ", 1) for line in shop.client.get("/metrics").text.splitlines() if line[0] != "#"
    )
    assert float(metrics["debut_batch_size_sum"]) == 30
    assert float(metrics["debut_batch_size_count"]) == 1


def test_a_failing_encode_fails_only_the_requests_of_its_batch(digest, releases, service, caplog) -> None:
    """500 with the request's id and nothing of the cause, which is in the log; the next one is answered."""
    releases.promote(digest)
    shop = service()
    encoder = shop.serving.release().cache._encoder
    real = encoder.encode_queries

    def broken(texts):
        raise MemoryError("no memory for xyzzy")

    encoder.encode_queries = broken
    answer = shop.client.get("/search", params={"q": "red chair"})
    encoder.encode_queries = real
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert "xyzzy" not in answer.text
    logged = [record for record in caplog.records if answer.json()["request_id"] in record.getMessage()]
    assert [record.exc_info[0] for record in logged] == [MemoryError]
    assert shop.found("red chair", k=1) == ["100"]
    assert 'debut_requests_total{route="/search",status="500"} 1.0' in shop.client.get("/metrics").text
