"""User profiles over HTTP."""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.records import RetrievalPlan
from components.profiles.behaviour import Behaviour

ROWS = [
    {"title": f"{colour} {thing}", "brand": brand, "category": thing, "price": price}
    for colour, brand in (("red", "acme"), ("blue", "zen"), ("green", "kiln"))
    for thing, price in (("chair", 90.0), ("lamp", 30.0), ("mug", 8.0))
]


@pytest.fixture(scope="module")
def shop(
    make_candidate: Callable[..., str], make_releases: Any, running_service: Any, tmp_path_factory: Any
) -> Iterator[Any]:
    releases = make_releases()
    releases.promote(make_candidate(ROWS, RetrievalPlan(inference="onnx-int8", history_scoring="top3")))
    items = pl.DataFrame([{"item_id": str(100 + n), **row} for n, row in enumerate(ROWS)])
    acts = [("ann/1", "100"), ("ann/1", "101"), ("bob", "104"), ("bob", "105"), ("cy", "gone")]
    events = pl.DataFrame(acts, schema=["user_id", "item_id"], orient="row")
    releases.known = Behaviour.of(
        events.with_columns(at=datetime(2026, 1, 1), kind=pl.lit("purchase")), items
    )
    with running_service(releases, tmp_path_factory.mktemp("serving")) as running:
        running.releases = releases
        yield running


def test_a_profile_is_read_by_user_id(shop: Any) -> None:
    """Tastes, activity, brands that the user has not, and the vector that the release makes; ids may hold
    slashes."""
    answer = shop.client.get("/profile/ann/1")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["release"] == shop.releases.champion() and body["history_scoring"] == "top3"
    assert body["activity"]["purchases"] == 2
    assert [(one["label"], one["items"]) for one in body["tastes"]["brands"]] == [("acme", 2)]
    assert {one["brand"] for one in body["recommended_brands"]} == {"zen", "kiln"}
    index = shop.serving.release().index
    both = np.stack([index.vector(index.row(item)) for item in ("100", "101")]).mean(axis=0)
    assert body["vector"] == pytest.approx((both / np.linalg.norm(both)).tolist(), abs=1e-5)
    assert shop.client.get("/profile/bob").json()["vector"] != body["vector"]


def test_brands_come_from_what_is_recommended(shop: Any) -> None:
    """The first item of /recommend, of a brand that is not the user's; a brand that was PUT now comes too."""
    body = {"history": ["100", "101"], "k": 100}
    hits = shop.client.post("/recommend", json=body).json()["results"]
    first = next(hit for hit in hits if hit["brand"] != "acme")
    brands = {one["brand"]: one for one in shop.client.get("/profile/ann/1").json()["recommended_brands"]}
    assert brands[first["brand"]]["item_id"] == first["item_id"]
    shop.put({"item_id": "fresh", "title": "red chair", "brand": "newest"})
    found = shop.client.get("/profile/ann/1").json()["recommended_brands"]
    assert found[0]["brand"] == "newest"


def test_a_user_whose_items_are_gone_has_no_vector(shop: Any) -> None:
    """The acts are known all the same."""
    body = shop.client.get("/profile/cy").json()
    assert body["vector"] is None and body["recommended_brands"] == []
    assert body["activity"]["acts"] == 1 and body["tastes"]["brands"] == []


def test_what_cannot_be_answered_is_a_problem(shop: Any) -> None:
    """A stranger, a parameter that there is none of, an id that is too long; the detail repeats no id."""
    for path, status in (("/profile/nobody", 404), ("/profile/bob?k=3", 422), (f"/profile/{'x' * 201}", 422)):
        answer = shop.client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert "nobody" not in answer.json()["detail"]
    known, shop.releases.known = shop.releases.known, None
    assert shop.client.get("/profile/bob").status_code == 404
    shop.releases.known = known


def test_a_profile_needs_the_role_read(make_releases: Any, service: Any) -> None:
    """As a search does."""
    running = service(anonymous_read=False)
    assert running.client.get("/profile/bob").status_code == 401
    assert running.client.get("/profile/bob", headers=running.keys["read"]).status_code == 503


def test_no_log_names_who_was_asked_about(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the service's own lines nor the traffic log nor the metrics."""
    with caplog.at_level(logging.DEBUG):
        for user in ("bob", "somebody-else"):
            shop.client.get(f"/profile/{user}")
    ours = [line for line in caplog.records if line.name.startswith("components")]
    assert not any("bob" in line.getMessage() or "somebody-else" in line.getMessage() for line in ours)
    traffic = shop.traffic()
    assert "profile" not in set(traffic.get_column("entrance")) if len(traffic) else True
    assert "somebody-else" not in shop.client.get("/metrics").text
