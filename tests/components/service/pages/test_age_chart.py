"""Recall against age in the coordinates of a drawing."""

from hypothesis import given
from hypothesis import strategies as st

from components.evaluation.age import RecallPoint
from components.service.age_chart import BOTTOM, HEIGHT, LEFT, TOP, WIDTH, age_chart
from components.service.releases import AgeCurve, AgePlot


@st.composite
def points(draw: st.DrawFn, count: int) -> tuple[RecallPoint, ...]:
    made = []
    for number in range(count):
        low, mean, high = sorted(draw(st.lists(st.floats(0, 1), min_size=3, max_size=3)))
        if draw(st.booleans()):
            made.append(RecallPoint(f"{number}-{number + 1}", 0, None, None, None))
        else:
            made.append(RecallPoint(f"{number}-{number + 1}", 9, mean, low, high))
    return tuple(made)


@given(st.data(), st.integers(1, 8), st.booleans())
def test_everything_lies_inside_the_drawing(data: st.DataObject, count: int, dated: bool) -> None:
    """Higher recall is higher up, and only measured buckets have a mark."""
    curves = tuple(AgeCurve(name, None, data.draw(points(count))) for name in ("challenger", "champion"))
    chart = age_chart(AgePlot(curves, 10, dated, None))
    if chart is None:
        assert all(point.mean is None for curve in curves for point in curve.points)
        return
    assert len(chart.labels) == count
    for line, curve in zip(chart.lines, curves, strict=True):
        measured = [point for point in curve.points if point.mean is not None]
        assert len(line.spots) == len(measured)
        for spot in line.spots:
            assert LEFT <= spot.x <= WIDTH and TOP <= spot.high <= spot.y <= spot.low <= HEIGHT - BOTTOM
        by_recall = sorted(zip(measured, line.spots, strict=True), key=lambda pair: pair[0].mean or 0)
        heights = [spot.y for _, spot in by_recall]
        assert heights == sorted(heights, reverse=True)
        assert bool(line.path) == (dated and bool(measured))


def test_ticks_are_round() -> None:
    """Up to the next fifth above the highest interval."""
    curve = AgeCurve("challenger", None, (RecallPoint("0-1", 5, 0.3, 0.2, 0.41),))
    chart = age_chart(AgePlot((curve,), 10, True, None))
    assert chart is not None
    assert [text for _, text in chart.ticks] == ["0.00", "0.15", "0.30", "0.45", "0.60"]
