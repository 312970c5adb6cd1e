"""The generated shop: its planted drift is caught, and without drift the stated rate of alarms holds."""

from pathlib import Path

import polars as pl
import pytest
from scipy.stats import binom

from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.drift_report import DriftReport
from components.monitoring.judging import judge
from components.monitoring.window import Window, read_window
from tests.components.monitoring.conftest import (
    DAILY,
    DAY,
    END,
    THREE_DAYS,
    MonitoredShop,
    generated,
    write_traffic,
)

WINDOWS = 56
DAYS = 14


@pytest.fixture(scope="module")
def quiet_windows(quiet_shop: MonitoredShop, tmp_path_factory: pytest.TempPathFactory) -> list[Window]:
    """A day of traffic each: the judge window's days by other draws of people's wishes, all dated as the day
    before its end, with the catalogue as it was then."""
    folder = tmp_path_factory.mktemp("windows")
    windows = []
    for replica in range(WINDOWS // DAYS):
        _, events = generated(1 + replica)
        for day in range(DAYS):
            until = END - day * DAY
            asked = events.filter(pl.col("at").is_between(until - DAY, until, closed="left"))
            moved = asked.with_columns(pl.col("at") + day * DAY)
            traffic = write_traffic(folder / f"{replica}-{day}", quiet_shop.answers(moved))
            windows.append(read_window(traffic, quiet_shop.listed(END), END - DAY, END, DAILY))
    return windows


@pytest.mark.slow
def test_56_windows_without_drift_keep_the_stated_rate(
    quiet_shop: MonitoredShop, quiet_alarms: Alarms, quiet_windows: list[Window]
) -> None:
    """No more alarms than 56 windows at 5 % have in 999 of 1,000 cases, and every window is judged."""
    reports = [judge(window, quiet_shop.reference, quiet_alarms, DAILY) for window in quiet_windows]
    assert len(reports) == WINDOWS
    assert {report.verdict for report in reports} <= {"drift", "no drift"}
    alarms = sum(report.verdict == "drift" for report in reports)
    assert alarms <= binom.ppf(0.999, WINDOWS, DAILY.false_alarm_rate)


@pytest.mark.slow
def test_the_planted_drift_is_caught_within_two_windows(busy_shop: MonitoredShop, tmp_path: Path) -> None:
    """New words in 4 of 100 queries; two windows of three days each."""
    launched = busy_shop.items.filter(pl.col("listed_at").is_between(END, END + 6 * DAY))
    after = busy_shop.events.filter(pl.col("at").is_between(END, END + 6 * DAY))
    traffic = write_traffic(tmp_path / "traffic", busy_shop.answers(after, launched))
    alarms = calibrate(busy_shop.reference, THREE_DAYS)
    reports = [_judged(busy_shop, traffic, alarms, END + number * 3 * DAY) for number in range(2)]
    assert "query_vectors" in {name for report in reports for name in report.raised}


def _judged(shop: MonitoredShop, traffic: Path, alarms: Alarms, start) -> DriftReport:
    end = start + 3 * DAY
    window = read_window(traffic, shop.listed(end), start, end, THREE_DAYS)
    return judge(window, shop.reference, alarms, THREE_DAYS)
