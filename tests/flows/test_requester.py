"""Who asked for a retrain: in a run of a deployment a typed name needs evidence."""

import base64
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from flows.chat import ShopBoard
from flows.drift_events import TOLD
from flows.orchestrator import prefect_client
from flows.requester import ASKED_WITHIN, requester
from flows.shop import Shop, open_shop

NOBODY = "prefect:unidentified"
AUTOMATION = {
    "Prefect-Automation-ID": str(uuid.uuid4()),
    "Prefect-Automation-Name": base64.b64encode(b"drift of tiny starts a retrain").decode(),
}
"""What Prefect's own automations send with what they ask for."""


@pytest.fixture
def shop(tiny_shop: Any) -> Shop:
    return open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))


Deployed = Callable[..., None]


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """Makes this a run of a deployment, made just now unless told otherwise."""

    def make(*, auto_scheduled: bool = False, created: datetime | None = None, run_count: int = 1) -> None:
        run = FlowRun(
            flow_id=uuid.uuid4(),
            deployment_id=uuid.uuid4(),
            auto_scheduled=auto_scheduled,
            run_count=run_count,
            created=created or datetime.now(UTC),
        )
        context = FlowRunContext.model_construct(flow_run=run)
        monkeypatch.setattr(FlowRunContext, "get", classmethod(lambda _: context))

    return make


class Prefect:
    """Takes what is asked for; the tests make the run themselves."""

    def start(self, job: str, parameters: Any, name: str | None = None) -> Any:
        assert (job, parameters["requested_by"]) == ("retrain", "slack:U0BOB")


def tell_drift(shop: Shop) -> None:
    """The monitor's own note that it told of drift just now."""
    file = shop.workspace / "monitoring" / TOLD
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"at": [datetime.now(UTC).isoformat()]}))


def test_outside_a_deployment_it_is_who_is_named_or_acts(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUT_ACTOR", "ada")
    assert requester(shop) == "ada"
    assert requester(shop, "slack:U0BEN") == "slack:U0BEN"


@pytest.mark.parametrize("typed", ["", "schedule", "drift", "slack:U0BOB", "mattermost:bob", "bob"])
def test_what_is_typed_in_prefects_page_is_nobodys(shop: Shop, deployed: Deployed, typed: str) -> None:
    """Else who asks could name another person, or none, and approve the run alone."""
    deployed()
    assert requester(shop, typed) == NOBODY


@pytest.mark.parametrize(
    ("named", "asked"),
    [("", "schedule"), ("schedule", "schedule"), ("drift", NOBODY), ("slack:U0BOB", NOBODY)],
)
def test_a_run_of_the_scheduler_is_the_schedules(
    shop: Shop, deployed: Deployed, named: str, asked: str
) -> None:
    """And no one else's: a schedule's parameters are typed in the page as well."""
    deployed(auto_scheduled=True)
    assert requester(shop, named) == asked


def test_a_run_that_was_run_again_is_nobodys(shop: Shop, deployed: Deployed) -> None:
    """Everyone who sees the page may press "Retry"."""
    deployed(auto_scheduled=True, run_count=2)
    assert requester(shop) == NOBODY


def test_a_retrain_that_was_asked_for_in_chat_is_that_users(shop: Shop, deployed: Deployed) -> None:
    """By the record that chat makes; it is no other user's, and not of a run that was made later."""
    ShopBoard(shop, Prefect()).start_retrain(None, "of the season", "slack:U0BOB", None)
    deployed()
    assert requester(shop, "slack:U0BOB") == "slack:U0BOB"
    assert requester(shop, "slack:U0EVE") == NOBODY
    deployed(created=datetime.now(UTC) + ASKED_WITHIN + timedelta(minutes=1))
    assert requester(shop, "slack:U0BOB") == NOBODY


def test_another_record_of_a_user_is_no_request(shop: Shop, deployed: Deployed) -> None:
    log = shop.decision_log()
    log.append("chat_command", release=None, actor="slack:U0BOB", reason="retraining is what I like")
    log.append("rejection", release="a" * 64, actor="slack:U0BOB", reason="retrain it")
    deployed()
    assert requester(shop, "slack:U0BOB") == NOBODY


@pytest.mark.parametrize(
    ("told", "headers", "tags", "named", "asked"),
    [
        (True, AUTOMATION, [], "drift", "drift"),
        (True, {}, [], "drift", NOBODY),  # typed in the page while there is drift
        (False, AUTOMATION, [], "drift", NOBODY),  # by an automation of somebody's own
        (False, {}, ["auto-scheduled"], "", NOBODY),  # whatever tag it was given
    ],
)
def test_a_run_is_of_drift_that_the_monitor_told_of_and_an_automation_made(
    shop: Shop, connected: Any, prefect_url: str, told: bool, headers: Any, tags: Any, named: str, asked: str
) -> None:
    from prefect.flow_engine import run_flow

    found: list[str] = []

    @flow(name="asks")
    def asks() -> None:
        found.append(requester(shop, named))

    if told:
        tell_drift(shop)
    with prefect_client("ask") as client:
        deployment = client.create_deployment(flow_id=client.create_flow(asks), name=uuid.uuid4().hex)
        path = f"{prefect_url}/deployments/{deployment}/create_flow_run"
        run = httpx.post(path, json={"tags": tags}, headers=headers, timeout=60, trust_env=False).json()
        run_flow(asks, flow_run=client.read_flow_run(uuid.UUID(run["id"])))
    assert found == [asked]
