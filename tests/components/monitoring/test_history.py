"""Judged windows on disk."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.contract.errors import MonitoringError
from components.contract.operations import MonitoringSettings
from components.monitoring.drift_report import DriftReport
from components.monitoring.history import due, judged_windows, keep

START = datetime(2026, 1, 5)


def report(start: datetime, sentence: str = "No drift.") -> DriftReport:
    return DriftReport(
        release="a" * 64,
        start=start,
        end=start + timedelta(days=1),
        verdict="no drift",
        sentence=sentence,
        raised=(),
        requests=1,
        requests_left_out=0,
        items=1,
        new_items=0,
        false_alarm_rate=0.05,
        metrics=(),
    )


def test_a_window_is_kept_once(tmp_path: Path) -> None:
    """A second judgement of it changes nothing."""
    assert keep(tmp_path / "monitoring", report(START))
    assert not keep(tmp_path / "monitoring", report(START, "Another."))
    assert judged_windows(tmp_path / "monitoring") == [report(START)]


def test_windows_come_by_their_start(tmp_path: Path) -> None:
    starts = [START + timedelta(hours=hours) for hours in (5, 1, 3)]
    for start in starts:
        keep(tmp_path, report(start))
    assert [one.start for one in judged_windows(tmp_path)] == sorted(starts)
    assert judged_windows(tmp_path / "absent") == []


def test_a_damaged_window_is_named(tmp_path: Path) -> None:
    (tmp_path / "20260105T000000Z.json").write_text("{}")
    with pytest.raises(MonitoringError, match=r"20260105T000000Z\.json"):
        judged_windows(tmp_path)


def test_a_drift_event_follows_another_after_the_debounce_hours_only() -> None:
    settings = MonitoringSettings(debounce_hours=24)
    now = START.replace(tzinfo=UTC)
    assert due(None, now, settings)
    assert due(START - timedelta(hours=24), now, settings)
    assert not due(START - timedelta(hours=23), now, settings)
