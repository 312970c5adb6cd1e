"""A retrain's cost, from its stages to the reports."""

import json
from datetime import UTC, datetime
from typing import Any

from mlflow import MlflowClient

from flows.acts import report_of_run
from flows.costs import cost_of_run
from flows.run import Run
from flows.shop import open_shop


def test_a_retrain_reports_what_training_and_judging_took(finished: Any) -> None:
    """cost.json, both pages, the JSON and MLflow have the same figures; gate_report.json has none."""
    shop, outcome = finished
    result = outcome.json
    folder = shop.workspace / "runs" / result["run_id"]
    cost = json.loads((folder / "cost.json").read_text())
    assert cost == result["cost"]
    training, judging = cost["training"], cost["judging"]
    assert training["measured"] == judging["measured"] == "this run"
    assert 0 < training["seconds"] < result["seconds"]
    assert training["cpu_hours"] > 0 and judging["cpu_hours"] > 0
    assert training["peak_memory_mb"] > 200  # torch alone
    assert training["estimated"] == ("estimated" in training["energy"])
    for page in ("gate_report.html", "gate_report.md"):
        assert "CPU-hours" in (folder / page).read_text()
    assert "cpu_hours" not in (folder / "gate_report.json").read_text()
    client = MlflowClient(f"sqlite:///{shop.workspace / 'mlflow.db'}")
    [run] = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.data.metrics["cost/training/seconds"] == training["seconds"]
    assert "**Cost**" in client.get_model_version_by_alias("tiny", "challenger").description


def test_a_cached_training_keeps_the_cost_of_when_it_was_run(finished: Any) -> None:
    """A later run that takes the stages from the cache reports their cost, and that it is an earlier one."""
    tiny, outcome = finished
    shop = open_shop(str(tiny.config), None, str(tiny.workspace.parent))
    stages = [path for path in (shop.workspace / "stages").iterdir() if path.suffix != ".attempts"]
    used = {path: path.name.partition("-")[0] for path in stages}
    later = Run(shop, "later", {}, began=datetime.now(UTC), used=used)
    cost = cost_of_run(later, report_of_run(shop, outcome.json["run_id"]))
    first = outcome.json["cost"]
    assert cost is not None
    assert (cost.training.measured, cost.judging.measured) == ("earlier", "earlier")
    assert cost.training.cpu_hours == first["training"]["cpu_hours"]
    assert cost.judging.seconds == first["judging"]["seconds"]
    assert cost_of_run(Run(shop, "untrained", {}), report_of_run(shop, outcome.json["run_id"])) is None
