"""The monitor flow: the newest window of traffic and catalogue against what the champion was judged on."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from components.chatops.board import Drift
from components.contract.errors import DebutError, MonitoringError, TrackingError
from components.contract.files import write_json
from components.index.items_table import ItemsTable
from components.index.retrieval import INDEX, open_candidate
from components.monitoring.alarms import Alarms
from components.monitoring.drift_report import DriftReport, OnlineRecall
from components.monitoring.evidently_report import HTML_FILE, publish
from components.monitoring.history import due
from components.monitoring.judging import judge
from components.monitoring.online import explored_recall, outside_recall
from components.monitoring.reference import Reference, Undiscoverable, load_reference
from components.monitoring.window import Window, read_window
from components.tracking.drift import record_drift
from flows import console, notifications
from flows.orchestrator import PrefectOrchestrator, has_server
from flows.shop import REFERENCE, Shop, open_shop
from flows.undiscoverable import undiscoverable_items

DRIFT_EVENT = "debut.drift"
LAST_EVENT = "last_event.json"
EVIDENTLY = "evidently"
"""Folder of the workspace that `evidently ui --workspace` opens."""


@flow(name="monitor", flow_run_name="monitor {config}")
def monitor(
    config: str,
    root: str | None = None,
    workspace: str | None = None,
    start: str | None = None,
    end: str | None = None,
) -> dict[str, Any]:
    """Judges one window, keeps its report, and tells of drift. start, end: of the window (ISO 8601, UTC); not
    given, the newest `monitoring.window_hours`."""
    shop = open_shop(config, root, workspace)
    told = watch(shop, *(datetime.fromisoformat(at) if at else None for at in (start, end)))
    create_markdown_artifact(_markdown(told), key="drift-report")
    if Path(told["report"]).is_file():  # without a judged metric there is none
        create_link_artifact(
            Path(told["report"]).as_uri(), link_text="Evidently report", key="evidently-report"
        )
    return told


def watch(shop: Shop, start: datetime | None = None, end: datetime | None = None) -> dict[str, Any]:
    """The report of one window as plain JSON values, with `report`, the path of its page, and `event`,
    whether drift was told of. Raises MonitoringError without a reference or a traffic log."""
    settings = shop.settings.monitoring
    end = end or datetime.now(UTC)
    start = start or end - timedelta(hours=settings.window_hours)
    reference, alarms = _reference(shop)
    window = read_window(shop.traffic, live_catalogue(shop), start, end, settings, _undiscoverable(shop))
    report = judge(window, reference, alarms, settings)
    report = report.model_copy(update={"online": _online(shop, window)})
    out = shop.drift_reports / f"{report.end:%Y%m%dT%H%M%S}"
    evidently = shop.workspace / EVIDENTLY
    publish(report, window, reference, alarms, settings, out, workspace=evidently, shop=shop.settings.shop)
    told: dict[str, Any] = report.model_dump(mode="json") | {"report": str(out / HTML_FILE)}
    _log(shop, told, out)
    told["event"] = _tell(shop, report, out / HTML_FILE)
    return told


def live_catalogue(shop: Shop) -> pl.DataFrame:
    """The champion's items with all that was PUT and deleted since."""
    digest = shop.decision_log().champion()
    items = pl.read_parquet(shop.candidates / str(digest) / INDEX / "items.parquet")
    place = shop.live_items
    if not place.startswith("s3://") and not Path(place).exists():
        return items
    changes = {change.item_id: change for change in ItemsTable.open(place).changes_since(0)}
    kept = items.filter(~pl.col("item_id").is_in(list(changes)))
    live = [change.item.model_dump() for change in changes.values() if change.item is not None]
    if not live:
        return kept
    return pl.concat([kept, pl.DataFrame(live, infer_schema_length=None)], how="diagonal_relaxed")


def _reference(shop: Shop) -> tuple[Reference, Alarms]:
    champion = shop.decision_log().champion()
    if champion is None:
        raise MonitoringError("There is no champion yet: run `debut retrain` first.")
    folder = shop.references / champion
    return load_reference(folder / REFERENCE), Alarms.read(folder)


def _undiscoverable(shop: Shop) -> Undiscoverable | None:
    """Counted anew; where the data that the champion was built on is gone, the window goes without."""
    try:
        found, _ = undiscoverable_items(shop)
    except DebutError as error:
        console.problem(f"The undiscoverable items are not counted: {error}")
        return None
    return Undiscoverable(found=found.count, checked=found.checked)


def _online(shop: Shop, window: Window) -> tuple[OnlineRecall, ...]:
    """New-item recall on live behaviour: from exploration, and from purchases through other entrances."""
    champion = str(shop.decision_log().champion())
    new = window.items.filter("is_new").get_column("item_id").to_list()
    explored = explored_recall(
        shop.traffic, new, window.start, window.end, shop.settings.serving.exploration, champion
    )
    events = shop.newest_check() / "events.parquet"
    bought = pl.read_parquet(events) if events.is_file() else None
    if bought is None or bought.filter(pl.col("at").is_between(window.start, window.end)).is_empty():
        return (explored,)
    folder = shop.candidates / champion
    index = open_candidate(folder, champion[:12], folder / INDEX)
    return explored, outside_recall(bought, index, new, window.start, window.end, shop.settings.judge.k)


def _log(shop: Shop, told: dict[str, Any], folder: Path) -> None:
    try:
        record_drift(shop.settings, shop.workspace, told, sorted(folder.iterdir()))
    except TrackingError as error:
        console.problem(f"The window is judged, but not in MLflow: {error}")


def _tell(shop: Shop, report: DriftReport, page: Path) -> bool:
    """Drift becomes one event, and then none for `debounce_hours`: a retrain takes a while to help."""
    if report.verdict != "drift":
        return False
    last, now = shop.workspace / "monitoring" / LAST_EVENT, datetime.now(UTC)
    if last.is_file():
        told = json.loads(last.read_bytes())
        same = told["release"] == report.release
        if same and not due(datetime.fromisoformat(told["at"]), now, shop.settings.monitoring):
            return False
    because = f"drift of {', '.join(report.raised)} up to {report.end:%Y-%m-%d %H:%M} UTC"
    if has_server():
        payload = {"because": because, "requested_by": "drift", "release": report.release}
        PrefectOrchestrator(shop.settings.shop).emit(DRIFT_EVENT, f"debut.shop.{shop.settings.shop}", payload)
    write_json(last, {"release": report.release, "at": now.isoformat(), "because": because})
    notifications.drifted(
        shop, Drift(at=report.end, drifted=True, sentence=report.sentence, report=str(page))
    )
    return True


def _markdown(told: dict[str, Any]) -> str:
    rows = "".join(f"| {one['name']} | {one['outcome']} | {one['sentence']} |\n" for one in told["metrics"])
    return f"# {told['verdict']}\n\n{told['sentence']}\n\n| metric | outcome | |\n|---|---|---|\n{rows}"
