"""Calibration: the family-wise rate holds where a day's requests are alike, and only block draws see that."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from components.contract.errors import MonitoringError
from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.drawn_windows import UNDISCOVERABLE
from components.monitoring.facts import item_facts
from components.monitoring.judging import judge
from components.monitoring.reference import Reference, Undiscoverable
from components.monitoring.window import Window
from tests.components.monitoring.conftest import (
    DAY,
    END,
    invented_items,
    invented_reference,
    invented_requests,
)

SETTINGS = MonitoringSettings(min_rows=50, resamples=200)
DAYS, PER_DAY, WINDOWS = 40, 60, 50
ALLOWED = binom.ppf(0.999, WINDOWS, SETTINGS.false_alarm_rate)


@pytest.fixture(scope="module")
def reference() -> Reference:
    requests = invented_requests(np.random.default_rng(1), DAYS, PER_DAY, day_effect=0.3)
    return invented_reference(requests, PER_DAY, SETTINGS)


@pytest.fixture(scope="module")
def alarms(reference: Reference) -> Alarms:
    return calibrate(reference, SETTINGS)


@pytest.fixture(scope="module")
def windows() -> list[Window]:
    """Fresh days of the same make."""
    rng = np.random.default_rng(2)
    items = item_facts(invented_items(), END, SETTINGS.new_item_days)
    days = [invented_requests(rng, 1, PER_DAY, day_effect=0.3) for _ in range(WINDOWS)]
    return [Window(END, END, requests, items) for requests in days]


def alarmed(windows: list[Window], reference: Reference, alarms: Alarms) -> int:
    return sum(judge(one, reference, alarms, SETTINGS).verdict == "drift" for one in windows)


def test_the_rate_holds_for_days_that_differ(
    reference: Reference, alarms: Alarms, windows: list[Window]
) -> None:
    """Fifty fresh days with an effect of a third of the spread raise no more than chance allows."""
    assert alarmed(windows, reference, alarms) <= ALLOWED


def test_requests_drawn_one_by_one_promise_too_little_spread(
    reference: Reference, windows: list[Window]
) -> None:
    """The same reference with its requests dealt out to blocks at random: the rate is broken."""
    mixed = np.random.default_rng(3).permutation(len(reference.requests)) % DAYS
    dealt = replace(reference, requests=reference.requests.with_columns(block=pl.Series(mixed)))
    assert alarmed(windows, dealt, calibrate(dealt, SETTINGS)) > ALLOWED


def test_fresh_days_of_two_weeks_keep_the_stated_rate() -> None:
    """Five references of 14 days, where every column has an effect of its own in each day, and twenty fresh
    days each. Spreads of the very days that set the critical value break the rate threefold here."""
    settings, rng, raised = MonitoringSettings(min_rows=50, resamples=100), np.random.default_rng(7), 0
    items = item_facts(invented_items(), END, settings.new_item_days)
    for _ in range(5):
        known = invented_reference(uneven_days(rng, 14), PER_DAY, settings)
        alarms = calibrate(known, settings)
        assert alarms.false_alarm_rate == pytest.approx(1 / 15)
        fresh = [Window(END, END, uneven_days(rng, 1), items) for _ in range(20)]
        raised += sum(judge(one, known, alarms, settings).verdict == "drift" for one in fresh)
    assert raised <= binom.ppf(0.99, 100, 1 / 15)


def uneven_days(rng: np.random.Generator, days: int) -> pl.DataFrame:
    """Requests of days that shift each column of their own."""
    frames = []
    for day in range(days):
        one = invented_requests(rng, 1, PER_DAY, day_effect=0.0, end=END - (days - 1 - day) * DAY)
        shifts = {"top_score": 1.0, "mean_score": 1.0, "new_share": 1.0, "new_score": 1.0}
        shifts |= {"unknown_word_rate": 1.0, "query_characters": 5.0, "query_words": 2.0}
        moved = [pl.col(name) + 0.3 * sd * rng.standard_normal() for name, sd in shifts.items()]
        kinds = {name: one.schema[name] for name in shifts}
        frames.append(one.with_columns(moved).with_columns(pl.col(n).cast(k) for n, k in kinds.items()))
    return pl.concat(frames)


def test_few_days_keep_the_least_rate_that_they_can_tell(reference: Reference) -> None:
    """40 days tell one in 41, not one in a hundred; no p-value is less."""
    alarms = calibrate(reference, SETTINGS.model_copy(update={"false_alarm_rate": 0.01}))
    assert alarms.false_alarm_rate == pytest.approx(1 / 41)
    assert alarms.p_adjusted(1e9) == pytest.approx(1 / 41)
    assert "0.0244 per window, the least that 40 days" in alarms.rate_in_words


def test_of_undated_requests_no_rate_is_known(reference: Reference) -> None:
    """What they were dealt out into are no days."""
    undated = replace(reference, facts=reference.facts.model_copy(update={"blocks": "chunks"}))
    alarms = calibrate(undated, SETTINGS.model_copy(update={"resamples": 100}))
    assert not alarms.rate_known
    assert "not known" in alarms.rate_in_words


def test_launches_that_differ_widen_the_undiscoverable_share(reference: Reference) -> None:
    """All of one launch of four and none of the others: twice as many is no drift, item by item it were."""
    known = {
        "items": Undiscoverable(found=50, checked=200),
        "launches": Undiscoverable(found=50, checked=200, launches=((50, 50), (0, 50), (0, 50), (0, 50))),
    }
    settings, thresholds = SETTINGS.model_copy(update={"resamples": 100}), {}
    for name, undiscoverable in known.items():
        facts = reference.facts.model_copy(update={"undiscoverable": undiscoverable})
        level = calibrate(replace(reference, facts=facts), settings).level(UNDISCOVERABLE, 200)
        assert level is not None
        thresholds[name] = level.metrics[UNDISCOVERABLE].threshold
    assert thresholds["launches"] > 3 * thresholds["items"]


def test_drawn_windows_exceed_the_critical_value_at_the_stated_rate(alarms: Alarms) -> None:
    """The family-wise rate of the draws themselves, and p-values that agree with it."""
    beyond = np.mean(np.asarray(alarms.maxima) > alarms.critical)
    assert beyond <= SETTINGS.false_alarm_rate
    assert beyond > SETTINGS.false_alarm_rate / 2
    assert alarms.p_adjusted(alarms.critical + 1e-9) <= SETTINGS.false_alarm_rate
    assert alarms.p_adjusted(alarms.critical - 1e-9) > SETTINGS.false_alarm_rate


def test_thresholds_narrow_with_the_window(alarms: Alarms) -> None:
    """More items stray less; a metric is looked up at the largest size that the rows reach."""
    sizes = sorted(level.size for level in alarms.levels if "category" in level.metrics)
    thresholds = [
        level.metrics["category"].threshold for level in alarms.levels if "category" in level.metrics
    ]
    assert sizes == [50, 200, 400]
    assert thresholds == sorted(thresholds, reverse=True)
    found = alarms.level("category", 399)
    assert found is not None
    assert found.size == 200
    assert alarms.level("category", 49) is None


def test_the_same_seed_gives_the_same_alarms_and_a_file_keeps_them(reference: Reference, tmp_path) -> None:
    settings = SETTINGS.model_copy(update={"resamples": 100})
    first, second = calibrate(reference, settings), calibrate(reference, settings)
    assert first == second
    first.write(tmp_path)
    assert Alarms.read(tmp_path) == first


def test_a_metric_that_never_varied_has_room(alarms: Alarms) -> None:
    """No answer was empty in the reference: one in a hundred is no alarm yet."""
    level = alarms.level("zero_result_rate", 60)
    assert level is not None
    assert 0.005 <= level.metrics["zero_result_rate"].threshold < 0.03


def test_the_undiscoverable_share_is_calibrated_from_its_counts(reference: Reference) -> None:
    facts = reference.facts.model_copy(update={"undiscoverable": Undiscoverable(found=30, checked=200)})
    counted = replace(reference, facts=facts)
    settings = SETTINGS.model_copy(update={"resamples": 100})
    alarms = calibrate(counted, settings)
    window = Window(END, END, reference.requests.head(0), reference.items.head(0))
    raised = {}
    for found in (32, 120):
        now = replace(window, undiscoverable=Undiscoverable(found=found, checked=200))
        raised[found] = judge(now, counted, alarms, settings).raised
    assert raised == {32: (), 120: ("undiscoverable_share",)}


def test_too_small_a_reference_says_so(reference: Reference) -> None:
    small = replace(reference, requests=reference.requests.head(60), items=reference.items.head(20))
    with pytest.raises(MonitoringError, match="too few to tell what is normal"):
        calibrate(small, SETTINGS)


def test_absent_and_damaged_alarms_say_so(tmp_path) -> None:
    with pytest.raises(MonitoringError, match="not calibrated yet"):
        Alarms.read(tmp_path)
    (tmp_path / "alarms.json").write_text("{}")
    with pytest.raises(MonitoringError, match="damaged"):
        Alarms.read(tmp_path)
