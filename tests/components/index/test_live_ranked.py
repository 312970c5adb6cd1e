"""An index whose proposals a second stage scores again."""

from dataclasses import replace

import numpy as np
import pytest

from components.contract.errors import DataError
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index.live import LiveIndex
from components.index.ranked_by import ranked_by
from components.index.signals import KINDS, Signals
from components.ranking.features import FEATURES, Proposed
from components.ranking.model import Growth, Lists, Ranker
from components.ranking.observations import Observed
from components.ranking.ranker_files import Rankers

ITEMS = 60
PLAN = RetrievalPlan(history_scoring="top3")


def cheap_first() -> Ranker:
    """Trees that want the lowest price and nothing else."""
    rng = np.random.default_rng(0)
    values = rng.random((4_000, len(FEATURES))).astype(np.float32) * 0.01
    price = FEATURES.index("price")
    values[:, price] = np.log1p(rng.integers(1, ITEMS + 1, 4_000))
    order = values[:, price].reshape(-1, 20)
    gains = (order == order.min(axis=1, keepdims=True)).astype(float).ravel()
    growth = Growth(trees=60, learning_rate=0.3, leaves=31, fewest_in_leaf=20)
    return Ranker.fit(Lists(values, gains, np.full(200, 20)), growth)


@pytest.fixture(scope="module")
def ranker() -> Ranker:
    return cheap_first()


@pytest.fixture(scope="module")
def snapshot(make_snapshot, word_encoder):
    rows = [{"item_id": f"i{n:02}", "title": f"lamp {n}", "price": float(n + 1)} for n in range(ITEMS)]
    plain = make_snapshot(rows, encoder=word_encoder)
    ones = np.ones(ITEMS), np.ones(ITEMS)
    observed = Observed(dict.fromkeys(KINDS, ones), {})
    return replace(plain, signals=Signals.build(plain.vectors, observed))


@pytest.fixture
def index_of(snapshot, word_encoder, ranker):
    def make(*entrances: str, candidates: int = 100) -> LiveIndex:
        rankers = Rankers(candidates, dict.fromkeys(entrances, ranker)) if entrances else None
        return LiveIndex("x", snapshot, word_encoder, PLAN, ("title",), rankers=rankers)

    return make


SEARCH, USER = Request("q", text="lamp 40"), Request("u", history=("i40", "i41"), exclude=frozenset({"i40"}))


def prices(index: LiveIndex, request: Request, k: int = 10, among=None) -> list[float]:
    rows = index.search([request], k, among).rows[0]
    return [index.item(row)["price"] for row in rows if row >= 0]


def test_each_entrance_has_its_own_and_one_without_keeps_the_first_stages_order(index_of):
    plain, search = index_of(), index_of("search")
    assert np.mean(prices(search, SEARCH)) < 0.5 * np.mean(prices(plain, SEARCH))
    assert prices(search, USER) == prices(plain, USER)
    assert np.mean(prices(index_of("recommendation"), USER)) < np.mean(prices(plain, USER))


def test_without_its_rankers_it_answers_by_the_first_stage_and_stays_as_it_is(index_of):
    plain, both = index_of(), index_of("search", "recommendation")
    for request in (SEARCH, USER):
        assert prices(both.without_rankers(), request) == prices(plain, request)
        assert prices(both, request) != prices(plain, request)


def test_similar_items_are_left_to_the_texts(index_of):
    similar = replace(USER, by_text=True)
    assert prices(index_of("recommendation"), similar) == prices(index_of(), similar)


def test_only_the_best_proposals_are_scored_again(index_of):
    """Of 20 candidates the cheapest are not among the best of texts."""
    few = index_of("search", candidates=20)
    first = set(index_of().search([SEARCH], 20).rows[0].tolist())
    assert set(few.search([SEARCH], 10).rows[0].tolist()) <= first
    assert len(prices(few, SEARCH, k=40)) == 40, "k places are filled all the same"


@pytest.mark.parametrize("request_", [SEARCH, USER])
@pytest.mark.parametrize("candidates", [20, 50])
def test_the_first_places_do_not_depend_on_how_many_are_asked_for(index_of, request_, candidates):
    """A judge asks for a hundred, a page for ten, and a search may share a batch with one of the two."""
    index = index_of("search", "recommendation", candidates=candidates)
    ten, all_of_them = (index.search([request_], k) for k in (10, 100))
    assert ten.rows[0].tolist() == all_of_them.rows[0, :10].tolist()
    assert ten.scores[0].tolist() == all_of_them.scores[0, :10].tolist()
    behind, plain = all_of_them.rows[0, candidates:], index_of().search([request_], 100).rows[0]
    assert behind.tolist() == [row for row in plain if row in behind]


def test_what_the_ranker_did_not_see_stands_behind_all_that_it_saw(index_of, ranker):
    """In single precision too, whatever the scores are."""
    index, rng = index_of("search", candidates=20), np.random.default_rng(0)
    for _ in range(100):
        score = rng.normal(0.4, 0.2, ITEMS).astype(np.float32)
        none = np.zeros(ITEMS, dtype=np.float32)
        proposed = Proposed(np.arange(ITEMS), score, score, none, none, np.arange(10))
        rows, scores = index._scored(ranker, proposed)
        seen = np.isin(rows, index.scored_again(proposed).rows)
        assert scores[~seen].max() < scores[seen].min()


def test_where_a_filter_leaves_nothing_there_is_nothing_to_score(index_of):
    index, nothing = index_of("search", "recommendation"), np.zeros(ITEMS, dtype=bool)
    for request in (SEARCH, USER):
        assert ranked_by(index, request, 10, nothing) == {}
        assert (index.search([request], 10, nothing).rows == -1).all()


def test_masks_and_exclusions_hold(index_of):
    index = index_of("search", "recommendation")
    mask = np.arange(ITEMS) >= 30
    assert min(prices(index, SEARCH, among=mask)) >= 31.0
    assert 41.0 not in prices(index, USER, k=ITEMS)


def test_what_an_item_is_ranked_by_sums_up_to_its_score(index_of):
    index = index_of("search")
    ranking = index.search([SEARCH], 10)
    told = ranked_by(index, SEARCH, 10, None)
    for row, score in zip(ranking.rows[0].tolist(), ranking.scores[0].tolist(), strict=True):
        assert sum(told[row].shares.values()) == pytest.approx(score, abs=1e-4)
        assert told[row].features["price"] == pytest.approx(np.log1p(index.item(row)["price"]))
        assert told[row].features["brand_share"] is None, "no item has a brand"
    assert ranked_by(index_of(), SEARCH, 10, None) == {}
    assert ranked_by(index, Request("e", text=" "), 10, None) == {}


def test_an_item_that_is_put_is_ranked_by_its_own_price_from_then_on(index_of):
    index = index_of("search")
    item = LiveItem(item_id="z", title="lamp 40", price=0.5)
    index.apply(index.encode([Change(item_id="z", seq=1, item=item)]))
    assert prices(index, SEARCH)[0] == 0.5
    assert prices(index.compacted(), SEARCH) == prices(index, SEARCH)


def test_nothing_of_a_ranking_depends_on_when_an_item_was_listed(index_of, snapshot, word_encoder, ranker):
    """The same catalogue with every listing date turned round ranks to the last bit as before."""
    import polars as pl

    dates = pl.datetime_range(
        pl.datetime(2020, 1, 1), pl.datetime(2020, 1, 1) + pl.duration(days=ITEMS - 1), "1d", eager=True
    )
    for listed in (dates, dates.reverse()):
        dated = snapshot.items.with_columns(listed_at=listed, first_seen=listed)
        rankers = Rankers(100, dict.fromkeys(("search", "recommendation"), ranker))
        index = LiveIndex(
            "x", replace(snapshot, items=dated), word_encoder, PLAN, ("title",), rankers=rankers
        )
        plain = index_of("search", "recommendation")
        for request in (SEARCH, USER):
            ours, theirs = index.search([request], 20), plain.search([request], 20)
            assert ours.rows.tolist() == theirs.rows.tolist()
            assert ours.scores.tolist() == theirs.scores.tolist()


def test_a_ranker_without_signals_is_refused(snapshot, word_encoder, ranker):
    with pytest.raises(DataError, match="signals"):
        LiveIndex(
            "x", replace(snapshot, signals=None), word_encoder, PLAN, ("title",),
            rankers=Rankers(100, {"search": ranker}),
        )  # fmt: skip
    with pytest.raises(ValueError, match="signals of 1"):
        LiveIndex(
            "x",
            replace(snapshot, signals=snapshot.signals.taken(np.asarray([0]))),
            word_encoder,
            PLAN,
            ("title",),
        )
