"""Exposure, robustness and latency, each on an example that can be counted by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from components.contract.judging import JudgeSettings
from components.evaluation import bounds
from components.evaluation.judge import judge
from components.evaluation.pairs import judged_pairs


def judged(shop, retriever=None, **arguments):
    return judge(
        retriever or shop.retriever(),
        {shop.judged.entrance: shop.judged},
        shop.catalogue,
        JudgeSettings(),
        primary=shop.judged.entrance,
        digest=None,
        trained=shop.trained,
        **arguments,
    )


def test_new_item_share_is_relative_to_the_catalogue():
    """A quarter of the items is new and holds half of the places: twice its share."""
    catalogue = pl.DataFrame({"is_new": [True, False, False, False]})
    assert bounds.new_item_share_ratio(np.array([0, 0, 1, 2]), catalogue).value == 2.0


def test_the_largest_of_several_is_missing_where_one_is():
    """By the number itself, or whichever way it goes."""
    rise, fall = bounds.Measurement(0.1), bounds.Measurement(-0.3)
    assert bounds.largest([rise, fall]) is rise and bounds.largest([rise, fall], key=abs) is fall
    missing = bounds.Measurement(None, "nothing was returned")
    assert bounds.largest([rise, missing, fall]) is missing


def test_concentration_of_even_exposure_is_one_percent():
    assert bounds.top_1_percent_share(np.arange(1_000), 1_000).value == 0.01


@pytest.mark.parametrize("places", [1_000, 40_000])
def test_concentration_of_a_collapsed_encoder_is_near_one(places):
    """Ten items for everyone, in a catalogue of 50,000."""
    assert bounds.top_1_percent_share(np.arange(places) % 10, 50_000).value == 1.0


def test_few_requests_on_a_large_catalogue_are_no_concentration():
    """500 places among 50,000 items: 1 % of the items would hold everything; 1 % of the places do not."""
    assert bounds.top_1_percent_share(np.arange(500), 50_000).value == 0.01


def test_small_brands_are_all_but_the_largest_fifth():
    """Five brands: only the largest is large. Items without a brand count on neither side."""
    brand = ["A"] * 4 + ["B", "C", "D", "E"] + [None, " "]
    catalogue = pl.DataFrame({"brand": brand})
    shown = np.array([0, 0, 1, 4, 8, 9])
    assert bounds.small_brand_share_ratio(shown, catalogue).value == pytest.approx((1 / 4) / (4 / 8))


def test_equally_large_brands_go_by_name():
    """A and B are the largest of ten brands of one item each."""
    catalogue = pl.DataFrame({"brand": list("JIHGFEDCBA")})
    shown = np.array([9, 8])
    assert bounds.small_brand_share_ratio(shown, catalogue).value == 0.0


def test_a_shop_with_few_brands_has_no_small_ones():
    catalogue = pl.DataFrame({"brand": ["A", "B", None]})
    measured = bounds.small_brand_share_ratio(np.array([0]), catalogue)
    assert measured.value is None
    assert not measured.applicable
    assert "2 brands" in measured.reason


def test_nothing_returned_is_missing_not_zero():
    """A broken retriever must not pass an exposure bound."""
    nothing = np.empty(0, dtype=np.int64)
    catalogue = pl.DataFrame({"is_new": [True, False], "brand": ["A", "B"]})
    branded = pl.DataFrame({"brand": list("ABCDEF")})
    for measured in (
        bounds.new_item_share_ratio(nothing, catalogue),
        bounds.top_1_percent_share(nothing, 2),
        bounds.small_brand_share_ratio(nothing, branded),
    ):
        assert measured.value is None
        assert measured.applicable
        assert measured.reason


class Misspelled:
    """Ranks as `inner` does, and badly where a query holds an x."""

    def __init__(self, inner):
        self.inner, self.name = inner, inner.name

    @property
    def item_ids(self):
        return self.inner.item_ids

    def search(self, requests, k, among=None):
        ranking = self.inner.search(requests, k, among)
        wrong = np.array(["x" in (request.text or "") for request in requests], dtype=bool)
        ranking.rows[wrong] = -1
        return ranking


def test_typo_loss_is_relative_to_the_clean_recall(make_shop):
    """Each query gets one error; a retriever that finds nothing for misspelled queries loses all."""
    shop = make_shop()
    lost = judged(shop, Misspelled(shop.retriever()), typos=lambda text, rng: text + "x")
    kept = judged(shop, Misspelled(shop.retriever()), typos=lambda text, rng: text + "y")
    assert lost.bounds["typo_recall_loss"] == 1.0
    assert kept.bounds["typo_recall_loss"] == pytest.approx(0.0)


def test_typos_are_drawn_by_seed(make_shop):
    """The same seed misspells the same way, another one differently; users' histories stay."""

    def cut(text, rng):
        return text[: rng.integers(0, len(text))]

    requests = make_shop().judged.requests
    assert bounds.with_typos(requests, cut, 1) == bounds.with_typos(requests, cut, 1)
    assert bounds.with_typos(requests, cut, 1) != bounds.with_typos(requests, cut, 2)
    users = list(make_shop(recommendation=True).judged.requests)
    assert bounds.with_typos(users, cut, 1) == users


def test_typo_loss_without_a_function_is_missing(make_shop):
    scorecard = judged(make_shop())
    assert scorecard.bounds["typo_recall_loss"] is None
    assert "typing errors" in scorecard.missing["typo_recall_loss"]


def test_attribute_dropout_compares_with_the_index_without_attributes(make_shop):
    """Half of the scores gone: the loss is one minus the ratio of the two recalls."""
    shop = make_shop()
    rng = np.random.default_rng(1)
    noise = {name: scores + rng.normal(0, 40, len(scores)) for name, scores in shop.scores.items()}
    poorer = shop.retriever("poorer", noise)
    clean = judged(shop).mean("search", "new/recall@10")
    noisy = judged(shop, poorer).mean("search", "new/recall@10")
    measured = judged(shop, without_attributes=poorer).bounds["attribute_dropout_recall_loss"]
    assert measured == pytest.approx(1 - noisy / clean)


def test_no_attributes_is_not_applicable(make_shop):
    assert "attributes" in judged(make_shop()).not_applicable["attribute_dropout_recall_loss"]


def test_a_loss_relative_to_zero_recall_is_missing(make_shop):
    """A challenger that finds nothing new has no ratio; the gate must read it as missing."""
    shop = make_shop()
    new = shop.catalogue.get_column("is_new").to_numpy()
    blind = shop.retriever("blind", {n: scores - 1e6 * new for n, scores in shop.scores.items()})
    scorecard = judged(shop, blind, typos=lambda text, rng: text, without_attributes=blind)
    for name in ("typo_recall_loss", "attribute_dropout_recall_loss"):
        assert scorecard.bounds[name] is None
        assert "recall@10 is 0" in scorecard.missing[name]


def test_search_without_new_relevant_items_has_no_typo_loss(make_shop):
    """Recommendation is primary, no query asks for a new item: there is nothing to lose."""
    shop, users = make_shop(), make_shop(recommendation=True)
    old = sorted(shop.catalogue.filter(~pl.col("is_new")).get_column("item_id"))[0]
    asked = replace(
        shop.judged,
        relevant={name: frozenset({old}) for name in shop.judged.relevant},
        judged={name: {old: 1.0} for name in shop.judged.judged},
    )
    scorecard = judge(
        shop.retriever(),
        {"search": asked, "recommendation": users.judged},
        shop.catalogue,
        JudgeSettings(),
        primary="recommendation",
        digest=None,
        trained=(),
        typos=lambda text, rng: text,
    )
    assert "no judged query" in scorecard.not_applicable["typo_recall_loss"]


@pytest.mark.parametrize("requests", [7, 120])
def test_latency_is_timed_over_single_searches(make_shop, requests):
    """Up to 50 different requests, each three times alone, never twice in a row: a retriever that keeps
    its last query's vector gains nothing."""
    shop = make_shop(requests=requests)
    asked: list[str] = []

    class Recording(Misspelled):
        def search(self, requests, k, among=None):
            asked.extend(request.request_id for request in requests)
            return super().search(requests, k, among)

    measured = bounds.p95_latency_ms(Recording(shop.retriever()), shop.judged.requests, 10)
    timed = asked[bounds.WARM_UP_SEARCHES :]
    assert len(set(timed)) == min(requests, bounds.TIMED_SEARCHES)
    assert len(timed) == bounds.REPEATS * len(set(timed))
    assert all(one != after for one, after in pairwise(timed))
    assert measured.value > 0


def test_size_is_as_given_or_missing(make_shop):
    assert judged(make_shop(), size_mb=91.0).bounds["size_mb"] == 91.0
    assert "not given" in judged(make_shop()).missing["size_mb"]


def test_recall_of_a_slice_is_that_of_its_scorecard_and_asks_no_more_than_it_needs(make_shop):
    """Only requests with a relevant item in the slice are searched."""
    shop = make_shop()
    pairs = judged_pairs(shop.judged, shop.catalogue.get_column("item_id").to_list())
    new = shop.catalogue.get_column("is_new").to_numpy()
    asked: list[str] = []

    class Recording(Misspelled):
        def search(self, requests, k, among=None):
            asked.extend(request.request_id for request in requests)
            return super().search(requests, k, among)

    found = bounds.slice_recall_of(Recording(shop.retriever()), shop.judged.requests, pairs, new, 10)
    assert found == pytest.approx(judged(shop).mean("search", "new/recall@10"))
    fresh = set(shop.catalogue.filter("is_new").get_column("item_id"))
    assert asked == [r.request_id for r in shop.judged.requests if shop.judged.relevant[r.request_id] & fresh]
