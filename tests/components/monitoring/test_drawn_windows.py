"""Which rows make a window without drift."""

import numpy as np

from components.contract.operations import MonitoringSettings
from components.monitoring.drawn_windows import catalogue_pairs, cohort_pairs, request_pairs, window_days

BLOCKS = np.repeat(np.arange(6), 10)


def test_a_window_is_of_whole_days_which_the_compared_rest_does_not_have() -> None:
    for others, window in request_pairs(BLOCKS, 2, 20, 50, np.random.default_rng(0)):
        assert len(set(window.tolist())) == 20
        assert len(set(BLOCKS[window])) == 2
        assert not set(BLOCKS[window]) & set(BLOCKS[others])
        assert len(others) == 40


def test_no_request_comes_twice_before_all_of_its_days_came_once() -> None:
    for _, window in request_pairs(BLOCKS, 1, 15, 20, np.random.default_rng(0)):
        counts = np.bincount(window)
        assert sorted(set(counts[counts > 0].tolist())) == [1, 2]
        assert np.count_nonzero(counts) == 10


def test_half_of_the_days_at_most_make_a_window() -> None:
    for others, window in request_pairs(BLOCKS, 14, 30, 5, np.random.default_rng(0)):
        assert len(set(BLOCKS[window])) == 3
        assert len(others) == 30


def test_two_cohorts_share_no_week() -> None:
    for before, after in cohort_pairs(BLOCKS, 2, 20, 10, 50, np.random.default_rng(0)):
        assert (len(before), len(after)) == (20, 10)
        assert not set(BLOCKS[before]) & set(BLOCKS[after])


def test_two_catalogues_are_drawn_with_replacement() -> None:
    before, after = next(catalogue_pairs(100, 50, 1, np.random.default_rng(0)))
    assert (len(before), len(after)) == (100, 50)
    assert len(set(before.tolist())) < 100


def test_windows_last_whole_days() -> None:
    hours = {1: 1, 24: 1, 48: 2, 168: 7}
    assert {h: window_days(MonitoringSettings(window_hours=h)) for h in hours} == hours
