"""Points of the recall curves and their bootstrap intervals."""

import numpy as np
import pytest
from scipy import stats

from components.contract.judging import JudgeSettings
from components.evaluation.age import bootstrap_interval, recall_by_age, recall_by_population
from components.evaluation.judge import judge


@pytest.fixture
def scorecard(make_shop, until):
    def make(dated: bool):
        shop = make_shop(dated=dated)
        return judge(
            shop.retriever(),
            {"search": shop.judged},
            shop.catalogue,
            JudgeSettings(),
            primary="search",
            digest=None,
            trained=shop.trained,
            judged_until=until,
        )

    return make


def test_one_point_per_age_bucket_youngest_first(scorecard):
    """The mean lies in its interval; counts are those of the slice."""
    card = scorecard(dated=True)
    points = recall_by_age(card)
    assert [point.label for point in points] == ["0-1", "1-7", "7-14", "14-30", "30-60", "60+"]
    for point in points:
        assert point.mean == card.mean("search", f"age:{point.label}/recall@10")
        assert point.requests == card.requests("search", f"age:{point.label}/recall@10")
        assert point.low <= point.mean <= point.high


def test_undated_data_has_no_age_curve_but_populations(scorecard):
    card = scorecard(dated=False)
    assert recall_by_age(card) == []
    assert len(recall_by_population(card)) == 5


def test_an_empty_slice_is_a_point_without_a_mean(scorecard):
    card = scorecard(dated=True)
    card.entrances["search"].measures["age:0-1/recall@10"][:] = np.nan
    point = recall_by_age(card)[0]
    assert (point.requests, point.mean, point.low, point.high) == (0, None, None, None)


def test_interval_agrees_with_scipy():
    """Percentile bootstrap of the mean, up to the noise of 2,000 resamples."""
    values = np.random.default_rng(0).random(300)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert bootstrap_interval(values) == pytest.approx((theirs.low, theirs.high), abs=0.002)


def test_interval_is_the_same_on_every_call():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values) == bootstrap_interval(values)
