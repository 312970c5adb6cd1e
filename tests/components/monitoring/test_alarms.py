"""Calibration: the family-wise rate holds where a day's requests are alike, and only block draws see that."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from components.contract.errors import ConfigError, MonitoringError
from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.facts import item_facts
from components.monitoring.judging import judge
from components.monitoring.reference import Reference, Undiscoverable
from components.monitoring.window import Window
from tests.components.monitoring.conftest import END, invented_items, invented_reference, invented_requests

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


def test_too_few_resamples_for_the_rate_say_so(reference: Reference) -> None:
    settings = MonitoringSettings(resamples=100, false_alarm_rate=0.001)
    with pytest.raises(ConfigError, match="at least 1000"):
        calibrate(reference, settings)


def test_absent_and_damaged_alarms_say_so(tmp_path) -> None:
    with pytest.raises(MonitoringError, match="not calibrated yet"):
        Alarms.read(tmp_path)
    (tmp_path / "alarms.json").write_text("{}")
    with pytest.raises(MonitoringError, match="damaged"):
        Alarms.read(tmp_path)
