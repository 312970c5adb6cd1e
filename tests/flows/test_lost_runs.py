"""Retrains that end without telling so are told of by the regular look, once; on a real Prefect server."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.chatops.recorder import Recorder
from flows.lost_runs import FOLDER, tell_lost_runs
from flows.orchestrator import prefect_client
from flows.shop import Shop, open_shop

THREAD = {"channel": "C0SHOP", "ts": "1.0"}


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEBUT_SLACK_BOT_TOKEN", "xoxb-token-of-tests")
    with Recorder(tmp_path / "recorder") as running:
        yield running


@pytest.fixture
def shop(tiny_shop: Any, recorder: Recorder, connected: Any) -> Shop:
    """Of a name of its own: the server is shared."""
    assert connected
    chat = {"api_url": recorder.api_url, "channel": "C0ALL", "webhooks": [f"{recorder.url}hooks/mattermost"]}
    tiny_shop.configure(shop=f"shop-{uuid.uuid4().hex[:6]}", chat=chat)
    return open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))


def ended(shop: str, state: str, job: str = "retrain", **parameters: Any) -> Any:
    """A run of a deployment which the server, not the run, says has ended."""
    from prefect.states import State, StateType

    with prefect_client("make a run") as client:
        flow = client.create_flow_from_name(job)
        deployment = client.create_deployment(flow_id=flow, name=shop, enforce_parameter_schema=False)
        run = client.create_flow_run_from_deployment(deployment, parameters=parameters)
        told = State(type=StateType[state], message="password=s3cret")
        client.set_flow_run_state(run.id, told, force=True)
        return run


def test_a_crashed_retrain_is_told_once_in_its_thread_and_to_the_webhook(
    shop: Shop, recorder: Recorder
) -> None:
    """Without the state's message, which may hold what an exception said."""
    run = ended(shop.settings.shop, "CRASHED", thread=THREAD, requested_by="slack:U0ADA")
    assert tell_lost_runs(shop) == [run.name]
    thread, webhook = recorder.posts
    assert (thread["channel"], thread["thread_ts"]) == ("C0SHOP", "1.0")
    assert thread["text"].startswith(f"Run `{run.name}` failed: it ended Crashed at 20")
    assert "it was started under the name slack:U0ADA" in thread["text"]
    assert webhook == {"method": "/hooks/mattermost", "text": thread["text"]}
    assert "s3cret" not in str(recorder.posts)
    assert tell_lost_runs(shop) == []
    assert len(recorder.posts) == 2


@pytest.mark.parametrize("state", ["CANCELLED", "FAILED"])
def test_a_retrain_that_never_began_is_told_in_the_channel(
    shop: Shop, recorder: Recorder, state: str
) -> None:
    """Cancelled while it was queued, or failed before our code was reached."""
    ended(shop.settings.shop, state)
    assert len(tell_lost_runs(shop)) == 1
    assert (recorder.posts[0]["channel"], "thread_ts" in recorder.posts[0]) == ("C0ALL", False)


def test_other_shops_other_jobs_and_good_ends_are_not_told(shop: Shop, recorder: Recorder) -> None:
    ended("another", "CRASHED")
    ended(shop.settings.shop, "CRASHED", job="monitor")
    ended(shop.settings.shop, "COMPLETED")
    assert tell_lost_runs(shop) == []
    assert recorder.posts == []


def test_what_ended_long_before_anyone_looked_is_not_told(shop: Shop, recorder: Recorder) -> None:
    (shop.workspace / FOLDER).mkdir(parents=True)
    (shop.workspace / FOLDER / "since").write_text("2999-01-01T00:00:00+00:00")
    ended(shop.settings.shop, "CRASHED")
    assert tell_lost_runs(shop) == []
    assert recorder.posts == []


def test_a_retrain_that_told_its_failure_is_not_told_again(
    shop: Shop, tiny_shop: Any, recorder: Recorder
) -> None:
    """The flow itself, as a worker runs it, on a source that is missing."""
    from prefect.flow_engine import run_flow

    from flows.retrain import retrain

    (tiny_shop.folder / "items.csv").unlink()
    given = {"config": str(tiny_shop.config), "workspace": str(tiny_shop.workspace.parent), "thread": THREAD}
    with prefect_client("make a run") as client:
        flow = client.create_flow(retrain)
        deployment = client.create_deployment(flow_id=flow, name=shop.settings.shop)
        run = client.create_flow_run_from_deployment(deployment, parameters=given)
        with pytest.raises(Exception, match=r"items\.csv"):
            run_flow(retrain, flow_run=client.read_flow_run(run.id), parameters=given)
        assert client.read_flow_run(run.id).state_type.value == "FAILED"
    assert "items.csv" in recorder.posts[0]["text"]
    told = len(recorder.posts)
    assert tell_lost_runs(shop) == []
    assert len(recorder.posts) == told


def test_without_a_server_there_is_nothing_to_look_for(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    assert tell_lost_runs(shop) == []


def test_a_server_that_is_away_ends_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next look tells of what this one did not see."""
    from prefect import settings

    run, url = ended(shop.settings.shop, "CRASHED"), "http://127.0.0.1:9/api"
    with monkeypatch.context() as away:
        away.setenv("PREFECT_API_URL", url)
        with settings.temporary_settings({settings.PREFECT_API_URL: url}):
            assert tell_lost_runs(shop) == []
    assert tell_lost_runs(shop) == [run.name]
