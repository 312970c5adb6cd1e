"""Retrains that could not tell how they ended: the process died, or they were cancelled before they began."""

from datetime import UTC, datetime, timedelta

from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.context import FlowRunContext

from components.contract.errors import DebutError
from components.contract.ports import ObjectStore
from components.data.storage import open_store
from flows import console, notifications
from flows.orchestrator import has_server, jobs_filter, prefect_client, run_url, shop_filter
from flows.shop import Shop

FOLDER = "told_runs"
"""Of the workspace: a file per flow run whose end was told, named by its id, and SINCE."""
SINCE = "since"
LOOK_BACK, FIRST_LOOK_BACK = timedelta(days=7), timedelta(hours=1)
"""How old an end may be to be told of still, and how old at the first look."""
_LOST = ["FAILED", "CRASHED", "CANCELLED"]


def tell_lost_runs(shop: Shop) -> list[str]:
    """Tells, once each, of the shop's retrains that failed, crashed or were cancelled and did not say so
    themselves: their thread, else the channel, and the webhooks. Returns their names; none where Prefect is
    away, which is shown."""
    if not has_server():
        return []
    store = _store(shop)
    try:
        # The name is taken before the telling: two looks at a time tell once.
        lost = [run for run in _ended(shop, _since(store)) if store.create(str(run.id), b"")]
    except DebutError as error:
        console.problem(f"Runs that were lost are not told of: {error}")
        return []
    for run in lost:
        notifications.lost(shop, run.name, _sentence(run), run.parameters.get("thread"))
    return [run.name for run in lost]


def remember_told(shop: Shop) -> None:
    """Notes that this flow run told its end itself; does nothing outside one, or without a server."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None or not has_server():
        return
    try:
        _store(shop).create(str(context.flow_run.id), b"")
    except DebutError as error:  # a full disk, say, which may be what ended the run
        console.problem(f"The end of this run may be told twice: {error}")


def _store(shop: Shop) -> ObjectStore:
    return open_store(str(shop.workspace / FOLDER))


def _since(store: ObjectStore) -> datetime:
    """Ends before it are old news: of a time before anyone looked, or long ago."""
    now = datetime.now(UTC)
    store.create(SINCE, (now - FIRST_LOOK_BACK).isoformat().encode())
    return max(datetime.fromisoformat(store.read(SINCE).decode()), now - LOOK_BACK)


def _ended(shop: Shop, since: datetime) -> list[FlowRun]:
    ended = FlowRunFilter.model_validate({"state": {"type": {"any_": _LOST}}, "end_time": {"after_": since}})
    with prefect_client("look for lost runs") as client:
        return client.read_flow_runs(
            flow_filter=jobs_filter("retrain"),
            deployment_filter=shop_filter(shop.settings.shop),
            flow_run_filter=ended,
            sort=FlowRunSort.END_TIME_DESC,
        )


def _sentence(run: FlowRun) -> str:
    """Without the state's own message, which may hold what an exception said."""
    state = run.state.name if run.state else "without a state"
    asker, at, url = run.parameters.get("requested_by"), run.end_time, run_url(run)
    return (
        f"it ended {state}{f' at {at:%Y-%m-%d %H:%M} UTC' if at else ''} and could not tell so itself"
        f"{f'; it was started under the name {asker}' if asker else ''}. "
        f"Prefect's page of the run has the cause"
        f"{f' – {url}' if url else ''}."
    )
