"""A task that is declared in a file of the shop's, from the file to an answer of the service."""

import json
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import mlflow
import polars as pl
import pytest
from starlette.testclient import TestClient

from components.contract.errors import LeakageError
from components.contract.settings import Settings
from components.contract.task import Task
from components.data.configuration import load_settings
from components.split.judged import JUDGE
from components.tasks.rows import read_rows, read_unlabelled
from flows.results import task_figures
from flows.serving import shop_app
from flows.shop import open_shop


@pytest.fixture
def shop(retrained: Any) -> Any:
    return open_shop(str(retrained.config), None, str(retrained.workspace.parent))


def test_a_shop_without_tasks_has_none() -> None:
    """The default: no rows, no heads, no gates."""
    assert Settings.model_validate({"shop": "a", "tables": {"items": "SELECT 1"}}).tasks == ()


def test_the_run_tells_each_systems_figures(finished: tuple[Any, Any]) -> None:
    """Challenger, champion, TF-IDF and the constant answer, on all rows and on new items' apart; and the head
    knows what an item is far better than the constant answer does."""
    found = finished[1].json["tasks"]
    assert set(found) == {"thing", "price"}
    for figures in found.values():
        assert set(figures) == {"challenger", "champion", "baseline", "constant"}
        assert all(set(of) == {"all", "new"} for of in figures.values())
    thing = found["thing"]
    assert 0 < thing["challenger"]["new"]["rows"] < thing["challenger"]["all"]["rows"]
    assert thing["challenger"]["new"]["accuracy"] > thing["constant"]["new"]["accuracy"] + 0.3
    assert found["price"]["challenger"]["all"]["interval_coverage"] is not None


def test_the_constant_answer_has_no_other_guesses() -> None:
    """Its recall@5 is its accuracy, whatever TF-IDF's first five hold."""
    task = Task(name="kind", says="Kind", rows="SELECT 1", text=("title",), head="nearest")
    answers = {"target": ["a", "b"], "answer": ["a", "b"], "in_best": [True, True], "constant": ["a", "a"]}
    frame = pl.DataFrame({"item_id": ["1", "2"], "is_new": [False, False], **answers})
    scorecards: Any = {"bm25": SimpleNamespace(tasks={"kind": frame})}
    figures = task_figures([task], scorecards)["kind"]
    assert figures["baseline"]["all"]["recall_at_5"] == 1.0
    assert figures["constant"]["all"]["recall_at_5"] == figures["constant"]["all"]["accuracy"] == 0.5


def test_the_gate_judges_tasks_by_their_policies(finished: tuple[Any, Any]) -> None:
    """A line per task, population and opponent; those under min_rows read "not judged"."""
    gates = {gate["name"]: gate for gate in finished[1].json["gates"] if gate["kind"] == "task"}
    assert set(gates) == {
        f"{against}{name} {population}/{metric}"
        for name, metric in (("thing", "accuracy"), ("price", "absolute_error"))
        for population in ("new", "all")
        for against in ("", "TF-IDF ")
    }
    assert gates["thing new/accuracy"]["outcome"] in ("pass", "fail")
    assert gates["TF-IDF thing all/accuracy"]["outcome"] == "not applicable"
    assert gates["price new/absolute_error"]["outcome"] == "not judged"


def test_heads_are_part_of_the_release(shop: Any) -> None:
    """Under the candidate's digest, of both candidates, as safetensors and JSON; words of those heads, and no
    others, to which validation gave a share of them."""
    manifests = list(shop.candidates.glob("*/manifest.json"))
    assert len(manifests) == 2
    for manifest in manifests:
        files = json.loads(manifest.read_bytes())["files"]
        expected = {("thing", "head"), ("price", "head")}
        for task in ("thing", "price"):
            head = json.loads((manifest.parent / "heads" / task / "head.json").read_bytes())
            expected |= {(task, "words")} if head["words_share"] else set()
        heads = {name for name in files if name.startswith("heads/")}
        assert heads == {f"heads/{t}/{name}.{s}" for t, name in expected for s in ("safetensors", "json")}


def test_nothing_but_the_judge_reads_a_tasks_test_rows(shop: Any) -> None:
    """Nor do training rows hold a new item."""
    settings, _ = load_settings(str(shop.workspace.parents[1] / "debut.yaml"))
    [rows] = shop.workspace.glob("stages/tasks-*")
    for task in settings.tasks:
        with pytest.raises(LeakageError):
            read_rows(rows, task, "test", "training")
        assert not read_rows(rows, task, "train", "training").get_column("is_new").any()
    [thing] = [task for task in settings.tasks if task.self_training]
    held = read_rows(rows, thing, "test", JUDGE).get_column("text").to_list()
    assert read_unlabelled(rows, thing) and not set(read_unlabelled(rows, thing)) & set(held)


def test_figures_of_tasks_are_in_mlflow(shop: Any) -> None:
    """Beside the recalls of the run."""
    client = mlflow.MlflowClient(f"sqlite:///{shop.workspace / 'mlflow.db'}")
    [experiment] = client.search_experiments(filter_string="name = 'tiny'")
    metrics = client.search_runs([experiment.experiment_id])[0].data.metrics
    for role in ("challenger", "champion", "bm25"):
        assert f"{role}/task/thing/new/accuracy" in metrics


def test_the_service_and_the_command_give_the_same_answer(shop: Any, retrained: Any, debut: Any) -> None:
    """The champion's heads, over HTTP for an item and for a text, and in the terminal."""
    with TestClient(shop_app(shop, anonymous_read=True)) as client:
        of_item = client.get("/predictions/i000").json()
        assert [one["task"] for one in of_item["predictions"]] == ["price", "thing"]
        title = client.get("/search", params={"q": "oak lamp"}).json()["results"][0]["title"]
        of_text = client.post("/predict/thing", json={"text": title}).json()["prediction"]
    outcome = debut("predict", "thing", title, *retrained.arguments, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json == of_text
    strange = debut("predict", "thing", "oak lamp \udcff", *retrained.arguments, "--json")
    assert strange.code == 0 and strange.json["task"] == "thing"  # a byte that is no UTF-8
    refused = debut("predict", "size", title, *retrained.arguments)
    assert refused.code == 1 and "its tasks: price, thing" in refused.sentence


def test_a_task_without_the_dates_of_what_it_reads_stops_the_run(tiny_shop: Any, connected: Any) -> None:
    """Its rows of after the cut-off would be learned: one sentence, before anything is trained."""
    own = """
    name: sold
    says: How often an item was bought
    rows: >
      SELECT item_id, title, ln(1 + count(*)) AS target FROM items JOIN events USING (item_id) GROUP BY ALL
    text: [title]
    head: regression
    """
    (tiny_shop.folder / "sold.yaml").write_text(dedent(own))
    tiny_shop.configure(tasks=["sold.yaml"])
    outcome = connected("retrain", *tiny_shop.arguments)
    assert outcome.code == 1
    told = "error: task sold: its SELECT reads events, whose rows are dated, and gives no date"
    assert outcome.err.splitlines()[-1].startswith(told)
    assert not list(tiny_shop.workspace.glob("candidates/*"))
