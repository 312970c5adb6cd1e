"""Health, metrics and what the service says of its release."""

import math
from collections.abc import Callable
from datetime import datetime

import pytest
from pydantic import ValidationError

from components.contract.serving import ServingSettings

TITLES = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("chair", "lamp", "mug")]


@pytest.fixture
def digest(make_candidate: Callable[..., str], releases) -> str:
    made = make_candidate(TITLES, cutoff=datetime(2026, 3, 1))
    releases.promote(made)
    return made


def test_the_release_says_what_serves_and_since_when(digest, releases, service) -> None:
    """Its D, cut-off and plan, how many items can be found, what the judge measured, and the decisions."""
    releases.measured[digest] = {"challenger": {"new/recall@10": 0.5}, "bounds": {"p95_latency_ms": 9.0}}
    shop = service()
    shop.put({"item_id": "x", "title": "oak"})
    answer = shop.client.get("/release").json()
    assert answer["release"] == digest
    assert (answer["items"], answer["cutoff"]) == (len(TITLES) + 1, "2026-03-01T00:00:00Z")
    assert answer["plan"]["inference"] == "torch"
    assert answer["figures"]["challenger"] == {"new/recall@10": 0.5}
    since = releases.decisions[0].at
    assert datetime.fromisoformat(answer["since"]) == since
    assert [decision["release"] for decision in answer["history"]] == [digest]


def test_the_history_is_cut_to_the_newest_decisions(digest, releases, service) -> None:
    """Fifty of them, the newest first."""
    for _ in range(60):
        releases.promote(digest)
    numbers = [one["number"] for one in service().client.get("/release").json()["history"]]
    assert numbers == list(range(61, 11, -1))


def test_while_another_release_is_champion_nothing_is_said_of_since(
    digest, releases, service, make_candidate, until
) -> None:
    """It serves although the log names another one, which cannot be loaded."""
    shop = service()
    releases.promote("0" * 64)
    until(lambda: shop.client.get("/healthz").json()["status"] == "degraded")
    answer = shop.client.get("/release").json()
    assert (answer["release"], answer["since"]) == (digest, None)
    assert answer["history"][0]["release"] == "0" * 64


def test_figures_that_json_cannot_hold_read_null(digest, releases, service) -> None:
    """A judge that had nothing to measure leaves NaN."""
    releases.measured[digest] = {"bounds": {"typo_recall_loss": math.nan, "ratio": math.inf}}
    answer = service().client.get("/release")
    assert answer.status_code == 200
    assert answer.json()["figures"] == {"bounds": {"typo_recall_loss": None, "ratio": None}}


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/items"), ("POST", "/items/delete"), ("POST", "/events")]
)
def test_a_bulk_far_too_long_is_one_error(digest, service, method: str, path: str) -> None:
    """Its members are not looked at: each of them would be an error, or two."""
    shop = service()
    answer = shop.client.request(method, path, json=[{}] * 100_000, headers=shop.keys["write"])
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error == {"loc": ["body"], "msg": "Send at most 10000 at a time"}


def test_no_setting_lets_a_bulk_be_longer() -> None:
    """The bodies' own limit would refuse what it promised."""
    with pytest.raises(ValidationError, match="less than or equal to 10000"):
        ServingSettings(max_bulk_items=10_001)


def test_probes_need_no_key(digest, service) -> None:
    """Neither does the scraper; everything else does where anonymous reading is off."""
    shop = service(anonymous_read=False)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert shop.client.get(path).status_code == 200
    health = shop.client.get("/readyz").json()
    assert health == {"status": "ok", "release": digest, "problem": None}


def test_metrics_count_what_happened(digest, service) -> None:
    """Requests by route and status, batches, items, changes, swaps, the release, dropped records; no path and
    no query is a label."""
    shop = service()
    for _ in range(3):
        shop.client.get("/search", params={"q": "red"})
    shop.client.get("/search", params={"q": ""})
    shop.client.get("/similar/100")
    shop.client.get("/similar/xyzzy")
    shop.client.get("/xyzzy")
    shop.put({"item_id": "x", "title": "oak"}, {"item_id": "y", "title": "oak"})
    shop.delete("y")
    shop.client.get("/search", params={"q": "red"}, headers={"Authorization": "Bearer debut_wrong"})
    text = shop.client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    for line in (
        'debut_requests_total{route="/search",status="200"} 3.0',
        'debut_requests_total{route="/search",status="422"} 1.0',
        'debut_requests_total{route="/search",status="401"} 1.0',
        'debut_requests_total{route="/similar/{item_id}",status="200"} 1.0',
        'debut_requests_total{route="/similar/{item_id}",status="404"} 1.0',
        'debut_requests_total{route="none",status="404"} 1.0',
        'debut_requests_total{route="/items",status="200"} 2.0',
        'debut_request_seconds_count{route="/search"} 5.0',
        "debut_batch_size_sum 4.0",
        "debut_changes_applied_total 3.0",
        f"debut_index_items {len(TITLES) + 1}.0",
        "debut_swaps_total 1.0",
        f'debut_release_info{{digest="{digest}"}} 1.0',
        "debut_traffic_dropped_total 0.0",
    ):
        assert line in text.text.splitlines()
    assert "xyzzy" not in text.text
