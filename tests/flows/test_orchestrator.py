"""Prefect behind the port Orchestrator, on a real server; what cannot be done is one sentence."""

import pytest

from components.contract.errors import OrchestrationError
from flows.orchestrator import PrefectOrchestrator


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


def test_a_run_that_does_not_wait_is_not_resumed(orchestrator, connected):
    assert orchestrator.resume("review 20990101-000000", {"decision": "approve"}) is False


def test_an_event_is_taken(orchestrator, connected):
    """`emit` returns; that an automation acts on it is shown in tests/infra."""
    orchestrator.emit("debut.drift", "debut.shop.tiny", {"because": "a test"})
