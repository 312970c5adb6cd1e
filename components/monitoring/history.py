"""Which windows are due, and when drift may be told of again."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from components.contract.operations import MonitoringSettings
from components.monitoring.reference import utc

LAG = timedelta(minutes=2)
"""A window is judged so long after its end: the traffic log is written every minute."""
MOST_WINDOWS = 7
"""Missed windows that are still judged, the newest."""
LONGEST_PAUSE = timedelta(days=7)


def due_windows(
    judged: Iterable[datetime], since: datetime, now: datetime, settings: MonitoringSettings
) -> list[tuple[datetime, datetime]]:
    """Start and end of the windows to judge, oldest first; naive, UTC.

    Windows follow one another without overlap, from 1970 on, so that every request is judged once. judged:
    ends of those that were; since: when the champion became it, as nothing was its own before.
    """
    length, epoch = timedelta(hours=settings.window_hours), datetime(1970, 1, 1)
    done = {utc(end) for end in judged}
    last = epoch + (utc(now) - LAG - epoch) // length * length
    ends = [last - number * length for number in range(MOST_WINDOWS)]
    return [(end - length, end) for end in reversed(ends) if end > utc(since) and end not in done]


def due(told: Iterable[datetime], now: datetime, settings: MonitoringSettings) -> bool:
    """Whether drift may be told of again. told: when it was since the last change of champion, and once
    before that at most. After the first time the pause is debounce_hours; each that changed nothing doubles
    it, up to LONGEST_PAUSE."""
    times = sorted(utc(at) for at in told)
    if not times:
        return True
    pause = timedelta(hours=settings.debounce_hours * 2 ** min(len(times) - 1, 10))
    return utc(now) - times[-1] >= min(pause, max(LONGEST_PAUSE, timedelta(hours=settings.debounce_hours)))
