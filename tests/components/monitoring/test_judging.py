"""What a judged window says, on invented references."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from components.contract.errors import MonitoringError
from components.contract.operations import MonitoringSettings
from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.drift_report import DriftMetric, DriftReport
from components.monitoring.facts import item_facts
from components.monitoring.judging import judge
from components.monitoring.reference import Reference, Undiscoverable
from components.monitoring.window import Window
from tests.components.monitoring.conftest import END, invented_items, invented_reference, invented_requests

SETTINGS = MonitoringSettings(min_rows=50, resamples=100)
PER_DAY = 60


@pytest.fixture(scope="module")
def reference() -> Reference:
    requests = invented_requests(np.random.default_rng(1), 20, PER_DAY, day_effect=0.1)
    return invented_reference(requests, PER_DAY, SETTINGS)


@pytest.fixture(scope="module")
def alarms(reference: Reference) -> Alarms:
    return calibrate(reference, SETTINGS)


@pytest.fixture
def window() -> Window:
    requests = invented_requests(np.random.default_rng(4), 1, PER_DAY, day_effect=0.1)
    return Window(END, END, requests, item_facts(invented_items(), END, SETTINGS.new_item_days))


@pytest.fixture
def judged(reference: Reference, alarms: Alarms, window: Window):
    """The report on the window with these changes."""

    def judge_changed(**changes) -> DriftReport:
        return judge(replace(window, **changes), reference, alarms, SETTINGS)

    return judge_changed


def catalogue(changed: pl.DataFrame) -> pl.DataFrame:
    return item_facts(changed, END, SETTINGS.new_item_days)


def metric(report: DriftReport, name: str) -> DriftMetric:
    return next(one for one in report.metrics if one.name == name)


def test_a_window_like_the_reference_has_no_drift(judged) -> None:
    report = judged()
    assert report.verdict == "no drift"
    assert {one.outcome for one in report.metrics} == {"no drift"}
    assert report.requests == PER_DAY


def test_doubled_prices_are_caught(judged) -> None:
    report = judged(items=catalogue(invented_items().with_columns(pl.col("price") * 2)))
    assert report.verdict == "drift"
    assert {"price", "new_item_price"} <= set(report.raised)
    assert "category" not in report.raised


def test_categories_of_other_items_are_caught(judged) -> None:
    """Each category is as frequent as before: only with the prices does it show."""
    items = invented_items()
    report = judged(items=catalogue(items.with_columns(items["category"].shuffle(seed=1))))
    assert "category_and_price" in report.raised
    assert "category" not in report.raised


@pytest.mark.parametrize(
    ("column", "raised"),
    [
        ("top_score", "top_score"),
        ("unknown_word_rate", "unknown_word_rate"),
        ("new_share", "new_item_exposure"),
        ("query_characters", "query_characters"),
    ],
)
def test_a_shift_of_a_column_is_caught_in_both_directions(judged, window: Window, column, raised) -> None:
    for shift in (-30.0, 30.0):
        moved = window.requests.with_columns((pl.col(column) + shift).cast(window.requests.schema[column]))
        assert judged(requests=moved).raised == (raised,)


def test_vectors_answers_and_empty_results_are_caught(judged, window: Window) -> None:
    vectors = pl.Series([[5.0] * 8] * PER_DAY, dtype=pl.List(pl.Float32))
    assert judged(requests=window.requests.with_columns(query_vector=vectors)).raised == ("query_vectors",)
    same = pl.Series([[str(n) for n in range(10)]] * PER_DAY)
    assert judged(requests=window.requests.with_columns(item_ids=same)).raised == ("concentration",)
    empty = pl.int_range(pl.len()) < 10
    assert judged(requests=window.requests.with_columns(zero_result=empty)).raised == ("zero_result_rate",)


def test_nothing_is_judged_under_min_rows(judged, window: Window) -> None:
    """49 of 50 requests, items and new items: no metric has a value, whatever they hold."""
    few = catalogue(invented_items(49).with_columns(pl.col("price") * 100))
    moved = window.requests.head(49).with_columns(top_score=pl.lit(1e6))
    report = judged(requests=moved, items=few)
    assert report.verdict == "not judged"
    assert {one.outcome for one in report.metrics} == {"not judged"}
    assert {one.value for one in report.metrics} == {None}
    assert "49 answered requests, fewer than 50" in report.sentence


def test_without_traffic_a_window_is_not_judged_whatever_the_catalogue_does(judged, window: Window) -> None:
    """But the catalogue's drift is said."""
    doubled = catalogue(invented_items().with_columns(pl.col("price") * 2))
    report = judged(requests=window.requests.head(0), items=doubled)
    assert (report.verdict, "price" in report.raised) == ("not judged", True)
    assert "though" in report.sentence and "price" in report.sentence
    assert judged(requests=window.requests.head(0)).raised == ()


def test_answers_that_the_log_left_out_are_counted(judged, window: Window) -> None:
    """Those with filters or cut short are not among the window's requests any more."""
    before = judged().requests_left_out
    assert judged(left_out=7).requests_left_out == before + 7


def test_answers_of_other_releases_and_entrances_are_left_out(judged, window: Window) -> None:
    """Their scores are no drift of this release's."""
    other = window.requests.with_columns(release=pl.lit("b" * 64), top_score=pl.lit(1e6))
    recommended = window.requests.with_columns(entrance=pl.lit("recommendation"), top_score=pl.lit(1e6))
    report = judged(requests=pl.concat([window.requests, other, recommended]))
    assert report.verdict == "no drift"
    assert (report.requests, report.requests_left_out) == (PER_DAY, 2 * PER_DAY)


def test_vectors_that_were_not_logged_are_not_judged(judged, window: Window) -> None:
    """Shops that drop query texts log no vectors."""
    report = judged(requests=window.requests.with_columns(query_vector=pl.lit(None, pl.List(pl.Float32))))
    assert metric(report, "query_vectors").outcome == "not judged"
    assert report.verdict == "no drift"


def test_a_report_is_json_and_back(judged) -> None:
    report = judged(items=catalogue(invented_items().with_columns(pl.col("price") * 2)))
    assert DriftReport.model_validate_json(report.model_dump_json()) == report
    price = metric(report, "price")
    assert price.value is not None
    assert price.threshold is not None
    assert price.value > price.threshold
    assert price.p_adjusted is not None
    assert price.p_adjusted <= SETTINGS.false_alarm_rate


def test_alarms_of_other_settings_are_refused(reference: Reference, alarms: Alarms, window: Window) -> None:
    """All that matter are named; when an event may repeat is none of them."""
    changed = SETTINGS.model_copy(update={"false_alarm_rate": 0.1, "min_rows": 30})
    with pytest.raises(MonitoringError, match=r"monitoring.min_rows, monitoring.false_alarm_rate: changed"):
        judge(window, reference, alarms, changed)
    patient = SETTINGS.model_copy(update={"debounce_hours": 1.0})
    assert judge(window, reference, alarms, patient).verdict == "no drift"


def test_the_rate_that_was_calibrated_is_told(reference: Reference, alarms: Alarms, window: Window) -> None:
    """Not the one in the settings; and nothing is promised of a reference without days."""
    kept = judge(window, reference, alarms.model_copy(update={"false_alarm_rate": 0.07}), SETTINGS)
    assert (kept.false_alarm_rate, kept.rate_known) == (0.07, True)
    assert "false-alarm rate 0.07 per window" in kept.sentence
    unknown = judge(window, reference, alarms.model_copy(update={"blocks": "chunks"}), SETTINGS)
    assert not unknown.rate_known
    assert "not known" in unknown.sentence


def test_undiscoverable_items_are_counted_in_the_report(judged) -> None:
    assert judged().undiscoverable is None
    assert judged(undiscoverable=Undiscoverable(found=7, checked=90)).undiscoverable == 7


def test_another_make_of_new_items_is_caught(judged) -> None:
    """The old items keep their brands."""
    recent = pl.col("listed_at") >= END - timedelta(days=30)
    items = invented_items().with_columns(brand=pl.when(recent).then(pl.lit("brand 1")).otherwise("brand"))
    assert "new_item_brand" in judged(items=catalogue(items)).raised


def test_lost_attributes_are_caught_where_none_is_empty(attributed) -> None:
    """One of three values is left: each item still has attributes."""
    report = attributed("colour: red")
    assert {"attributes_filled", "new_item_attributes_filled"} <= set(report.raised)
    assert "completeness" not in report.raised
    assert attributed("colour: red; size: 3; wood: oak").raised == ()


@pytest.fixture(scope="module")
def attributed():
    """The report on a catalogue of which every item has these attributes; the reference's have three."""
    few = MonitoringSettings(min_rows=50, resamples=100)
    full = invented_items().with_columns(attributes=pl.lit("colour: red; size: 3; wood: oak"))
    requests = invented_requests(np.random.default_rng(1), 20, PER_DAY, day_effect=0.1)
    reference = replace(invented_reference(requests, PER_DAY, few), items=catalogue(full))
    alarms = calibrate(reference, few)

    def judge_with(attributes: str) -> DriftReport:
        items = catalogue(full.with_columns(attributes=pl.lit(attributes)))
        return judge(Window(END, END, requests.head(0), items), reference, alarms, few)

    return judge_with


def test_alarms_of_another_release_are_refused(reference: Reference, alarms: Alarms, window: Window) -> None:
    with pytest.raises(MonitoringError, match="calibrate again"):
        judge(window, reference, alarms.model_copy(update={"release": "b" * 64}), SETTINGS)
