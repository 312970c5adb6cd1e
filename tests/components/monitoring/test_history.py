"""When a window is due, and drift may be told of again."""

from datetime import datetime, timedelta

from components.contract.operations import MonitoringSettings
from components.monitoring.history import MOST_WINDOWS, due, due_windows

DAY = timedelta(days=1)
MIDNIGHT = datetime(2026, 1, 5)
SETTINGS = MonitoringSettings(debounce_hours=24)


def test_a_window_is_due_when_it_is_over_and_its_traffic_is_written() -> None:
    since = MIDNIGHT - DAY
    assert due_windows([], since, MIDNIGHT + timedelta(minutes=1), SETTINGS) == []
    assert due_windows([], since, MIDNIGHT + timedelta(hours=7), SETTINGS) == [(MIDNIGHT - DAY, MIDNIGHT)]


def test_no_request_is_judged_twice() -> None:
    """Judged windows are not due again, and the others do not overlap."""
    now, since = MIDNIGHT + timedelta(hours=7), MIDNIGHT - 4 * DAY
    found = due_windows([MIDNIGHT - DAY], since, now, SETTINGS)
    assert [end for _, end in found] == [MIDNIGHT - 3 * DAY, MIDNIGHT - 2 * DAY, MIDNIGHT]
    assert all(end - start == DAY for start, end in found)


def test_of_many_missed_windows_the_newest_are_judged() -> None:
    found = due_windows([], MIDNIGHT - 100 * DAY, MIDNIGHT + timedelta(hours=1), SETTINGS)
    assert len(found) == MOST_WINDOWS
    assert found[-1] == (MIDNIGHT - DAY, MIDNIGHT)


def test_the_pause_doubles_with_every_time_that_changed_nothing() -> None:
    hours = timedelta(hours=1)
    assert due([], MIDNIGHT, SETTINGS)
    assert due([MIDNIGHT - 24 * hours], MIDNIGHT, SETTINGS)
    assert not due([MIDNIGHT - 23 * hours], MIDNIGHT, SETTINGS)
    twice = [MIDNIGHT - 80 * hours, MIDNIGHT - 47 * hours]
    assert not due(twice, MIDNIGHT, SETTINGS)
    assert due(twice, MIDNIGHT + hours, SETTINGS)
    assert due([MIDNIGHT - number * DAY for number in range(7, 30)], MIDNIGHT, SETTINGS)


def test_without_a_pause_drift_is_told_of_every_time() -> None:
    assert due([MIDNIGHT, MIDNIGHT], MIDNIGHT, MonitoringSettings(debounce_hours=0))
