"""The generated shop, by one configuration: its planted drift is caught, and without drift the rate holds."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scipy.stats import binom

from components.data.demo import sizes
from components.monitoring.alarms import Alarms, calibrate
from components.monitoring.drift_report import DriftReport
from components.monitoring.judging import judge
from components.monitoring.window import read_window
from tests.components.monitoring.conftest import (
    BUSY,
    DAILY,
    DAY,
    END,
    MonitoredShop,
    generated,
    write_traffic,
)

WINDOWS = 56
DAYS = 14


@pytest.fixture(scope="module")
def alarms(busy_shop: MonitoredShop) -> Alarms:
    return calibrate(busy_shop.reference, DAILY)


@pytest.mark.slow
def test_56_windows_without_drift_keep_the_stated_rate(
    busy_shop: MonitoredShop, alarms: Alarms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fresh days: four times the judge window's two weeks, by other draws of people's wishes. No more alarms
    than so many windows have in 99 of 100 cases, and every window is judged."""
    monkeypatch.setattr(sizes, "SEARCHES_PER_WEEK", BUSY)
    reports = []
    for replica in range(WINDOWS // DAYS):
        _, events = generated(1 + replica)
        asked = events.filter(pl.col("at").is_between(END - DAYS * DAY, END, closed="left"))
        answers = busy_shop.answers(asked)
        for day in range(DAYS):
            traffic = write_traffic(tmp_path / f"{replica}-{day}", _as_of_the_last_day(answers, day))
            reports.append(_judged(busy_shop, traffic, alarms, END - DAY))
    assert len(reports) == WINDOWS
    assert {report.verdict for report in reports} <= {"drift", "no drift"}
    raised = sum(report.verdict == "drift" for report in reports)
    assert raised <= binom.ppf(0.99, WINDOWS, alarms.false_alarm_rate)


@pytest.mark.slow
def test_the_planted_drift_is_caught_within_two_windows(
    busy_shop: MonitoredShop, alarms: Alarms, tmp_path: Path
) -> None:
    """By the same settings and alarms: new words in 4 of 100 queries, which the champion does not know."""
    launched = busy_shop.items.filter(pl.col("listed_at").is_between(END, END + 2 * DAY))
    after = busy_shop.events.filter(pl.col("at").is_between(END, END + 2 * DAY))
    traffic = write_traffic(tmp_path / "traffic", busy_shop.answers(after, launched))
    reports = [_judged(busy_shop, traffic, alarms, END + number * DAY) for number in range(2)]
    assert "drift" in {report.verdict for report in reports}
    assert {name for report in reports for name in report.raised} & {"top_score", "query_vectors"}


def _as_of_the_last_day(answers: list[dict[str, Any]], day: int) -> list[dict[str, Any]]:
    """Those of one day, counted back from END, dated as the day before END: its catalogue answered them."""
    until = (END - day * DAY).replace(tzinfo=UTC)
    return [row | {"at": row["at"] + day * DAY} for row in answers if until - DAY <= row["at"] < until]


def _judged(shop: MonitoredShop, traffic: Path, alarms: Alarms, start: datetime) -> DriftReport:
    end = start + DAY
    window = read_window(traffic, shop.listed(end), start, end, DAILY)
    return judge(window, shop.reference, alarms, DAILY)
