"""Recall against item age as a line chart, in the coordinates of an SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from components.evaluation.age import RecallPoint
from components.service.releases import AgeCurve, AgePlot

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 16, 62
TICKS = 4


@dataclass(frozen=True)
class Spot:
    """One measured point, and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    system: str
    digest: str | None
    spots: tuple[Spot, ...]
    path: str
    """An SVG path through the spots; "" where the buckets have no order to be joined in."""
    band: str
    """Points of the polygon between the intervals' ends."""


@dataclass(frozen=True)
class Chart:
    lines: tuple[Line, ...]
    labels: tuple[tuple[float, str], ...]
    """x and text per bucket."""
    ticks: tuple[tuple[float, str], ...]
    """y and text per tick."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    base: int = HEIGHT - BOTTOM


def age_chart(plot: AgePlot) -> Chart | None:
    """None where nothing was measured."""
    ends = [p.high for curve in plot.curves for p in curve.points if p.high is not None]
    if not ends:
        return None
    top = _round_up(max(ends))
    labels = [point.label for point in plot.curves[0].points]
    return Chart(
        lines=tuple(_line(curve, top, plot.dated, n) for n, curve in enumerate(plot.curves)),
        labels=tuple((_x(n, len(labels)), label.replace("-", "–")) for n, label in enumerate(labels)),
        ticks=tuple((_y(top * n / TICKS, top), f"{top * n / TICKS:.2f}") for n in range(TICKS + 1)),
    )


def _line(curve: AgeCurve, top: float, joined: bool, shift: int) -> Line:
    count = len(curve.points)
    # A few units apart, so that the intervals of two lines do not cover each other.
    spots = [
        _spot(point, _x(n, count) + 8 * (shift - 0.5), top)
        for n, point in enumerate(curve.points)
        if point.mean is not None
    ]
    path = "M" + " L".join(f"{spot.x:.1f} {spot.y:.1f}" for spot in spots) if joined and spots else ""
    return Line(curve.system, curve.digest, tuple(spots), path, _band(spots) if joined else "")


def _spot(point: RecallPoint, x: float, top: float) -> Spot:
    mean = point.mean or 0.0
    low, high = (mean if end is None else end for end in (point.low, point.high))
    return Spot(*(round(value, 1) for value in (x, _y(mean, top), _y(low, top), _y(high, top))))


def _band(spots: Sequence[Spot]) -> str:
    there = [f"{spot.x},{spot.high}" for spot in spots]
    back = [f"{spot.x},{spot.low}" for spot in reversed(spots)]
    return " ".join([*there, *back])


def _x(number: int, count: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (number + 0.5) / count, 1)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top, 1)


def _round_up(value: float) -> float:
    """The next multiple of 0.2, at most 1: ticks then have at most two decimals."""
    return min(1.0, max(0.2, math.ceil(value / 0.2 - 1e-9) * 0.2))
