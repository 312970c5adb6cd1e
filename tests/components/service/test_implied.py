"""What a query implies, as the service ranks by it and shows it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.contract.knowledge import KnowledgeSettings
from components.contract.records import RetrievalPlan
from components.contract.task import Task
from components.index.retrieval import open_candidate
from components.release.candidate import load_manifest
from components.tasks.calibration import calibrated
from components.tasks.fit import fit_head

ITEMS: list[dict[str, Any]] = [
    {"title": f"{thing}", "brand": brand, "price": price, "category": f"Home > {thing}s"}
    for thing in ("chair", "lamp", "mug")
    for brand, price in (("Tresk", 10.0), ("Orvane", 90.0))
]
WISH = Task(
    name="query_brand",
    says="Brand that a query is after",
    rows="SELECT 1",
    text=("query",),
    head="classification",
    facet="brand",
)
KNOWN = KnowledgeSettings.model_validate(
    {"synonyms": [["mug", "beaker"]], "rules": [{"words": ["cheap"], "max_price": 20}]}
)
PLAN = RetrievalPlan(
    lexical_weight=0.2, synonym_share=1.0, implied_weights={"brand": 0.5, "category": 0.5, "price": 0.5}
)


@pytest.fixture(scope="module")
def digest(make_candidate: Callable[..., str], candidates: Path, tmp_path_factory: Any) -> str:
    plain = open_candidate(candidates / make_candidate(ITEMS), "plain")
    queries = ["noble", "noble chair", "noble lamp", "plain", "plain chair", "plain mug"]
    vectors = plain.encoder.encode_queries(queries)
    brands = ["Orvane"] * 3 + ["Tresk"] * 3
    folder = tmp_path_factory.mktemp("heads")
    calibrated(fit_head(WISH, vectors, brands), vectors, brands).save(folder / WISH.name)
    return make_candidate(ITEMS, PLAN, heads=folder, knowledge=KNOWN)


@pytest.fixture(scope="module")
def shop(digest: str, make_releases: Any, running_service: Any, tmp_path_factory: Any) -> Iterator[Any]:
    releases = make_releases()
    releases.promote(digest)
    with running_service(releases, tmp_path_factory.mktemp("serving")) as running:
        yield running


def asked(shop: Any, query: str) -> Any:
    answer = shop.client.get("/search", params={"q": query, "debug": True})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_debug_shows_what_is_implied_and_what_it_adds(shop: Any) -> None:
    """Learned, by the tree, by a rule and by a synonym, each with its probability and reason; and its share
    of every hit's score, which is the sum of its parts."""
    answer = asked(shop, "cheap noble beaker")
    told = {(one["facet"], one["source"], one["because"]): one for one in answer["debug"]["implied"]}
    assert told["price", "rule", "cheap"]["high"] == 20.0
    assert told["category", "synonym", "mug for beaker"]["value"] == "home > mugs"
    assert told["brand", "learned", "query_brand"]["value"] in ("orvane", "tresk")
    assert all(0 < one["probability"] <= 1 for one in told.values())
    assert answer["debug"]["synonyms"] == ["cheap noble mug"]
    for hit in answer["results"]:
        parts = answer["debug"]["parts"][hit["item_id"]]
        assert set(parts) >= {"implied brand", "implied category", "implied price"}
        implied = sum(value for name, value in parts.items() if name.startswith("implied "))
        total = parts["cosine"] + parts["lexical_weight"] * parts["lexical"] + implied
        assert parts["score"] == pytest.approx(total) == pytest.approx(hit["score"], abs=1e-5)


def test_the_page_that_says_why_adds_up(shop: Any) -> None:
    """Meaning, words and what the query implies, to the score."""
    hit = asked(shop, "cheap noble beaker")["results"][0]
    answer = shop.client.get("/why", params={"q": "cheap noble beaker", "item_id": hit["item_id"]})
    told = [float(number) for number in re.findall(r"<dd>(?:<strong>)?(-?\d\.\d{3})<", answer.text)]
    assert len(told) == 6 and sum(told[:-1]) == pytest.approx(told[-1], abs=0.004)
    assert "<dt>Brand</dt>" in answer.text and "their sum" in answer.text


def test_the_judge_ranks_as_the_service_does(shop: Any, candidates: Path, digest: str) -> None:
    """One path: opened from the candidate's folder, the same items with the same scores."""
    from components.contract.ports import Request

    index = open_candidate(candidates / digest, "judge")
    for query in ("noble lamp", "cheap mug", "lamp"):
        found = index.search([Request("q", text=query)], 6)
        hits = asked(shop, query)["results"]
        assert [index.item_ids[row] for row in found.rows[0]] == [hit["item_id"] for hit in hits]
        assert found.scores[0].tolist() == pytest.approx([hit["score"] for hit in hits], abs=1e-5)


def test_an_item_that_was_put_is_preferred_as_any_other(shop: Any) -> None:
    """Its facets are known the moment the PUT returns."""
    shop.put({"item_id": "fresh", "title": "lamp", "price": 12.0, "category": "Home > lamps"})
    parts = asked(shop, "cheap lamp")["debug"]["parts"]["fresh"]
    assert (parts["implied price"], parts["implied category"]) == pytest.approx((0.5, 0.5))


def test_what_is_known_is_under_the_releases_digest(candidates: Path, digest: str) -> None:
    """Heads, knowledge and weights."""
    files = load_manifest(candidates / digest)
    assert {"knowledge.json", "retrieval.json", "heads/query_brand/head.json"} <= set(files)
