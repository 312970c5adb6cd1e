"""Prefect behind the port Orchestrator, on a real server; what cannot be done is one sentence."""

import uuid
from pathlib import Path

import pytest
import yaml

from components.contract.errors import OrchestrationError
from flows.orchestrator import SHOWN, PrefectOrchestrator, prefect_client


@pytest.fixture
def orchestrator():
    return PrefectOrchestrator("tiny")


def test_without_a_server_it_says_which_variable_to_set(orchestrator, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(OrchestrationError, match="Set PREFECT_API_URL, then run `debut deploy`"):
        orchestrator.start("retrain", {})


def test_a_job_that_is_not_deployed_is_named(orchestrator, connected):
    with pytest.raises(OrchestrationError, match="Cannot start retrain: it is not deployed here"):
        orchestrator.start("retrain", {})


def test_a_server_that_is_away_is_named(orchestrator, connected, monkeypatch):
    from prefect import settings

    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    changed = {settings.PREFECT_API_URL: "http://127.0.0.1:9/api", settings.PREFECT_CLIENT_MAX_RETRIES: 0}
    with (
        settings.temporary_settings(changed),
        pytest.raises(OrchestrationError, match=r"Prefect's server at http://127\.0\.0\.1:9/api says"),
    ):
        orchestrator.recent()


def test_the_servers_password_is_not_told(orchestrator, connected, monkeypatch):
    from prefect import settings

    url = "http://debut:s3cret@127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_API_URL", url)
    changed = {settings.PREFECT_API_URL: url, settings.PREFECT_CLIENT_MAX_RETRIES: 0}
    with settings.temporary_settings(changed), pytest.raises(OrchestrationError) as told:
        orchestrator.recent()
    assert "Prefect's server at http://…@127.0.0.1:9/api says" in str(told.value)
    assert "s3cret" not in str(told.value)
    assert told.value.__suppress_context__  # a log shows no chained error, whose text may have the address


def asked_for(client, job, shop):
    """A run of a deployment, which is made where it is not there yet."""
    flow = client.create_flow_from_name(job)
    deployment = client.create_deployment(flow_id=flow, name=shop)
    return client.create_flow_run_from_deployment(deployment)


def test_the_newest_runs_of_the_shop_are_told_and_nothing_else(connected):
    """Not another shop's, not those to come, and not the job that runs every five minutes."""
    from prefect.states import AwaitingConcurrencySlot, Running

    shop = f"shop-{uuid.uuid4().hex[:6]}"
    with prefect_client("make runs") as client:
        for job, name in (("reviews", shop), ("retrain", "another"), ("monitor", shop)):
            for _ in range(3):
                run = asked_for(client, job, name)
                client.set_flow_run_state(run.id, Running(), force=True)
        waits, _to_come = asked_for(client, "retrain", shop), asked_for(client, "retrain", shop)
        client.set_flow_run_state(waits.id, AwaitingConcurrencySlot(), force=True)
    told = PrefectOrchestrator(shop).recent(3)
    assert [(run.job, run.state) for run in told] == [
        ("retrain", "AwaitingConcurrencySlot"),
        ("monitor", "Running"),
        ("monitor", "Running"),
    ]
    assert told[0].run_id == str(waits.id)


def test_every_job_but_the_frequent_one_is_shown():
    file = Path(__file__).parents[2] / "infra" / "prefect.yaml"
    modules = {one["entrypoint"] for one in yaml.safe_load(file.read_text())["deployments"]}
    assert len(SHOWN) == len(modules) - 1  # all but flows.reviews:look_after_reviews
    assert "reviews" not in SHOWN


def test_a_run_that_does_not_wait_is_not_resumed(orchestrator, connected):
    assert orchestrator.resume("review 20990101-000000", {"decision": "approve"}) is False


def test_an_event_is_taken(orchestrator, connected):
    """`emit` returns; that an automation acts on it is shown in tests/infra."""
    orchestrator.emit("debut.drift", "debut.shop.tiny", {"because": "a test"})
