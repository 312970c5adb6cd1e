"""Which rows make a window without drift."""

import numpy as np
import pytest

from components.contract.operations import MonitoringSettings
from components.monitoring import drawn_windows
from components.monitoring.drawn_windows import (
    catalogue_pairs,
    cohort_pairs,
    drawn_days,
    request_pairs,
    window_days,
)

BLOCKS = np.repeat(np.arange(6), 10)


def test_a_window_is_of_whole_days_which_the_compared_rest_does_not_have() -> None:
    for others, window, _ in request_pairs(BLOCKS, 2, 20, 50, np.random.default_rng(0)):
        assert len(set(window.tolist())) == 20
        assert len(set(BLOCKS[window])) == 2
        assert not set(BLOCKS[window]) & set(BLOCKS[others])
        assert len(others) == 40


def test_no_request_comes_twice_before_all_of_its_days_came_once() -> None:
    for _, window, _ in request_pairs(BLOCKS, 1, 15, 20, np.random.default_rng(0)):
        counts = np.bincount(window)
        assert sorted(set(counts[counts > 0].tolist())) == [1, 2]
        assert np.count_nonzero(counts) == 10


@pytest.mark.parametrize("days", [1, 2])
def test_every_day_is_drawn_equally_often(days: int) -> None:
    """Else the thresholds would be of those days that chance preferred."""
    marks = [pair.blocks for pair in request_pairs(BLOCKS, days, 10, 60 // days, np.random.default_rng(0))]
    assert np.sum(marks, axis=0).tolist() == [10] * 6


def test_no_more_requests_are_compared_with_than_live_windows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_windows, "COMPARED", 15)
    for others, _, day in request_pairs(BLOCKS, 1, 10, 20, np.random.default_rng(0)):
        assert len(set(others.tolist())) == 15
        assert not day[BLOCKS[others]].any()


def test_a_third_of_the_days_at_most_make_a_window() -> None:
    settings = MonitoringSettings(window_hours=7 * 24)
    assert {days: drawn_days(settings, days) for days in (2, 6, 14, 90)} == {2: 1, 6: 2, 14: 4, 90: 7}


def test_two_cohorts_share_no_week() -> None:
    for before, after, weeks in cohort_pairs(BLOCKS, 2, 20, 10, 50, np.random.default_rng(0)):
        assert (len(before), len(after)) == (20, 10)
        assert not set(BLOCKS[before]) & set(BLOCKS[after])
        assert set(np.flatnonzero(weeks)) == set(BLOCKS[after])


def test_two_catalogues_are_drawn_with_replacement() -> None:
    before, after, _ = next(catalogue_pairs(100, 50, 1, np.random.default_rng(0)))
    assert (len(before), len(after)) == (100, 50)
    assert len(set(before.tolist())) < 100


def test_windows_last_whole_days() -> None:
    hours = {24: 1, 48: 2, 168: 7}
    assert {h: window_days(MonitoringSettings(window_hours=h)) for h in hours} == hours
