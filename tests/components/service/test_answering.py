"""Each answer leaves one record in the traffic log: what was shown, and nothing of who asked what."""

import json
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pytest

from components.contract.serving import ExplorationSettings

CUTOFF = datetime(2020, 1, 1)
COLOURS, THINGS = ("red", "blue", "green"), ("chair", "lamp", "mug", "towel")
TITLES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]
CANARY, USER = "red lamp outdoor", "customer-4711@example.org"


@pytest.fixture(scope="module")
def digest(make_candidate: Callable[..., str]) -> str:
    """Twelve items, the last six of them new to the release."""
    day = timedelta(days=1)
    rows = [
        {"title": title, "listed_at": CUTOFF + (n - 6) * day, "brand": "Oak", "price": 2.0 + n}
        for n, title in enumerate(TITLES)
    ]
    return make_candidate(rows, cutoff=CUTOFF)


@pytest.fixture
def shop(digest: str, releases, service):
    releases.promote(digest)
    releases.histories[USER] = ["100", "101"]
    return service()


def test_every_answer_is_logged_under_its_id(shop, digest) -> None:
    """Search, recommendation and similar items: header, body and record have one request_id, and the record
    has the items and scores in the order that they were shown in."""
    params = {"q": "red lamp", "k": 4, "max_price": 9, "user_id": USER}
    answers = [
        shop.client.get("/search", params=params),
        shop.client.post("/recommend", json={"user_id": USER, "k": 3}),
        shop.client.get("/similar/105", params={"k": 2, "brand": "oak"}),
        shop.client.get("/search", params={"q": "red", "brand": "none"}),
    ]
    logged = shop.traffic()
    assert logged["entrance"].to_list() == ["search", "recommendation", "similar", "search"]
    assert logged["k"].to_list() == [4, 3, 2, 10]
    assert logged["zero_result"].to_list() == [False, False, False, True]
    for answer, record in zip(answers, logged.to_dicts(), strict=True):
        body = answer.json()
        assert record["request_id"] == body["request_id"] == answer.headers["X-Request-Id"]
        assert record["release"] == body["release"] == answer.headers["X-Debut-Release"] == digest
        assert record["item_ids"] == [hit["item_id"] for hit in body["results"]]
        assert record["scores"] == pytest.approx([hit["score"] for hit in body["results"]])
        assert record["latency_ms"] > 0
        assert record["exploration_positions"] == record["exploration_propensities"] == []
    assert [json.loads(filters) for filters in logged["filters"]] == [
        {"max_price": 9.0},
        {},
        {"brand": "oak"},
        {"brand": "none"},
    ]


def test_a_search_is_logged_with_what_monitoring_needs(shop) -> None:
    """Features of the query, its vector, a sealed text that the secret opens, and a pseudonym."""
    shop.client.get("/search", params={"q": CANARY, "user_id": USER})
    shop.client.post("/recommend", json={"user_id": USER})
    search, recommendation = shop.traffic().to_dicts()
    privacy, release = shop.parts.privacy, shop.serving.release()
    assert (search["query_characters"], search["query_words"]) == (len(CANARY), 3)
    assert search["language"] == "und"
    assert search["unknown_word_rate"] == 0
    assert privacy.open(search["query_sealed"]) == CANARY
    assert search["user"] == recommendation["user"] == privacy.pseudonym(USER)
    vector = release.index.encoder.encode_queries([CANARY])[0]
    np.testing.assert_allclose(search["query_vector"], vector, atol=1e-3)
    assert (recommendation["query_sealed"], recommendation["query_vector"]) == (None, None)


def test_vectors_are_logged_without_a_query_cache_too(digest, releases, service) -> None:
    """Each query's own, also of those that were answered together."""
    releases.promote(digest)
    shop = service(query_cache=0, socket=True)
    queries = [f"{colour} lamp" for colour in ("red", "blue", "green", "steel")] * 5
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda q: httpx.get(f"{shop.url}/search", params={"q": q}, timeout=30), queries))
    logged, encoder = shop.traffic(), shop.serving.release().index.encoder
    for sealed, vector in zip(logged["query_sealed"], logged["query_vector"], strict=True):
        expected = encoder.encode_queries([shop.parts.privacy.open(sealed)])[0]
        np.testing.assert_allclose(vector, expected, atol=1e-3)
    assert len(logged) == 20


def _everything_written(folder: Path, shop) -> str:
    """All text of all files below a folder: as bytes, and what the log's compressed columns hold."""
    raw = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    frames = [shop.traffic("requests"), shop.traffic("events")]
    assert all(len(frame) for frame in frames)
    return raw.decode("latin-1") + json.dumps([frame.to_dicts() for frame in frames], default=str)


@pytest.mark.parametrize("query_texts", ["encrypted", "dropped"])
def test_no_file_holds_a_query_or_a_user(
    digest, releases, service, tmp_path, caplog, query_texts: str
) -> None:
    """Neither the log nor any other file of the service, nor its messages; not a word of the query either."""
    releases.promote(digest)
    releases.histories[USER] = ["100"]
    shop = service(query_texts=query_texts)
    query = "xyzzyqueryword frobnicate"
    with caplog.at_level("DEBUG"):
        answer = shop.client.get("/search", params={"q": query, "user_id": USER}).json()
        shop.client.post("/recommend", json={"user_id": USER})
        shop.client.get("/explain", params={"q": query, "item_id": "100"})
        act = {"request_id": answer["request_id"], "kind": "view", "item_id": "100", "user_id": USER}
        shop.client.post("/events", json=act, headers=shop.keys["write"])
        shop.put({"item_id": "x", "title": "red mug"})
    written = _everything_written(tmp_path, shop)
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("components"))
    for secret in ("xyzzyqueryword", "frobnicate", USER, "customer-4711"):  # digits: in any digest
        assert secret not in written
        assert secret not in ours
    assert answer["request_id"] in written


def test_dropped_queries_leave_neither_text_nor_vector(digest, releases, service) -> None:
    """A vector tells much of its text; features and results stay."""
    releases.promote(digest)
    shop = service(query_texts="dropped")
    shop.client.get("/search", params={"q": CANARY})
    record = shop.traffic().to_dicts()[0]
    assert (record["query_sealed"], record["query_vector"]) == (None, None)
    assert (record["query_words"], len(record["item_ids"])) == (3, 10)


def test_refused_requests_leave_no_record(shop) -> None:
    """An answer that showed nothing is no traffic."""
    assert shop.client.get("/search", params={"q": " "}).status_code == 422
    assert shop.client.get("/similar/none").status_code == 404
    assert shop.client.post("/recommend", json={"user_id": "nobody"}).status_code == 404
    assert shop.traffic().is_empty()


def test_events_join_the_request_that_they_follow(shop) -> None:
    """By its id; one of a request that this replica did not answer is logged too, and said to be unknown."""
    answer = shop.client.get("/search", params={"q": "red lamp"}).json()
    acts = [
        {"request_id": answer["request_id"], "kind": "search_click", "item_id": "101", "user_id": USER},
        {"request_id": answer["request_id"], "kind": "purchase", "item_id": "101", "quantity": 2},
        {"request_id": "of another replica", "kind": "cart", "item_id": "102"},
    ]
    assert shop.client.post("/events", json=acts, headers=shop.keys["write"]).json() == {
        "logged": 3,
        "joined": 2,
    }
    assert shop.client.post("/events", json=acts[0], headers=shop.keys["write"]).json()["joined"] == 1
    events = shop.traffic("events")
    assert events["joined"].to_list() == [True, True, False, True]
    assert events["kind"].to_list() == ["search_click", "purchase", "cart", "search_click"]
    assert events["quantity"].to_list() == [None, 2, None, None]
    joined = events.join(shop.traffic(), on="request_id", how="inner")
    assert len(joined) == 3
    assert "101" in joined["item_ids"][0]
    assert events["user"][0] == shop.parts.privacy.pseudonym(USER)


def test_no_place_is_explored_by_default(shop) -> None:
    """No item is marked, and the log has neither position nor probability."""
    for title in TITLES:
        results = shop.client.get("/search", params={"q": title, "k": 5}).json()["results"]
        assert not any(hit["explored"] for hit in results)
    logged = shop.traffic()
    assert not any(logged["exploration_positions"].list.len())


@pytest.mark.parametrize("position", [None, 2])
def test_an_explored_item_is_marked_and_logged(digest, releases, service, position: int | None) -> None:
    """A new item from below the answer, at the configured place, with the probability of its draw; the
    others keep their order."""
    releases.promote(digest)
    plain = service()
    exploring = service(exploration=ExplorationSettings(share=1.0, position=position))
    drawn = 0
    for title in TITLES:
        params = {"q": title, "k": 4}
        usual, answer = plain.found(title, k=4), exploring.client.get("/search", params=params).json()
        whole = plain.client.get("/search", params={"q": title, "k": 100}).json()["results"]
        new_below = [hit["item_id"] for hit in whole[4:] if hit["new"]]
        marked = [n for n, hit in enumerate(answer["results"], start=1) if hit["explored"]]
        record = exploring.traffic().filter(request_id=answer["request_id"]).to_dicts()[0]
        assert marked == record["exploration_positions"] == [position or 4]
        assert record["exploration_propensities"] == [pytest.approx(1 / len(new_below))]
        item = answer["results"][marked[0] - 1]
        assert item["new"]
        assert item["item_id"] in new_below
        others = [hit["item_id"] for hit in answer["results"] if not hit["explored"]]
        assert others == usual[:3]
        drawn += 1
    assert drawn == len(TITLES)


def test_hits_say_what_is_new_and_how_old(shop) -> None:
    """Listed at or after the release's cut-off; times are in UTC and say so."""
    shop.put(
        {"item_id": "dated", "title": "oak angle", "listed_at": "2019-06-01T12:00:00+02:00"},
        {"item_id": "undated", "title": "oak bracket"},
        {"item_id": "future", "title": "oak drill", "listed_at": "2999-01-01"},
    )
    hits = {
        h["item_id"]: h for h in shop.client.get("/search", params={"q": "oak", "k": 100}).json()["results"]
    }
    assert {item_id for item_id, hit in hits.items() if hit["new"]} == {
        *(str(106 + n) for n in range(6)),
        "undated",
        "future",
    }
    assert hits["dated"]["listed_at"] == "2019-06-01T10:00:00Z"
    assert (hits["undated"]["listed_at"], hits["undated"]["age_days"]) == (None, None)
    assert hits["future"]["age_days"] == 0
    assert hits["100"]["age_days"] > 0
    assert all(hit["age_days"] in (None, round(hit["age_days"] or 0, 1)) for hit in hits.values())
    assert all(math.isfinite(hit["score"]) for hit in hits.values())


def test_request_ids_are_our_own(shop) -> None:
    """A client's header does not choose them: it would choose what is explored, and could forge joins."""
    answer = shop.client.get("/search", params={"q": "red"}, headers={"X-Request-Id": "mine"})
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-Id"])
    assert answer.headers.get_list("X-Request-Id") == [answer.json()["request_id"]]
