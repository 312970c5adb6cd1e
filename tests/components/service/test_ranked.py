"""A served release with a second stage: what it ranks by is shown, and the dial of a shop."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.contract.serving import ServingRankingSettings
from components.index.retrieval import open_candidate
from components.index.signals import KINDS
from components.ranking.features import FEATURES
from components.ranking.model import Growth, Lists, Ranker
from components.ranking.observations import Observed
from components.ranking.ranker_files import REPORT_FILE

COLOURS, THINGS = ("red", "blue", "green"), ("chair", "lamp", "mug", "towel", "drill")
TITLES = [f"{colour} {thing}" for colour in COLOURS for thing in THINGS]


def dear_first() -> Ranker:
    """Trees that want the highest price."""
    values = np.random.default_rng(0).random((3_000, len(FEATURES))).astype(np.float32)
    price = FEATURES.index("price")
    values[:, price] = np.log1p(values[:, price] * len(TITLES))
    gains = (values[:, price] > np.log1p(12)).astype(float)
    growth = Growth(trees=60, learning_rate=0.3, leaves=15, fewest_in_leaf=20)
    return Ranker.fit(Lists(values, gains, np.full(150, 20)), growth)


@pytest.fixture(scope="module")
def digest(make_candidate: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("ranker")
    (folder / "search.txt").write_text(dear_first().text)
    (folder / REPORT_FILE).write_text('{"candidates": 100}')
    now = datetime.now().replace(microsecond=0)
    rows = [
        {"title": title, "price": float(n), "listed_at": now - timedelta(days=400 if n else 0)}
        for n, title in enumerate(TITLES)
    ]
    ones = np.ones(len(TITLES)), np.ones(len(TITLES))
    observed = Observed(dict.fromkeys(KINDS, ones), {})
    return make_candidate(rows, RetrievalPlan(rankers=("search",)), observed=observed, rankers=folder)


@pytest.fixture
def shop(digest: str, releases, service):
    releases.promote(digest)
    return service()


def found(shop, query: str = "green lamp", **params) -> list[dict]:
    answer = shop.client.get("/search", params={"q": query, "k": 5, **params})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def test_it_serves_what_the_judge_ranks(shop, digest, candidates) -> None:
    index = open_candidate(candidates / digest, "judge")
    ranking = index.search([Request("q", text="green lamp")], 5)
    hits = found(shop)
    assert [hit["item_id"] for hit in hits] == [index.item_ids[row] for row in ranking.rows[0]]
    assert np.mean([hit["price"] for hit in hits]) > np.mean(range(len(TITLES)))


def test_debug_shows_the_features_and_each_ones_share_of_the_score(shop) -> None:
    """Of every item shown, also where filters narrow the list."""
    for params in ({}, {"max_price": 9}):
        answer = shop.client.get(
            "/search", params={"q": "green lamp", "k": 5, "debug": True, **params}
        ).json()
        told = answer["debug"]["ranker"]
        assert list(told) == [hit["item_id"] for hit in answer["results"]]
        for hit in answer["results"]:
            one = told[hit["item_id"]]
            assert set(one["features"]) == set(FEATURES)
            assert set(one["shares"]) == {*FEATURES, "all_items"}
            assert sum(one["shares"].values()) == pytest.approx(hit["score"], abs=1e-3)
            assert one["features"]["price"] == pytest.approx(np.log1p(hit["price"]), abs=1e-5)
            assert one["features"]["brand_share"] is None


def test_the_dial_raises_what_was_just_listed_and_is_off_unless_set(shop, service) -> None:
    """The first item was listed now and is the cheapest: without the dial it is not among the first five."""
    fresh = service(ranking=ServingRankingSettings(freshness=50.0))
    assert "100" not in [hit["item_id"] for hit in found(shop)]
    assert found(fresh)[0]["item_id"] == "100"
    assert len(found(fresh)) == 5
    others = [hit["item_id"] for hit in found(shop, k=100) if hit["item_id"] != "100"]
    assert [hit["item_id"] for hit in found(fresh, k=100)] == ["100", *others]


def test_the_log_has_what_the_release_ranked_beside_what_the_dial_showed(shop, service) -> None:
    """The monitor holds answers against the release's own; without the dial they are the same, once."""
    plain, fresh = found(shop), service(ranking=ServingRankingSettings(freshness=50.0))
    assert shop.traffic().row(-1, named=True)["ranked_item_ids"] == []
    shown = found(fresh)
    [logged] = [row for row in fresh.traffic().to_dicts() if row["ranked_item_ids"]]
    assert logged["item_ids"] == [hit["item_id"] for hit in shown]
    assert logged["ranked_item_ids"] == [hit["item_id"] for hit in plain]
    assert logged["ranked_scores"] == pytest.approx([hit["score"] for hit in plain])
