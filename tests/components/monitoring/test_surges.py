"""The chart that looks for surges: its rate of false alarms, and that it sees what is planted."""

import numpy as np
import pytest

from components.monitoring.surges import DAYS_PER_YEAR, calibrated, comparable_days, surges

SHARES = np.array([0.06, 0.03, 0.01])


def days_of(rng, count, shares=SHARES, spread=0.0):
    """(days, topics) negatives and (days,) reviews; spread: of the shares from day to day (sd of their
    logarithm)."""
    reviews = rng.poisson(60, count) + 1
    by_day = np.exp(rng.normal(0.0, spread, (count, 1))) if spread else np.ones((count, 1))
    return rng.binomial(reviews[:, None], np.minimum(shares * by_day, 1.0)), reviews


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_years_without_a_surge_alarm_as_rarely_as_stated(spread):
    """On days that no base has seen, whose negatives may vary more than a binomial: ten years after each of
    eight bases. A chart that never alarms would keep to the rate as well, hence the lower end."""
    years, alarms = 10, []
    for seed in range(8):
        rng = np.random.default_rng(1_000 + seed)
        chart = calibrated(*days_of(rng, 120, spread=spread), odds=2.0, per_year=2.0, seed=0)
        assert chart.false_alarms_per_year <= 2.0
        alarms.append(len(surges(*days_of(rng, years * DAYS_PER_YEAR, spread=spread), chart)) / years)
    assert 0.5 <= np.mean(alarms) <= 2.0


@pytest.mark.parametrize(
    ("before", "days"),
    [
        ([1] + [0] * 3_650, 90),  # one review, ten years earlier
        ([1] * 730, 90),
        ([60] * 730, 365),
        ([60] * 60, 365),
        ([200] * 300, 365),  # there were more: simulated years are louder, not quieter
    ],
)
def test_a_base_is_of_days_like_those_that_come(before, days):
    reviews = np.array([*before, *[60] * 90])
    assert comparable_days(reviews, 28) == days
    assert comparable_days(reviews[-30:], 28) == 365  # all there are


def test_a_base_has_as_many_days_as_are_needed():
    """Else a growing shop that needs more than the comparable ones would never be watched."""
    growing = np.array([5] * 180 + [60] * 90)
    assert [comparable_days(growing, days) for days in (28, 90, 120, 200)] == [90, 90, 120, 200]


def test_quiet_early_years_bring_no_alarms():
    """Two years of a review a day, then 90 days of sixty: on days like these no more alarms than allowed."""
    alarms = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        negatives, reviews = days_of(rng, 820)
        negatives[:730], reviews[:730] = rng.binomial(1, SHARES, (730, 3)), 1
        base = comparable_days(reviews, 28)
        chart = calibrated(negatives[-base:], reviews[-base:], odds=2.0, per_year=1.0, seed=0)
        alarms.append(len(surges(*days_of(rng, 2 * DAYS_PER_YEAR), chart)) / 2)
    assert np.mean(alarms) <= 1.5


def test_a_planted_surge_is_found_in_its_days_and_topic():
    """A topic's odds are three times the usual ones for a week: alarm within it, dated near its begin; the
    other topics stay as silent as ever."""
    found, elsewhere = 0, 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        chart = calibrated(*days_of(rng, 120), odds=2.0, per_year=1.0, seed=0)
        negatives, reviews = days_of(rng, 60)
        negatives[30:40, 1] = rng.binomial(reviews[30:40], 0.09)
        alarms = [one for one in surges(negatives, reviews, chart) if 30 <= one.day < 40]
        elsewhere += any(one.topic != 1 for one in alarms)
        found += any(one.topic == 1 and abs(one.first_day - 30) <= 8 for one in alarms)
    assert found >= 7 and elsewhere <= 2


def test_the_chart_is_the_textbooks_recursion():
    """S = max(0, S + log-likelihood ratio), alarm above the threshold, then from 0 again."""
    rng = np.random.default_rng(3)
    chart = calibrated(*days_of(rng, 100), odds=2.0, per_year=12.0, seed=0)
    negatives, reviews = days_of(rng, 400)
    expected = []
    for topic, share in enumerate(chart.shares):
        level = 0.0
        odds = 2.0 * share / (1.0 - share)
        raised = odds / (1.0 + odds)
        for day in range(400):
            bad, good = negatives[day, topic], reviews[day] - negatives[day, topic]
            level += bad * np.log(raised / share) + good * np.log((1.0 - raised) / (1.0 - share))
            level = max(level, 0.0)
            if level > chart.threshold:
                expected.append((day, topic))
                level = 0.0
    assert expected and [(one.day, one.topic) for one in surges(negatives, reviews, chart)] == sorted(
        expected
    )


def test_rarer_alarms_take_a_higher_threshold():
    base = days_of(np.random.default_rng(0), 100)
    rare, frequent = (calibrated(*base, odds=2.0, per_year=rate, seed=0) for rate in (0.5, 12.0))
    assert rare.threshold > frequent.threshold
