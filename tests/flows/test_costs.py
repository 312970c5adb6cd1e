"""A retrain's cost, from its stages to the reports."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from components.cost.usage import USAGE
from flows.acts import report_of_run
from flows.costs import JUDGING, PREPARING, TRAINING, cost_of_run, usage_beside
from flows.run import Run
from flows.shop import Shop, open_shop

UNCOUNTED = {"undiscoverable"}
"""Stages that come after the gate."""
DIGESTED = ("load", "split", "tasks", "examples", "base", "heads", "history")
"""Whose folders are digested, or go into the candidate, with all their files."""


def opened(tiny: Any) -> Shop:
    return open_shop(str(tiny.config), None, str(tiny.workspace.parent))


def stages_of(shop: Shop) -> dict[Path, str]:
    """Folders of all stages in the workspace, with the stages' names."""
    folders = [path for path in (shop.workspace / "stages").iterdir() if path.is_dir()]
    return {path: path.name.partition("-")[0] for path in folders if path.suffix != ".attempts"}


def test_a_retrain_reports_what_preparing_training_and_judging_took(finished: Any) -> None:
    """cost.json, both pages, the JSON and MLflow have the same figures; gate_report.json has none."""
    shop, outcome = finished
    result = outcome.json
    folder = shop.workspace / "runs" / result["run_id"]
    cost = json.loads((folder / "cost.json").read_text())
    assert cost == result["cost"]
    preparing, training, judging = cost["preparing"], cost["training"], cost["judging"]
    assert preparing["measured"] == training["measured"] == judging["measured"] == "this run"
    assert cost["unmeasured"] == 0
    seconds = preparing["seconds"] + training["seconds"] + judging["seconds"]
    assert cost["total"]["seconds"] == pytest.approx(seconds, abs=0.01)
    assert 0 < seconds < result["seconds"]
    assert preparing["cpu_hours"] > 0
    assert 0 < training["seconds"] < result["seconds"]
    assert training["cpu_hours"] > 0 and judging["cpu_hours"] > 0
    assert training["peak_memory_mb"] > 200  # torch alone
    assert training["estimated"] == ("estimated" in training["energy"])
    for page in ("gate_report.html", "gate_report.md"):
        assert "CPU-hours" in (folder / page).read_text() and "preparing" in (folder / page).read_text()
    assert "cpu_hours" not in (folder / "gate_report.json").read_text()
    client = MlflowClient(f"sqlite:///{shop.workspace / 'mlflow.db'}")
    [run] = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.data.metrics["cost/training/seconds"] == training["seconds"]
    assert run.data.metrics["cost/preparing/seconds"] == preparing["seconds"]
    assert "**Cost**" in client.get_model_version_by_alias("tiny", "challenger").description


def test_a_cached_training_keeps_the_cost_of_when_it_was_run(finished: Any) -> None:
    """A later run that takes the stages from the cache reports their cost, and that it is an earlier one."""
    tiny, outcome = finished
    shop = opened(tiny)
    later = Run(shop, "later", {}, began=datetime.now(UTC), used=stages_of(shop))
    cost = cost_of_run(later, report_of_run(shop, outcome.json["run_id"]))
    first = outcome.json["cost"]
    assert cost is not None
    assert cost.preparing is not None
    assert {part.measured for part in (cost.preparing, cost.training, cost.judging)} == {"earlier"}
    assert cost.training.cpu_hours == first["training"]["cpu_hours"]
    assert cost.judging.seconds == first["judging"]["seconds"]
    assert cost_of_run(Run(shop, "untrained", {}), report_of_run(shop, outcome.json["run_id"])) is None


def test_version_0s_plan_and_heads_are_no_cost_of_its_challenger(finished: Any) -> None:
    """The workspace holds both releases' stages; what version 0 alone needs is not in the run's cost."""
    tiny, outcome = finished
    shop = opened(tiny)
    both = Run(shop, "both", {}, used=stages_of(shop))
    assert all(list(both.used.values()).count(stage) > 1 for stage in ("heads", "plan"))
    cost = cost_of_run(both, report_of_run(shop, outcome.json["run_id"]))
    assert cost is not None and cost.preparing is not None
    assert cost.preparing.seconds > outcome.json["cost"]["preparing"]["seconds"]


def test_every_stage_is_counted_once_and_measured(finished: Any) -> None:
    """A stage that is new in the flow has to be placed: in a part of the cost, or among those left out."""
    stages = stages_of(opened(finished[0]))
    assert set(stages.values()) <= {*PREPARING, *TRAINING, *JUDGING} | UNCOUNTED
    assert len({*PREPARING, *TRAINING, *JUDGING}) == len(PREPARING + TRAINING + JUDGING)
    for folder, stage in stages.items():
        places = [place.is_file() for place in (folder / USAGE, usage_beside(folder))]
        assert sum(places) == (stage not in UNCOUNTED), folder.name


def test_no_measurement_is_in_what_has_a_digest(finished: Any) -> None:
    """A folder whose digest counts all its files, and a candidate, would else be another one in every run."""
    shop = opened(finished[0])
    stages = stages_of(shop)
    assert set(DIGESTED) <= set(stages.values())
    assert not [
        folder.name for folder, stage in stages.items() if stage in DIGESTED and (folder / USAGE).exists()
    ]
    assert not list(shop.candidates.rglob("*usage*"))


def test_stages_older_than_their_measurement_leave_the_rest_of_the_cost(finished: Any) -> None:
    """One of a workspace that an earlier version made is told; where all are, preparing has no figures."""
    tiny, outcome = finished
    shop = opened(tiny)
    report, stages = report_of_run(shop, outcome.json["run_id"]), stages_of(shop)
    older = {shop.workspace / "stages" / "plan-older": "plan"}
    run = Run(shop, "later", {}, used=stages | older)
    cost = cost_of_run(run, report)
    assert cost is not None and cost.preparing is not None
    assert cost.unmeasured == 1
    unprepared = {folder: stage for folder, stage in stages.items() if stage not in PREPARING}
    cost = cost_of_run(replace(run, used=unprepared | older), report)
    assert cost is not None and cost.preparing is None
    assert cost.total.seconds == pytest.approx(cost.training.seconds + cost.judging.seconds, abs=0.01)
