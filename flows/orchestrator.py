"""Prefect as the port that the service and chat are given (components.contract.ports.Orchestrator)."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_UI_URL
from pydantic import ValidationError

from components.contract.errors import OrchestrationError
from components.contract.ports import JobRun
from components.tracking.client import without_secrets

SHOWN = ("retrain", "monitor", "review", "index-refresh")
"""Jobs whose runs are shown; `reviews` runs every five minutes and would leave room for no other."""
TRIES = 3
"""A flow run that is asked for just after a deployment was once answered without an id."""


class PrefectOrchestrator:
    """The deployments of one shop on the server that PREFECT_API_URL names."""

    def __init__(self, shop: str) -> None:
        self._shop = shop

    def start(self, job: str, parameters: Mapping[str, Any], name: str | None = None) -> JobRun:
        with prefect_client(f"start {job}") as client:
            open_run = self._newest(client, name) if name else None
            if open_run is not None and not (open_run.state and open_run.state.is_final()):
                return _job_run(open_run, job)
            deployment = client.read_deployment_by_name(f"{job}/{self._shop}")
            return _job_run(_created(client, deployment.id, dict(parameters), name), job)

    def resume(self, name: str, answer: Mapping[str, Any]) -> bool:
        with prefect_client(f"resume {name}") as client:
            run = self._newest(client, name)
            if run is None or run.state is None or not run.state.is_paused():
                return False
            # A form that does not fit is answered with 200 and the run stays suspended: the body tells.
            answered = client.resume_flow_run(run.id, run_input=dict(answer))
            return answered.status is SetStateStatus.ACCEPT

    def recent(self, limit: int = 10) -> Sequence[JobRun]:
        """Of this shop; also those that wait for another's end or for a worker, but not those to come."""
        # By the state's name: its type is SCHEDULED as well where a run is late or awaits its turn.
        due = FlowRunFilter.model_validate({"state": {"name": {"not_any_": ["Scheduled"]}}})
        with prefect_client("list runs") as client:
            jobs = {flow.id: flow.name for flow in client.read_flows(flow_filter=jobs_filter(*SHOWN))}
            runs = client.read_flow_runs(
                flow_filter=jobs_filter(*SHOWN),
                deployment_filter=shop_filter(self._shop),
                flow_run_filter=due,
                sort=FlowRunSort.EXPECTED_START_TIME_DESC,
                limit=limit,
            )
            return [_job_run(run, jobs[run.flow_id]) for run in runs]

    def emit(self, event: str, subject: str, payload: Mapping[str, Any]) -> None:
        with prefect_client(f"emit {event}"):
            emit_event(event, resource={"prefect.resource.id": subject}, payload=dict(payload))

    @staticmethod
    def _newest(client: SyncPrefectClient, name: str) -> FlowRun | None:
        named = FlowRunFilter.model_validate({"name": {"any_": [name]}})
        runs = client.read_flow_runs(
            flow_run_filter=named, sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1
        )
        return runs[0] if runs else None


def shop_filter(shop: str) -> DeploymentFilter:
    """The deployments of a shop, which bear its name."""
    return DeploymentFilter.model_validate({"name": {"any_": [shop]}})


def jobs_filter(*jobs: str) -> FlowFilter:
    return FlowFilter.model_validate({"name": {"any_": list(jobs)}})


def run_url(run: FlowRun) -> str | None:
    """Its page; None where Prefect's page has no known address."""
    ui = PREFECT_UI_URL.value()
    return f"{ui}/runs/flow-run/{run.id}" if ui else None


def has_server() -> bool:
    """Whether runs can be asked for; an embedded server ends with its run, so it takes none."""
    return bool(os.environ.get("PREFECT_API_URL"))


@contextmanager
def prefect_client(act: str) -> Iterator[SyncPrefectClient]:
    """Raises OrchestrationError: what cannot be done, and why; without the password of an address."""
    if not has_server():
        raise OrchestrationError(
            f"Cannot {act}: no Prefect server is named. Set PREFECT_API_URL, then run `debut deploy`."
        )
    try:
        with get_client(sync_client=True) as client:
            yield client
    except ObjectNotFound as error:
        raise OrchestrationError(f"Cannot {act}: it is not deployed here; run `debut deploy`.") from error
    except (PrefectHTTPStatusError, httpx.HTTPError, ValidationError) as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        url = os.environ["PREFECT_API_URL"]
        # `from None`: the chained error's own text could show the password of the address.
        raise OrchestrationError(
            without_secrets(f"Cannot {act}: Prefect's server at {url} says: {told}.")
        ) from None


def _created(
    client: SyncPrefectClient, deployment: Any, parameters: dict[str, Any], name: str | None
) -> FlowRun:
    for attempt in range(1, TRIES + 1):
        try:
            return client.create_flow_run_from_deployment(deployment, parameters=parameters, name=name)
        except ValidationError:
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


def _job_run(run: FlowRun, job: str) -> JobRun:
    state = (run.state and run.state.name) or "Pending"
    return JobRun(str(run.id), run.name, job, state, run_url(run))
