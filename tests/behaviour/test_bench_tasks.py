"""The JSON of `make bench-tasks`: per task a value and its baseline's, on all and new items, and seconds."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import tasks

BASELINE = {"all": {"accuracy": 0.6, "rows": 9}, "new": {"accuracy": 0.5, "rows": 4}}


def system(everything: float, new: float) -> dict[str, Any]:
    return {"all": {"accuracy": everything, "rows": 9}, "new": {"accuracy": new, "rows": 4}}


@pytest.mark.parametrize(
    ("systems", "value"),
    [
        ({"untrained": system(0.7, 0.6), "multi_task": system(0.8, 0.7)}, {"all": 0.8, "new": 0.7}),
        ({"untrained": system(0.7, 0.6)}, {"all": 0.7, "new": 0.6}),
    ],
)
def test_a_tasks_value_is_of_what_would_be_released(systems: dict[str, Any], value: dict[str, float]) -> None:
    """After training where there was one; all systems stay beside it, and in the table."""
    of = {
        "metric": "accuracy",
        "baseline": BASELINE,
        "seconds": {"untrained": 1.0, "baseline": 2.5},
    } | systems
    told = tasks._summed_up(of)
    assert (told["value"], told["baseline_value"]) == (value, {"all": 0.6, "new": 0.5})
    assert (told["metric"], told["seconds"]) == ("accuracy", 3.5)
    assert told["systems"] == systems | {"baseline": BASELINE}
    figures = {"shop": {"tasks": {"kind": told}, "seconds": 9.0}}
    assert "| shop | kind | accuracy | all | 9 |" in tasks.markdown(figures)
    assert tasks._as_json(figures) == {"tasks": {"shop/kind": told}, "shops": {"shop": {"seconds": 9.0}}}


def test_the_table_has_all_measures_the_tasks_own_first() -> None:
    """One that a system does not give is a dash."""
    ours = system(0.7, 0.6)
    ours["all"]["accuracy@5"] = 0.9
    told = {"metric": "accuracy", "systems": {"untrained": ours, "baseline": BASELINE}}
    lines = tasks.markdown({"shop": {"tasks": {"kind": told}}}).splitlines()[2:]
    assert [line.split(" | ")[2:4] for line in lines] == [
        ["accuracy", "new"], ["accuracy", "all"], ["accuracy@5", "new"], ["accuracy@5", "all"]
    ]  # fmt: skip
    assert "0.900" in lines[3] and lines[2].count("–") == 7
