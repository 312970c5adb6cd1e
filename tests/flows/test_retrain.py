"""`debut retrain` from files to a verdict: what it prints, what it leaves, what a second run does."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from components.contract.errors import TrackingError
from components.data.storage import LocalStore
from components.release.decision_log import DecisionLog
from components.release.signature import make_keys

HEAVY = ("torch", "transformers", "lightning", "mlflow", "prefect", "great_expectations", "duckdb", "boto3")
TELL_HEAVY = (
    "import atexit, sys\n"
    f"atexit.register(lambda: print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr))"
)


@pytest.fixture
def result(finished: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = finished[1].json
    return parsed


@pytest.fixture
def client(finished: Any) -> MlflowClient:
    uri = f"sqlite:///{finished[0].workspace / 'mlflow.db'}"
    return MlflowClient(uri, uri)


def request(url: str, **body: Any) -> Any:
    """The answer of Prefect's REST API to a filter."""
    asked = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def test_the_last_line_of_stdout_is_the_json_with_every_figure(finished: Any, result: Any) -> None:
    """stdout is one JSON object: recall@10 of both systems on the four populations, verdict, seconds;
    intervals stand under `gates` alone."""
    assert len(finished[1].out.splitlines()) == 1
    for system in ("challenger", "champion"):
        assert list(result[system]) == ["new", "new_only", "established", "all"]
        for population in result[system].values():
            assert 0.0 <= population["recall@10"] <= 1.0
            assert population["requests"] > 0
            assert all(isinstance(value, int | float) for value in population.values())
    assert result["verdict"] in ("PROMOTE", "REJECT", "INCONCLUSIVE")
    assert result["seconds"] > 0
    assert {"name", "low", "high", "outcome", "sentence"} <= result["gates"][0].keys()


def test_a_random_encoder_is_not_promoted(result: Any) -> None:
    """One epoch of a random encoder stays behind BM25, on fewer requests than settle anything."""
    assert result["verdict"] == "INCONCLUSIVE"
    outcomes = {gate["name"]: gate["outcome"] for gate in result["gates"]}
    assert outcomes["BM25 new/recall@10"] == "unsure"
    assert result["bm25"]["new"]["recall@10"] > result["challenger"]["new"]["recall@10"]


def test_the_terminal_tells_the_story_and_nothing_else(finished: Any) -> None:
    """stderr has the chapters, the table and the verdict; no library's log line gets in between."""
    told = finished[1].err
    for expected in (
        "Data",
        "judge: challenger",
        "fine-tuning",
        "new items only",
        "INCONCLUSIVE",
        "gate_report.html",
        "quality.html",
        "mlflow ui",
    ):
        assert expected in told
    for noise in ("INFO", "DEBUG", "WARNING", "Traceback", "Warning:"):
        assert noise not in told, told


def test_bad_rows_are_counted_by_their_reason_and_the_run_goes_on(result: Any) -> None:
    """A repeated id, a NaN price and a title of 100 kB go to quarantine; 120 good items are judged."""
    assert result["quarantined"] == {"items": 3, "events": 0}
    assert sorted(result["quarantine_reasons"].items()) == [
        ("items: item_id occurs once (its first good row stays)", 1),
        ("items: price is a number (not NaN or infinite)", 1),
        ("items: title is at most 2,000 characters", 1),
    ]
    assert result["rows"]["items"] == 123
    assert result["counts"]["items"] == 120


def test_the_run_leaves_report_plots_scorecards_and_result(finished: Any, result: Any) -> None:
    """runs/<run_id>/ has the gate report in three forms, both plots in two, three scorecards and the JSON."""
    folder = finished[0].workspace / "runs" / result["run_id"]
    for name in ("gate_report.json", "gate_report.md", "gate_report.html", "recall_by_age.png",
                 "recall_by_age.html", "gates.png", "gates.html"):  # fmt: skip
        assert (folder / name).stat().st_size > 500, name
    assert sorted(path.name for path in (folder / "scorecards").iterdir()) == [
        "bm25",
        "challenger",
        "champion",
    ]
    assert json.loads((folder / "result.json").read_text()) == result
    assert json.loads((folder / "gate_report.json").read_text())["verdict"] == result["verdict"]


def test_the_report_and_the_terminal_say_what_it_was_about(finished: Any, result: Any) -> None:
    """The report's first line names shop, run and counts; the terminal ends with version 0, which serves."""
    shop, ended = finished[0], finished[1]
    folder, counts = shop.workspace / "runs" / result["run_id"], result["counts"]
    about = (folder / "gate_report.md").read_text().splitlines()[0]
    assert about.startswith(f"{result['shop']} · run {result['run_id']} · ")
    assert f" · {counts['items']:,} catalogue items, {counts['new_items']:,} of them new · " in about
    assert f"judged requests: {counts['test_search_requests']:,} search, " in about
    told = f"version 0 ({result['champion_digest'][:12]}), made champion as the baseline"
    assert told in ended.out + ended.err


def test_the_decision_log_holds_version_0_and_the_refusal(finished: Any, result: Any) -> None:
    """Two chained records: the baseline's promotion and the challenger's refusal, by the actor named."""
    log = DecisionLog(LocalStore(finished[0].workspace / "decisions"))
    assert log.verify() == 2
    first, second = log.records()
    assert (first.kind, first.reason, first.actor) == ("promotion", "baseline", "tester")
    assert (second.kind, second.release) == ("inconclusive", result["challenger_digest"])
    assert (second.run_id, second.predecessor) == (result["run_id"], first.release)


def test_champion_and_challenger_are_whole_candidates(finished: Any, result: Any) -> None:
    """Each candidate is a read-only folder named by its digest, without anything half-written beside it."""
    shop = finished[0]
    names = sorted(path.name for path in (shop.workspace / "candidates").iterdir())
    assert names == sorted([result["challenger_digest"], result["champion_digest"]])
    assert shop.left_over() == []


def test_mlflow_has_the_run_and_its_aliases_mirror_the_log(client: MlflowClient, result: Any) -> None:
    """One finished run with its files; `champion` is version 0, `challenger` the refused candidate."""
    experiment = client.get_experiment_by_name("tiny")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["run_id"] == result["run_id"]
    assert run.data.tags["mlflow.user"] == "tester"
    assert run.data.tags["mlflow.note.content"] == f"INCONCLUSIVE for tiny: {result['sentence']}"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"gate", "quality"}
    for alias in ("champion", "challenger"):
        version = client.get_model_version_by_alias("tiny", alias)
        assert version.tags["digest"] == result[f"{alias}_digest"]


def test_the_embedded_server_keeps_the_artifacts(finished: Any) -> None:
    """Report, gates and plot are in the workspace's own Prefect database, to be seen later."""
    with sqlite3.connect(finished[0].workspace / "prefect" / "prefect.db") as database:
        keys = {key for (key,) in database.execute("SELECT key FROM artifact WHERE key IS NOT NULL")}
    assert {"gate-report", "gates", "recall-by-age"} <= keys


def test_the_champion_answers_queries_from_mlflow(finished: Any) -> None:
    """`models:/tiny@champion` loads and ranks items of the shop for words."""
    mlflow.set_tracking_uri(f"sqlite:///{finished[0].workspace / 'mlflow.db'}")
    [hits] = mlflow.pyfunc.load_model("models:/tiny@champion").predict(["red oak table"])
    assert len(hits) == 10
    assert hits[0].item_id.startswith("i")


def test_an_unchanged_second_run_says_nothing_new_at_once(finished: Any, debut_process: Any) -> None:
    """The same JSON again, without importing the heavy libraries, and no new decision."""
    shop, first = finished
    decisions = shop.decisions()
    again = debut_process("retrain", *shop.arguments, "--json", before=TELL_HEAVY)
    assert again.code == 0
    assert again.json == first.json
    assert "Nothing new" in again.err
    assert again.err.splitlines()[-1] == "[]"
    assert shop.decisions() == decisions


def test_a_decision_stands_where_mlflow_is_away_after_it(
    retrained: Any, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends well: its result is there for the service and for the next run, and what is missing in
    MLflow is said."""

    def away(*_: Any) -> None:
        raise TrackingError("MLflow does not answer.")

    def gone(*_: Any) -> None:
        raise MlflowException("connection refused")

    monkeypatch.setattr("flows.decision_stages.mirror_decisions", away)
    monkeypatch.setattr(MlflowClient, "set_terminated", gone)
    outcome = connected("retrain", *retrained.arguments, "--json", "--force")
    assert outcome.code == 0, outcome.err
    assert "MLflow's aliases are not renewed yet" in outcome.err
    assert "MLflow does not show the run's end" in outcome.err
    result = outcome.json
    saved = retrained.workspace / "runs" / result["run_id"] / "result.json"
    assert json.loads(saved.read_text()) == result
    assert retrained.decisions()[-1] == "000003.json"


def test_where_releases_are_signed_version_0_is_promoted_only_signed(retrained: Any, connected: Any) -> None:
    """With the public key alone nothing can sign it: a shop's first run ends before it trains."""
    shutil.rmtree(retrained.workspace / "decisions")
    _, public = make_keys(retrained.folder / "keys")
    retrained.configure(signing={"public_key": str(public)})
    outcome = connected("retrain", *retrained.arguments, "--force")
    assert outcome.code == 1
    assert "the candidate was not signed" in outcome.sentence
    assert "Train" not in outcome.err
    assert retrained.decisions() == []


@pytest.mark.slow
def test_forced_on_a_server_the_stages_come_from_the_cache(
    finished: Any, retrained: Any, prefect_url: str, debut_process: Callable[..., Any], tmp_path: Path
) -> None:
    """With PREFECT_API_URL, a home of its own and --force every stage is as before, the decision is taken
    anew, and the server shows tasks by readable names and the report, table and plot as artifacts."""
    shop, first = finished
    environment = {"PREFECT_API_URL": prefect_url, "PREFECT_HOME": str(tmp_path / "another home")}
    stages = _stages(retrained)
    forced = debut_process("retrain", *retrained.arguments, "--json", "--force", **environment)
    assert forced.code == 0, forced.err
    assert " · " not in forced.err  # a stage that works names itself
    assert _stages(retrained) == stages
    new, old = forced.json, first.json
    assert new["run_id"] != old["run_id"]
    assert new["gates"] == old["gates"]
    assert new["challenger_digest"] == old["challenger_digest"]
    assert retrained.decisions() == [*shop.decisions(), "000003.json"]
    _check_server(prefect_url, f"retrain {retrained.config}", new)


def _stages(shop: Any) -> dict[str, int]:
    """Each stage's folder by name, and its inode, which is another where the stage was made again."""
    return {path.name: path.stat().st_ino for path in shop.workspace.glob("stages/*")}


def _check_server(url: str, name: str, result: dict[str, Any]) -> None:
    [flow_run] = request(f"{url}/flow_runs/filter", flow_runs={"name": {"any_": [name]}})
    assert flow_run["state_type"] == "COMPLETED"
    flow = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    expected = {"judge: champion", "judge: challenger", "fine-tune on train rows"}
    names: set[str] = set()
    deadline = time.monotonic() + 60
    while not expected <= names and time.monotonic() < deadline:  # the server notes task runs some time later
        names = {run["name"] for run in request(f"{url}/task_runs/filter", **flow)}
    assert expected <= names
    readable = (
        "load data",
        "check data quality",
        "split and check for leakage",
        "decide",
        "record the decision",
    )
    for name in readable:
        assert any(each.startswith(name) for each in names), (name, names)
    artifacts = {artifact["key"]: artifact for artifact in request(f"{url}/artifacts/filter", **flow)}
    assert result["sentence"] in artifacts["gate-report"]["data"]
    assert "mlflow ui" in artifacts["gate-report"]["data"]
    assert json.loads(artifacts["gates"]["data"]) == result["gates"]
    assert artifacts["recall-by-age"]["data"].startswith("data:image/png;base64,")


@pytest.mark.slow
def test_a_terminated_run_leaves_no_process_and_no_half_stage(tiny_shop: Any) -> None:
    """SIGTERM – a cancelled CI job – ends the embedded server as well, with the shell's exit code for it."""
    command = [sys.executable, "-c", "from flows.cli import main; main()", "check", *tiny_shop.arguments]
    names = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with subprocess.Popen(command, env=names, stdout=subprocess.PIPE, text=True) as debut:
        assert debut.stdout is not None
        assert "load data" in debut.stdout.readline()
        servers = psutil.Process(debut.pid).children()
        debut.terminate()
        assert debut.wait(120) == 128 + signal.SIGTERM
    assert servers
    assert psutil.wait_procs(servers, timeout=30)[1] == []
    assert tiny_shop.left_over() == []


def test_a_changed_input_is_something_new(finished: Any, tmp_path: Path) -> None:
    """Data, configuration, code, installed versions, base weights, replayed rows and labels each make a
    difference; where the data folder lies makes none."""
    from flows.fingerprint import last_result, run_fingerprint
    from flows.shop import open_shop

    tiny = finished[0]
    shop = open_shop(str(tiny.config), None, str(tiny.workspace.parent))
    known = run_fingerprint(shop)
    assert last_result(shop, known) == finished[1].json
    parts = {"data", "replayed", "labels", "configuration", "code", "versions", "base_weights"}
    assert known.keys() == parts
    for part in known:
        assert last_result(shop, known | {part: "changed"}) is None
