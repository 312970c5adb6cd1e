"""infra/prefect.yaml and infra/automations.yaml on a real Prefect server."""

import ast
import shutil
import string
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
NAMES = {"retrain", "monitor", "reviews", "review", "index-refresh"}
SHOP = {
    "DEBUT_SHOP": "mugs",
    "DEBUT_CONFIG": "/shop/debut.yaml",
    "DEBUT_WORKSPACE": "/shop/.debut",
    "DEBUT_POOL": "debut-process",
}
"""DEBUT_ROOT is left out: it may be."""


def deployments() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((INFRA / "prefect.yaml").read_text())["deployments"]
    return found


def automations(seconds: int) -> list[AutomationCore]:
    """As `debut deploy` reads them."""
    text = string.Template((INFRA / "automations.yaml").read_text())
    return [
        AutomationCore.model_validate(one)
        for one in yaml.safe_load(text.substitute(DEBUT_ZOMBIE_SECONDS=str(seconds)))
    ]


def deploy(prefect_server: Any, **more: str) -> Any:
    return prefect_server.run(
        sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", "prefect.yaml",
        cwd=INFRA, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def api(prefect_server: Any, prefect_api: Any) -> Iterator[httpx.Client]:
    with prefect_api(prefect_server) as client:
        yield client


@pytest.fixture(scope="module")
def deployed(prefect_server: Any, api: httpx.Client) -> dict[str, dict[str, Any]]:
    """Deployments by flow, after the file was applied twice."""
    made = prefect_server.run(
        shutil.which("prefect", path=str(Path(sys.executable).parent)),
        "work-pool", "create", SHOP["DEBUT_POOL"], "--type", "process", "--overwrite",
        "--base-job-template", str(INFRA / "pools" / "process.json"),
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    for _ in range(2):
        done = deploy(prefect_server, **SHOP)
        assert done.returncode == 0, done.stdout + done.stderr
    found = post(api, "deployments/filter", {"deployments": {"name": {"any_": [SHOP["DEBUT_SHOP"]]}}})
    flows = {flow["id"]: flow["name"] for flow in post(api, "flows/filter", {})}
    assert len(found) == len(NAMES)
    return {flows[one["flow_id"]]: one for one in found}


def post(api: httpx.Client, path: str, body: Any) -> Any:
    answer = api.post(path, json=body)
    answer.raise_for_status()
    return answer.json() if answer.content else None


def emit(
    api: httpx.Client,
    event: str,
    resource: str,
    payload: dict[str, Any] | None = None,
    tag: str | None = None,
) -> None:
    """tag: of the run, as Prefect's own events of runs carry it."""
    tags = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}] if tag else []
    told = {
        "id": str(uuid.uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": resource},
        "related": tags,
        "payload": payload or {},
    }
    post(api, "events", [told])


def runs_of(api: httpx.Client, deployment: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = post(
        api, "flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}, "limit": 200}
    )
    return found


@pytest.mark.slow
def test_applied_twice_there_is_one_deployment_per_flow_with_one_schedule(deployed: Any) -> None:
    """A second `deploy` changes what is there instead of adding to it."""
    assert set(deployed) == NAMES
    assert {one["name"] for one in deployed.values()} == {"mugs"}
    schedules = {
        flow: [each["schedule"]["cron"] for each in one["schedules"]] for flow, one in deployed.items()
    }
    assert schedules == {
        "retrain": ["0 3 * * 1"],
        "monitor": ["7 * * * *"],
        "reviews": ["*/5 * * * *"],
        "review": [],
        "index-refresh": ["30 2 * * *"],
    }
    for one in deployed.values():
        assert one["work_pool_name"] == "debut-process"
        assert not one["pull_steps"]  # else the deployer's folder would be part of it
        assert one["parameters"] == {"config": "/shop/debut.yaml", "root": "", "workspace": "/shop/.debut"}


@pytest.mark.slow
def test_a_second_run_of_a_scheduled_job_is_cancelled_and_a_second_retrain_waits(deployed: Any) -> None:
    """Of reviews, several challengers' may wait at a time."""
    for flow, one in deployed.items():
        limit = one["global_concurrency_limit"]
        assert (limit["limit"] if limit else None) == (None if flow == "review" else 1)
        if limit:
            expected = "ENQUEUE" if flow == "retrain" else "CANCEL_NEW"
            assert one["concurrency_options"]["collision_strategy"] == expected


@pytest.mark.slow
def test_a_queued_retrain_goes_on_when_the_one_before_it_is_found_dead(
    api: httpx.Client, deployed: Any
) -> None:
    """As a worker asks, before it starts a process: the second is put off, until the place is free again by
    what the automation about dead processes does."""
    path = f"deployments/{deployed['retrain']['id']}/create_flow_run"
    first, second = (post(api, path, {}) for _ in range(2))

    def ask(run: dict[str, Any], state: str) -> tuple[str, str]:
        told = post(api, f"flow_runs/{run['id']}/set_state", {"state": {"type": state}})
        return told["status"], told["state"]["name"]

    assert ask(first, "PENDING") == ("ACCEPT", "Pending")
    assert ask(second, "PENDING") == ("REJECT", "AwaitingConcurrencySlot")
    assert ask(first, "RUNNING") == ("ACCEPT", "Running")
    assert ask(first, "CRASHED") == ("ACCEPT", "Crashed")
    assert ask(second, "PENDING") == ("ACCEPT", "Pending")
    ask(second, "CANCELLED")


@pytest.mark.slow
@pytest.mark.parametrize("flow", sorted(NAMES - {"review"}))
def test_a_cron_deployment_really_gets_scheduled_runs(
    api: httpx.Client, deployed: Any, eventually: Any, flow: str
) -> None:
    """With SQLAlchemy 2.1 the server is healthy and never schedules anything (docs/decisions/0002)."""
    deployment = deployed[flow]["id"]
    waiting = eventually(
        lambda: [
            run
            for run in runs_of(api, deployment)
            if run["state_type"] == "SCHEDULED" and run["auto_scheduled"]
        ],
        90,
    )
    assert waiting
    assert all(run["parameters"]["config"] == "/shop/debut.yaml" for run in waiting)


@pytest.mark.slow
def test_a_drift_event_starts_a_retrain_that_knows_why(
    api: httpx.Client, deployed: Any, eventually: Any
) -> None:
    """The deployment's own parameters stay; another shop's drift starts nothing here."""
    deployment = deployed["retrain"]["id"]
    emit(api, "debut.drift", "debut.shop.plates", {"because": "not ours"})
    emit(api, "debut.drift", "debut.shop.mugs", {"because": "unknown words 3 % -> 9 %"})
    started = eventually(
        lambda: [run for run in runs_of(api, deployment) if run["parameters"].get("requested_by") == "drift"],
        60,
    )
    assert [run["parameters"] for run in started] == [
        {
            "config": "/shop/debut.yaml",
            "root": "",
            "workspace": "/shop/.debut",
            "because": "unknown words 3 % -> 9 %",
            "requested_by": "drift",
        }
    ]
    # What tells it from a run for which somebody typed "drift" (flows/requester.py).
    assert started[0]["created_by"]["type"] == "AUTOMATION"


@pytest.mark.slow
def test_applied_twice_there_is_one_automation_for_drift(api: httpx.Client, deployed: Any) -> None:
    """Prefect renews what belongs to a deployment."""
    owned = api.get(f"automations/related-to/prefect.deployment.{deployed['retrain']['id']}").json()
    assert [one["name"] for one in owned] == ["debut: drift of mugs starts a retrain"]


@pytest.mark.slow
def test_a_run_whose_process_died_is_marked_crashed(
    api: httpx.Client, deployed: Any, eventually: Any
) -> None:
    """One heartbeat and then nothing; a run that ended after its heartbeat stays as it ended, and so does
    one that waits for a person, whose heartbeat came after it was suspended, or another team's."""
    (zombie,) = automations(10)
    post(api, "automations/", zombie.model_dump(mode="json"))
    path = f"deployments/{deployed['monitor']['id']}/create_flow_run"
    review = f"deployments/{deployed['review']['id']}/create_flow_run"
    waiting, dead, ended, other = (
        post(api, one, {"enforce_parameter_schema": False}) for one in (review, path, path, path)
    )

    def put(run: dict[str, Any], *states: str) -> None:
        for kind in states:
            post(api, f"flow_runs/{run['id']}/set_state", {"state": {"type": kind}, "force": True})

    for run, tag in ((waiting, "debut-review"), (dead, "debut"), (ended, "debut"), (other, "theirs")):
        put(run, "PENDING", "RUNNING", *(["PAUSED"] if run is waiting else []))
        emit(api, "prefect.flow-run.heartbeat", f"prefect.flow-run.{run['id']}", tag=tag)
        put(run, *(["COMPLETED"] if run is ended else []))

    def state(run: dict[str, Any]) -> str:
        return str(api.get(f"flow_runs/{run['id']}").json()["state_type"])

    assert eventually(lambda: state(dead) == "CRASHED", 60)
    time.sleep(3)
    assert [state(run) for run in (ended, waiting, other)] == ["COMPLETED", "PAUSED", "RUNNING"]


def test_the_jobs_have_the_tag_by_which_their_death_is_noticed() -> None:
    """All but the review, which waits for days without a heartbeat."""
    (zombie,) = automations(540)
    assert isinstance(zombie.trigger, EventTrigger)
    related = zombie.trigger.match_related
    assert "prefect.tag.debut" in str(related)
    tags = {one["entrypoint"].split(":")[1]: one["tags"] for one in deployments()}
    assert {name for name, tag in tags.items() if tag != ["debut"]} == {"review"}


@pytest.mark.slow
def test_a_forgotten_pool_is_named_in_the_refusal(prefect_server: Any, deployed: Any) -> None:
    """An unset variable would else make deployments that nothing ever works for."""
    done = deploy(prefect_server, **{name: value for name, value in SHOP.items() if name != "DEBUT_POOL"})
    assert done.returncode != 0
    assert "does not exist" in done.stdout + done.stderr


def test_the_zombie_automation_waits_for_at_least_three_heartbeats() -> None:
    """A shorter time would end runs that only answered late."""
    (zombie,) = automations(540)
    trigger = zombie.trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.posture is Posture.Proactive
    assert trigger.within == timedelta(seconds=540) >= 3 * timedelta(seconds=180)
    assert trigger.after == {"prefect.flow-run.heartbeat"} < trigger.expect
    assert trigger.for_each == {"prefect.resource.id"}
    assert zombie.actions[0].model_dump()["state"] == "CRASHED"


@pytest.mark.parametrize("entrypoint", [one["entrypoint"] for one in deployments()])
def test_every_entry_point_is_a_flow_that_takes_the_deployments_parameters(entrypoint: str) -> None:
    """Read from the source: importing the flows would import torch."""
    module, _, name = entrypoint.partition(":")
    path = ROOT / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        pytest.skip(f"{path.relative_to(ROOT)} is not written yet")
    (found,) = (
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    assert any("flow" in ast.unparse(decorator) for decorator in found.decorator_list)
    taken = {argument.arg for argument in found.args.args + found.args.kwonlyargs}
    (spec,) = (one for one in deployments() if one["entrypoint"] == entrypoint)
    given = set(spec["parameters"])
    for trigger in spec.get("triggers", []):
        given |= set(trigger["parameters"])
    assert given <= taken


def test_nothing_is_pulled() -> None:
    """Without an explicit empty list Prefect writes the deployer's folder into every deployment."""
    assert yaml.safe_load((INFRA / "prefect.yaml").read_text())["pull"] == []
