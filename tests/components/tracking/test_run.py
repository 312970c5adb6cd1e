import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import mlflow.data
import pytest

from components.contract.errors import StorageError, TrackingError, TrainingError
from components.tracking import run as module
from components.tracking.client import MlflowException
from components.tracking.run import DataInput, browse_command, flatten, mlflow_name, read_steps, start

ROOT = Path(__file__).parents[3]


def fetched(tracker):
    return tracker.connection.client.get_run(tracker.run_id)


def test_a_run_has_a_user(make_settings, workspace, monkeypatch):
    """Who asked for it, else who acts, as the decision log names them."""
    monkeypatch.setenv("DEBUT_ACTOR", "ci")
    for tags, user in (({"requested_by": "slack:U1"}, "slack:U1"), ({}, "ci")):
        with start(make_settings(), workspace, tags=tags) as tracker:
            pass
        assert fetched(tracker).data.tags["mlflow.user"] == user
    monkeypatch.delenv("DEBUT_ACTOR")
    monkeypatch.setattr("getpass.getuser", lambda: {}["nobody"])
    with start(make_settings(), workspace) as tracker:
        pass
    assert fetched(tracker).data.tags["mlflow.user"] == "unknown"


def test_run_holds_settings_metrics_inputs_and_files(make_settings, workspace, tmp_path):
    """One run on a real SQLite store shows what was set, measured, read and written, and no secret."""
    (tmp_path / "metrics.jsonl").write_text(
        '{"epoch": 0, "step": 10, "loss": 2.5, "validation_recall@10": 0.3}\n'
        '{"epoch": 1, "step": 20, "loss": 1.5, "validation_recall@10": null, "note": "x"}\n'
        '{"epoch": 2, "st'
    )
    (tmp_path / "gate.md").write_text("# Gate")
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "age.png").write_bytes(b"png")
    with start(make_settings(), workspace, name="retrain 1", tags={"kind": "retrain"}) as tracker:
        tracker.epochs(tmp_path / "metrics.jsonl")
        tracker.metrics({"challenger/new/recall@10": 0.5, "absent": None, "nan": float("nan"), "flag": True})
        tracker.inputs([DataInput("goods", "s3://a:b@bucket/goods.csv", "9" * 64, "source", {"rows": 5})])
        tracker.files("gate", [tmp_path / "gate.md", tmp_path / "plots"])
        tracker.tags({"verdict": "PROMOTE"})
    run = fetched(tracker)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "retrain 1"
    assert run.data.tags["verdict"] == "PROMOTE"
    assert run.data.tags["kind"] == "retrain"
    assert run.data.params["shop"] == "demo"
    assert run.data.params["training.batch_size"] == "128"
    assert run.data.params["sources.goods.path"] == "s3://…@bucket/goods.csv?…"
    assert "tracking.uri" not in run.data.params
    assert "secret" not in json.dumps(run.to_dictionary())
    assert run.data.metrics == {
        "epoch": 1.0,
        "loss": 1.5,
        "validation_recall_at_10": 0.3,
        "challenger/new/recall_at_10": 0.5,
    }
    history = tracker.connection.client.get_metric_history(tracker.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(10, 2.5), (20, 1.5)]
    [logged] = run.inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("goods", "9" * 36)
    assert {tag.key: tag.value for tag in logged.tags}["digest"] == "9" * 64
    assert mlflow.data.get_source(logged.dataset).uri == "s3://…@bucket/goods.csv"
    listed = {f.path for f in tracker.connection.client.list_artifacts(tracker.run_id, "gate")}
    assert listed == {"gate/gate.md", "gate/plots"}
    assert list((workspace / "mlartifacts").rglob("age.png"))


def test_second_run_joins_the_experiment(make_settings, workspace):
    """Runs of one shop share an experiment, also after someone deleted it."""
    with start(make_settings(), workspace) as first:
        pass
    first.connection.client.delete_experiment(first.experiment_id)
    with start(make_settings(), workspace) as second:
        assert second.experiment_id == first.experiment_id


def test_experiment_made_by_a_faster_run_is_joined(make_settings, workspace, monkeypatch):
    """Where two first runs make the experiment at once, the slower one joins it."""
    with start(make_settings(), workspace) as first:
        pass
    client = first.connection.client
    answers = iter([None, client.get_experiment(first.experiment_id)])
    monkeypatch.setattr(client, "get_experiment_by_name", lambda _: next(answers))
    assert module._experiment(first.connection, "demo") == first.experiment_id
    answers = iter([None, None])
    with pytest.raises(MlflowException):
        module._experiment(first.connection, "demo")


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (TrainingError("Rank 1 failed: see http://a:b@c."), "FAILED", "Rank 1 failed: see http://…@c."),
        (ZeroDivisionError("x"), "FAILED", "ZeroDivisionError('x')"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt()"),
    ],
)
def test_failed_run_says_why(make_settings, workspace, error, status, sentence):
    """A run whose block raises is marked so, with the sentence as its description, and the error goes on."""
    with pytest.raises(type(error)), start(make_settings(), workspace) as tracker:
        raise error
    run = fetched(tracker)
    assert run.info.status == status
    assert run.data.tags["error"] == run.data.tags["mlflow.note.content"] == sentence


def test_lost_server_does_not_hide_the_failure(make_settings, workspace, monkeypatch, caplog):
    """Where the failed run cannot be marked, the first error still goes on; a finished run says so."""

    def gone(*_, **__):
        raise MlflowException("gone")

    with pytest.raises(TrainingError), start(make_settings(), workspace) as tracker:
        monkeypatch.setattr(tracker.connection.client, "set_terminated", gone)
        raise TrainingError("Rank 1 failed.")
    assert "could not be marked FAILED" in caplog.text
    with pytest.raises(TrackingError, match="gone"), start(make_settings(), workspace) as tracker:
        monkeypatch.setattr(tracker.connection.client, "set_terminated", gone)


def test_system_metrics_cover_the_run(make_settings, workspace, monkeypatch):
    """CPU and memory are measured while the block runs, and the thread ends with it."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")
    with start(make_settings(system_metrics=True), workspace) as tracker:
        time.sleep(2.5)
    assert "system/cpu_utilization_percentage" in fetched(tracker).data.metrics
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}


def test_many_values_are_sent_in_parts(make_settings, workspace):
    """More parameters and metrics than one request takes arrive all the same."""
    with start(make_settings(), workspace) as tracker:
        tracker.parameters({"more": {f"p{n}": "x" * 7_000 for n in range(150)}})
        tracker.metrics({f"m{n}": n for n in range(1_500)})
    run = fetched(tracker)
    assert len(run.data.metrics) == 1_500
    assert len(run.data.params["more.p149"]) == 6_000


def test_missing_file_is_one_sentence(make_settings, workspace, tmp_path):
    """A report that is not there is named."""
    with (
        start(make_settings(), workspace) as tracker,
        pytest.raises(TrackingError, match="gate.md"),  # noqa: RUF043
    ):
        tracker.files("gate", [tmp_path / "gate.md"])


def test_names_that_mlflow_takes():
    """Every sign that MLflow refuses is replaced."""
    assert mlflow_name("challenger/new/recall@10") == "challenger/new/recall_at_10"
    assert mlflow_name("category:Möbel > Tische & mehr") == "category:M_bel _ Tische _ mehr"


def test_flatten_keeps_leaves():
    """Nesting becomes dots; lists, None and empty mappings stay leaves."""
    assert flatten({"a": {"b": {"c": 1}}, "d": [1, 2], "e": {}, "f": None}) == {
        "a.b.c": 1,
        "d": [1, 2],
        "e": {},
        "f": None,
    }


@pytest.mark.parametrize("line", ['{"step": 1', "[1]", '{"step": "x"}', '{"step{"step": 1}'])
def test_broken_lines_of_metrics_are_left_out_aloud(tmp_path, caplog, line):
    """A line that a kill cut off costs its numbers and a warning, not the run."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(f'{{"loss": 1}}\n{line}\n{{"step": 7, "loss": 2}}\n')
    assert list(read_steps(path)) == [("loss", 1, 0), ("loss", 2, 7)]
    assert "line 2" in caplog.text


def test_missing_metrics_are_one_sentence(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(StorageError, match=r"metrics.jsonl"):
        list(read_steps(tmp_path / "metrics.jsonl"))


def test_browse_command(make_settings, workspace):
    """The command that opens the runs is quoted for a shell; an address shows no password."""
    assert browse_command(make_settings(), workspace) == (
        f"mlflow ui --backend-store-uri 'sqlite:///{workspace}/mlflow.db'"
    )
    assert browse_command(make_settings("http://a:b@host"), workspace) == "http://…@host"


def test_first_run_is_silent(workspace):
    """Making the store, a run, metrics and system metrics prints nothing on either stream."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from components.contract.settings import Settings\n"
        "from components.tracking.run import start\n"
        "settings = Settings(shop='demo', tables={'items': 'SELECT 1'})\n"
        "with start(settings, Path(sys.argv[1])) as tracker:\n"
        "    tracker.metrics({'a': 1})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(workspace)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_run_below_another_names_it_and_measures_no_system(make_settings, workspace):
    """MLflow's pages fold trials under the search; the machine is measured once."""
    settings = make_settings(system_metrics=True)
    with start(make_settings(), workspace) as parent, start(settings, workspace, parent=parent) as child:
        pass
    run = child.connection.client.get_run(child.run_id)
    assert run.data.tags["mlflow.parentRunId"] == parent.run_id
    assert not run.data.metrics
    assert run.info.status == "FINISHED"
