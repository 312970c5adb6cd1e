"""Cost of a candidate, and per point of new-item recall."""

from datetime import UTC, datetime, timedelta

import pytest

from components.contract.operations import CostSettings
from components.contract.records import Gate, GateReport
from components.cost.summary import HEADER, PREPARED, cost_metrics, cost_notes, cost_of, cost_rows
from components.cost.usage import Usage

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def usage(**changed) -> Usage:
    fields = {"seconds": 1_800.0, "cpu_seconds": 7_200.0, "gpu_seconds": 0.0, "peak_memory_mb": 900.0}
    fields |= {"cpu_joules": None, "gpu_joules": None, "ended": BEGAN + timedelta(hours=1)}
    return Usage(**(fields | changed))


def report(difference: float | None) -> GateReport:
    interval = (None, None) if difference is None else (difference - 0.01, difference + 0.01)
    figures = dict.fromkeys(("champion", "challenger", "margin"))
    gate = Gate(name="new/recall@10", kind="primary", difference=difference, low=interval[0],
                high=interval[1], requests=9, outcome="pass", sentence="", **figures)  # fmt: skip
    guardrail = gate.model_copy(update={"kind": "guardrail", "difference": 0.5})
    return GateReport(challenger_digest="d", champion_digest="c", verdict="PROMOTE", sentence="",
                      gates=(guardrail, gate), queries_needed=None, policy={})  # fmt: skip


def cost(training=None, judging=None, difference=0.04, preparing=(), unmeasured=0):
    """Two CPU-hours of training and one of judging, unless others are given."""
    training, judging = training or [usage()], judging or [usage(cpu_seconds=3_600.0)]
    settings = CostSettings(watts_per_core=12.0)
    return cost_of(preparing, training, judging, report(difference), settings, BEGAN, unmeasured=unmeasured)


def column(found, name: str) -> list[str]:
    return [dict(zip(HEADER, row, strict=True))[name] for row in cost_rows(found)]


def test_energy_that_cannot_be_read_is_estimated_and_said_so():
    """2 + 1 CPU-hours at 12 W; the sentence names the figure."""
    found = cost()
    assert found.total.energy_wh == pytest.approx(36.0)
    assert found.total.estimated
    assert "Energy: estimated from CPU-hours × 12 W per core." in cost_notes(found)
    assert [row[0] for row in cost_rows(found)] == ["time", "CPU-hours", "energy (estimate)", "peak memory"]


def test_counted_energy_is_what_was_counted():
    """7,200 J of packages and 3,600 J of a GPU are 3 Wh; half an hour of one GPU is 0.5 GPU-hours."""
    counted = usage(cpu_joules=7_200.0, gpu_seconds=1_800.0, gpu_joules=3_600.0)
    part = cost(training=[counted]).training
    assert (part.energy_wh, part.gpu_hours, part.estimated) == (3.0, 0.5, False)
    assert part.energy == "processor packages counted (RAPL); GPUs counted (NVML)"
    mixed = cost(training=[counted.model_copy(update={"gpu_joules": None})]).training
    assert mixed.energy_wh == pytest.approx(2.0 + 0.5 * 400)
    assert mixed.estimated


def test_a_point_costs_training_and_judging_divided_by_the_gain():
    """4 points of new-item recall for 3 CPU-hours and one hour by the clock; the guardrail's gain is none."""
    found = cost()
    assert (found.gain_points, found.per_point.cpu_hours, found.per_point.seconds) == (4.0, 0.75, 900.0)
    metrics = cost_metrics(found)
    assert metrics["cost/per_point/cpu_hours"] == 0.75
    assert metrics["cost/training/peak_memory_mb"] == 900.0
    assert "Gained: +4.0 points of new-item recall [+3.0, +5.0]." in cost_notes(found)


@pytest.mark.parametrize("difference", [None, 0.0, -0.02])
def test_without_a_gain_there_is_no_price(difference):
    """Dividing by nothing, or by a loss, would give a figure that means nothing."""
    found = cost(difference=difference)
    assert found.per_point is None
    assert "no cost per point" in cost_notes(found)[0]
    assert [row[-1] for row in cost_rows(found)][:2] == ["–", "–"]


def test_preparing_counts_in_the_whole_and_per_point():
    """An hour of CPU and 20 minutes more: 4 CPU-hours and 80 minutes for 4 points."""
    found = cost(
        preparing=[usage(seconds=700.0, cpu_seconds=3_000.0), usage(seconds=500.0, cpu_seconds=600.0)]
    )
    assert (found.preparing.seconds, found.preparing.cpu_hours) == (1_200.0, 1.0)
    assert (found.total.seconds, found.total.cpu_hours, found.total.energy_wh) == (4_800.0, 4.0, 48.0)
    assert (found.per_point.seconds, found.per_point.cpu_hours) == (1_200.0, 1.0)
    assert column(found, "preparing") == ["20.0 min", "1.00", "12.00 Wh", "900 MB"]
    assert column(found, "together")[:2] == ["80.0 min", "4.00"]
    assert cost_metrics(found)["cost/preparing/cpu_hours"] == 1.0
    assert PREPARED in cost_notes(found)
    assert not any("before they were measured" in note for note in cost_notes(found))


def test_stages_older_than_their_measurement_are_told_and_not_counted():
    """Where some of preparing was measured, that counts; where nothing was, its column says so."""
    some, none = cost(preparing=[usage()], unmeasured=2), cost(unmeasured=3)
    assert some.total.cpu_hours == 5.0
    assert "Stages of preparing run before they were measured, and not counted: 2." in cost_notes(some)
    assert none.preparing is None
    assert none.total.cpu_hours == 3.0
    assert column(none, "preparing") == ["–"] * 4
    assert "–" not in column(none, "training") + column(none, "together")
    assert "Stages of preparing run before they were measured, and not counted: 3." in cost_notes(none)
    assert PREPARED not in cost_notes(none)
    assert not any(name.startswith("cost/preparing") for name in cost_metrics(none))


def test_a_cached_stage_tells_its_own_cost_and_when_it_was_run():
    """The seconds are those of the training long ago, not the moment that reading the cache took."""
    old = usage(ended=BEGAN - timedelta(days=2))
    found = cost(training=[old], judging=[old, usage()])
    assert (found.training.measured, found.training.seconds) == ("earlier", 1_800.0)
    notes = cost_notes(found)
    assert any(
        note.startswith("Training came from the cache") and "2026-02-27 12:00" in note for note in notes
    )
    assert any(note.startswith("Judging came in part from the cache") for note in notes)
    prepared = cost(preparing=[old, usage()])
    assert (prepared.preparing.measured, prepared.training.measured) == ("partly earlier", "this run")
    assert any(note.startswith("Preparing came in part from the cache") for note in cost_notes(prepared))
    assert not any("cache" in note for note in cost_notes(cost(preparing=[usage()])))


def test_a_training_or_judging_without_a_measurement_gives_no_cost():
    assert cost_of([usage()], [], [usage()], report(0.1), CostSettings(), BEGAN) is None
    assert cost_of([usage()], [usage()], [], report(0.1), CostSettings(), BEGAN) is None
