"""However a retrain ends, it is told; for whom it ran is what the flow knows for sure."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from components.chatops.recorder import Recorder
from flows import retrain as retraining
from flows.orchestrator import prefect_client
from flows.retrain import requester, retrain

THREAD = {"channel": "C0SHOP", "ts": "1.0"}


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEBUT_SLACK_BOT_TOKEN", "xoxb-token-of-tests")
    with Recorder(tmp_path / "recorder") as running:
        yield running


@pytest.fixture
def arguments(tiny_shop: Any, recorder: Recorder) -> dict[str, Any]:
    tiny_shop.configure(chat={"api_url": recorder.api_url, "webhooks": [f"{recorder.url}hooks/mattermost"]})
    return {"config": str(tiny_shop.config), "workspace": str(tiny_shop.workspace.parent), "thread": THREAD}


def test_a_missing_source_is_told_in_the_thread_and_to_the_webhook(
    tiny_shop: Any, arguments: dict[str, Any], recorder: Recorder
) -> None:
    """Though it ends the retrain before there is a run in the workspace."""
    (tiny_shop.folder / "items.csv").unlink()
    with pytest.raises(Exception, match=r"items\.csv"):
        retrain.fn(**arguments)
    thread, webhook = recorder.posts
    assert (thread["method"], thread["channel"], thread["thread_ts"]) == ("chat.postMessage", "C0SHOP", "1.0")
    assert "failed: " in thread["text"] and "items.csv" in thread["text"]
    assert webhook == {"method": "/hooks/mattermost", "text": thread["text"]}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TypeError("password=s3cret"), "an unexpected error (TypeError); the run's log has the cause"),
        (KeyboardInterrupt("s3cret"), "it was stopped (KeyboardInterrupt) before its end"),
    ],
)
def test_any_exception_is_told_without_its_message_and_raised(
    arguments: dict[str, Any],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    told: str,
) -> None:
    """Its text may hold a secret. A cancelled run ends by an exception that is no Exception."""

    def fail(_run: Any) -> None:
        raise error

    monkeypatch.setattr(retraining, "run_loop", fail)
    with pytest.raises(type(error)):
        retrain.fn(**arguments)
    assert recorder.posts[0]["text"].endswith(f"failed: {told}")
    assert "s3cret" not in str(recorder.posts)


def test_what_is_no_thread_is_told_to_the_webhook_alone(
    tiny_shop: Any, arguments: dict[str, Any], recorder: Recorder
) -> None:
    """Prefect's page lets people type any parameter."""
    (tiny_shop.folder / "items.csv").unlink()
    with pytest.raises(Exception, match=r"items\.csv"):
        retrain.fn(**arguments | {"thread": {"channel": "C0SHOP"}})
    assert [post["method"] for post in recorder.posts] == ["/hooks/mattermost"]


def test_outside_a_deployment_the_requester_is_who_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUT_ACTOR", "ada")
    assert requester() == "ada"
    assert requester("slack:U0BEN") == "slack:U0BEN"


def test_only_a_run_of_the_scheduler_was_asked_for_by_the_schedule(connected: Any) -> None:
    """A run from Prefect's page is nobody's in particular, whatever tags it was given there."""
    from prefect.flow_engine import run_flow

    told: list[str] = []

    @flow(name="asks")
    def asks() -> None:
        told.append(requester())

    with prefect_client("ask") as client:
        deployment = client.create_deployment(flow_id=client.create_flow(asks), name=uuid.uuid4().hex)
        run = client.create_flow_run_from_deployment(deployment, tags=["auto-scheduled"])
        run_flow(asks, flow_run=client.read_flow_run(run.id))
    assert told == ["prefect:unidentified"]


def test_a_run_of_the_scheduler_is_the_schedules(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.client.schemas.objects import FlowRun
    from prefect.context import FlowRunContext

    run = FlowRun(flow_id=uuid.uuid4(), deployment_id=uuid.uuid4(), auto_scheduled=True)
    context = FlowRunContext.model_construct(flow_run=run)
    monkeypatch.setattr(FlowRunContext, "get", classmethod(lambda _: context))
    assert requester() == "schedule"
    assert requester("drift") == "drift"
