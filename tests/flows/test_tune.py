"""`debut tune`: a search that is killed and goes on, and what it leaves."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from components.contract.knowledge import KnowledgeSettings
from components.contract.settings import Settings
from flows.run import Run
from flows.shop import Shop
from flows.training_spec import Miner
from flows.tune import _study_name

SPACE = {"learning_rate": {"low": 0.0005, "high": 0.01, "log": True}, "hard_negatives": {"low": 0, "high": 1}}

EPOCHS = 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--minutes", "0"], "--minutes is 0: give the search more than 0 minutes"),
        (["--minutes", "5", "--trials", "0"], "--trials is 0"),
        (["--minutes", "5", "--parallel", "0"], "--parallel is 0"),
    ],
)
def test_a_budget_of_nothing_is_told_before_anything_starts(
    tiny_shop: Any, debut: Any, options: list[str], told: str
) -> None:
    outcome = debut("tune", *tiny_shop.arguments, *options)
    assert outcome.code == 1
    assert told in outcome.sentence
    assert not tiny_shop.workspace.exists()


def test_an_unknown_parameter_is_told_with_its_line(tiny_shop: Any, debut: Any) -> None:
    """With the names that there are."""
    tiny_shop.configure(tune={"space": {"learning_rte": {"low": 1, "high": 2}}})
    outcome = debut("tune", *tiny_shop.arguments, "--minutes", "1")
    assert outcome.code == 1
    assert "debut.yaml, line " in outcome.sentence
    assert "`tune.space.learning_rte`" in outcome.sentence and "'learning_rate'" in outcome.sentence


def test_a_parameter_that_changes_nothing_is_told_before_the_data_is_read(
    tiny_shop: Any, connected: Any
) -> None:
    tiny_shop.configure(tune={"space": {"lora_rank": {"low": 4, "high": 16}}}, training={"method": "full"})
    outcome = connected("tune", *tiny_shop.arguments, "--minutes", "1")
    assert outcome.code == 1
    assert (
        "tune.space: training.method is full, and only lora has a rank: leave lora_rank" in outcome.sentence
    )
    assert list(tiny_shop.workspace.glob("stages/*")) == []


def test_what_decides_the_examples_begins_another_study(tmp_path: Path) -> None:
    """Trials of other synonyms, or other rows of a task, do not compare."""
    settings = Settings(shop="tiny", tables={"items": "SELECT 1"})
    known = settings.model_copy(update={"knowledge": KnowledgeSettings(synonyms=(("mug", "beaker"),))})
    prepared = SimpleNamespace(digest="p", entrances=("search",))

    def name(of: Settings, task: str | None) -> str:
        data: Any = SimpleNamespace(prepared=prepared, task_digest=task)
        run = Run(Shop(of, tmp_path, tmp_path), "run", {"base_weights": "b", "code": "c", "versions": "v"})
        return _study_name(run, data, Miner("m", tmp_path, tmp_path))

    place = {name(_at(settings, folder), None) for folder in ("/here/mini", "/there/mini")}
    assert len(place) == 1  # what lies there is in the base weights' digest
    names = {name(of, task) for of in (settings, known) for task in (None, "one", "another")}
    assert len(names) == 6


def _at(settings: Settings, folder: str) -> Settings:
    return settings.model_copy(update={"encoder": settings.encoder.model_copy(update={"name": folder})})


@pytest.mark.slow
def test_a_killed_search_goes_on_and_ends_in_lines_for_debut_yaml(
    retrained: Any, prefect_url: str, debut_process: Any, tmp_path: Path
) -> None:
    """SIGKILL in the middle of the first trial; the next call takes it up from its checkpoint, tries a second
    one at the same time, and leaves both in MLflow below its own run, with the plot. Nothing is decided and
    the configuration stays as it was."""
    server = {"PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(tmp_path / "prefect")}
    training = yaml.safe_load(retrained.config.read_text())["training"]
    changes = {"max_epochs": EPOCHS, "patience": EPOCHS, "checkpoint_every_steps": 5, "learning_rate": 1e-3}
    retrained.configure(tune={"space": SPACE}, training=training | changes)
    before = retrained.config.read_text(), retrained.decisions()
    command = ["tune", *retrained.arguments, "--minutes", "10", "--trials", "2"]
    _kill_after_a_checkpoint(retrained, command, server)
    found = debut_process(*command, "--parallel", "2", "--json", **server)
    assert found.code == 0, found.err
    assert "1 trial that an earlier call left unfinished" in found.err
    result = found.json
    assert (result["trials"], result["new_trials"], result["pruned"]) == (2, 2, 0)
    assert result["value"] == max(row["recall"] for row in result["table"]) > 0
    assert result["configured_value"] in [row["recall"] for row in result["table"]]
    assert yaml.safe_load(result["yaml"]).keys() == {"training", "augment"}
    for line in result["yaml"].splitlines():
        assert line in found.err
    _check_mlflow(retrained, result)
    assert (retrained.config.read_text(), retrained.decisions()) == before
    assert list((retrained.workspace / "tune").glob("*/trials/*")) == []


def _kill_after_a_checkpoint(shop: Any, arguments: list[str], server: dict[str, str]) -> None:
    names = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
    search = subprocess.Popen(command, env=names | server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    end = time.monotonic() + 240
    while not list(shop.workspace.glob("tune/*/trials/*/attempts/0001/checkpoints/*.ckpt")):
        assert search.poll() is None and time.monotonic() < end, search.communicate()[0]
        time.sleep(0.02)
    search.send_signal(signal.SIGKILL)
    search.communicate()


def _check_mlflow(shop: Any, result: dict[str, Any]) -> None:
    """One run of the search with the plot, below it one per trial; the taken-up one has all its steps."""
    client = MlflowClient(f"sqlite:///{shop.workspace / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    [parent] = [run for run in runs if run.data.tags.get("run_id") == result["run_id"]]
    assert parent.data.metrics["validation_recall"] == result["value"]
    assert {file.path for file in client.list_artifacts(parent.info.run_id, "tune")} == {
        "tune/parallel_coordinates.png",
        "tune/trials.json",
    }
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.data.metrics["validation_recall"] for run in children) == sorted(
        row["recall"] for row in result["table"]
    )
    assert {float(run.data.params["training.learning_rate"]) for run in children} == {
        row["learning_rate"] for row in result["table"]
    }
    for run in children:
        assert {run.info.status, run.data.tags["state"]} == {"FINISHED", "done"}
        epochs = client.get_metric_history(run.info.run_id, "epoch")
        assert [metric.value for metric in epochs] == list(range(1, EPOCHS + 1))
