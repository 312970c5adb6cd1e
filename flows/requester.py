"""Who asked for a retrain: a name is believed only where more than the name speaks for it.

Everyone who sees Prefect's page can start a run there and type any parameter, and its open-source server
knows no users. So in a deployment's run what is typed counts for nothing by itself.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from components.contract.acting import actor
from components.release.four_eyes import UNIDENTIFIED
from flows.drift_events import DRIFT, drift_told_at
from flows.orchestrator import prefect_client
from flows.shop import Shop

SCHEDULE, NOBODY = "schedule", f"prefect{UNIDENTIFIED}"
ASKED_WITHIN = timedelta(minutes=10)
"""Between the record of a request and the making of its flow run, by two machines' clocks."""


def requester(shop: Shop, named: str = "") -> str:
    """Who asked for this flow run, outside a deployment: who is named, else who acts. In a deployment's run
    "schedule", "drift" or a chat user, each by its own evidence, else NOBODY."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.deployment_id is None:
        return named or actor()
    if run.run_count > 1:  # somebody pressed "Retry"
        return NOBODY
    # Not by the tag auto-scheduled: who asks for a run in the page may give it any tag.
    if named in ("", SCHEDULE) and run.auto_scheduled:
        return SCHEDULE
    if named == DRIFT and _near(run, drift_told_at(shop)) and _of_automation(run):
        return DRIFT
    return named if named and _near(run, _asked_in_chat(shop, named)) else NOBODY


def _asked_in_chat(shop: Shop, user: str) -> list[datetime]:
    """When chat, which checks who its users are, took a retrain from this one."""
    asked = (one for one in shop.decision_log().records() if one.kind == "chat_command" and one.actor == user)
    return [one.at for one in asked if one.reason.split()[:1] == ["retrain"]]


def _near(run: FlowRun, times: Iterable[datetime]) -> bool:
    """Whether the run was made at one of these times: when it starts is no measure, it may have waited."""
    seconds, made = ASKED_WITHIN.total_seconds(), run.created
    return made is not None and any(abs(made.timestamp() - at.timestamp()) <= seconds for at in times)


def _of_automation(run: FlowRun) -> bool:
    """Prefect notes it of the run's maker; runs as clients read them do not show it, a filter does."""
    wanted = {"id": {"any_": [run.id]}, "created_by": {"type_": ["AUTOMATION"]}}
    with prefect_client("see what made this run") as client:
        return bool(client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted)))
