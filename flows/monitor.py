"""The monitor flow: windows of traffic and catalogue against what the champion was judged on."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from prefect import flow
from prefect.artifacts import create_link_artifact, create_markdown_artifact

from components.contract.errors import ConfigError, DataError, DebutError, MonitoringError, QualityError
from components.index.catalogue import catalogue_now
from components.index.retrieval import INDEX, open_candidate
from components.monitoring.alarms import Alarms
from components.monitoring.catalogue import drawable
from components.monitoring.drift_report import DriftReport, OnlineRecall
from components.monitoring.evidently_report import HTML_FILE, REPORT_FILE, publish
from components.monitoring.history import due_windows
from components.monitoring.judging import judge
from components.monitoring.online import explored_recall, outside_recall
from components.monitoring.opinions import OpinionReport
from components.monitoring.reference import Reference, Undiscoverable, load_reference, utc
from components.monitoring.window import Window, read_window
from components.release.candidate import load_fingerprint
from components.release.decision_log import last_change
from components.tracking.drift import record_drift
from flows import console, drift_events, opinions
from flows.shop import REFERENCE, Shop, open_shop
from flows.undiscoverable import live_changes, undiscoverable_items

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
    """Judges the windows that are due, keeps their reports, and tells of drift; returns the newest report.

    start, end: of one window to judge instead (ISO 8601, UTC). What keeps the monitor from working is told
    once.
    """
    shop = open_shop(config, root, workspace)
    told: dict[str, Any] = {"verdict": "not judged", "sentence": "No window is due."}
    read, problem = _read_reviews(shop)
    try:
        for first, last in [_given(shop, start, end)] if start or end else _due(shop):
            told = watch(shop, first, last, tell=True)
            create_markdown_artifact(_markdown(told), key="drift-report")
            if told["mlflow"]:
                create_link_artifact(told["mlflow"], link_text="Drift report in MLflow", key="drift-run")
    except DebutError as error:
        drift_events.tell_problem(shop, str(error))
        raise
    if problem:
        drift_events.tell_problem(shop, problem)
    else:
        drift_events.forget_problem(shop)
    return told | {"opinions": read and read.model_dump(mode="json")}


def _read_reviews(shop: Shop) -> tuple[OpinionReport | None, str]:
    """What reviewers think, and what keeps that from being read, or from being new; windows are judged all
    the same."""
    problem = ""
    try:
        opinions.renew_check(shop)
    except DebutError as error:
        problem = f"Reviews are those of an earlier check of the shop's files: {error}"
    try:
        return opinions.watch(shop, tell=True), problem
    except DebutError as error:
        return None, str(error)


def watch(
    shop: Shop, start: datetime | None = None, end: datetime | None = None, *, tell: bool = False
) -> dict[str, Any]:
    """The report of one window, by default the newest `window_hours`, as plain JSON values; with `report`,
    the path of its page, `mlflow`, its run's address (None without a server), and `event`, whether drift was
    told of. tell: whether drift becomes an event. Raises MonitoringError without a reference or a log."""
    settings, digest = shop.settings.monitoring, _champion(shop)
    if start is None or end is None:
        start, end = _given(shop, None, None)
    folder = shop.references / digest
    reference, alarms = load_reference(folder / REFERENCE), Alarms.read(folder)
    items = live_catalogue(shop, digest, reference)
    window = read_window(shop.traffic, items, start, end, settings, _undiscoverable(shop, digest))
    report = judge(window, reference, alarms, settings)
    report = report.model_copy(update={"online": _online(shop, digest, items, window)})
    out = shop.drift_reports / f"{report.end:%Y%m%dT%H%M%S}"
    event = tell and drift_events.tell_drift(shop, report, out / HTML_FILE)  # first: nothing may keep it back
    evidently = shop.workspace / EVIDENTLY
    publish(report, window, reference, alarms, settings, out, workspace=evidently, shop=shop.settings.shop)
    told: dict[str, Any] = report.model_dump(mode="json") | {"report": str(out / HTML_FILE), "event": event}
    return told | {"mlflow": _log(shop, told, out)}


def live_catalogue(shop: Shop, digest: str, reference: Reference) -> pl.DataFrame:
    """The champion's items with all that was PUT and deleted since; what was new to the judge says so."""
    items = pl.read_parquet(shop.candidates / digest / INDEX / "items.parquet")
    new = reference.items.filter("is_new").get_column("item_id")
    return catalogue_now(
        items.with_columns(is_new=pl.col("item_id").is_in(new.to_list())), live_changes(shop)
    )


def _champion(shop: Shop) -> str:
    champion = shop.decision_log().champion()
    if champion is None:
        raise MonitoringError("There is no champion yet: run `debut retrain` first.")
    return champion


def _given(shop: Shop, start: str | None, end: str | None) -> tuple[datetime, datetime]:
    """One window; what is not given lies `window_hours` away, or now."""
    length = timedelta(hours=shop.settings.monitoring.window_hours)
    last = _moment("end", end) if end else datetime.now(UTC)
    first = _moment("start", start) if start else last - length
    if utc(first) >= utc(last):
        raise ConfigError(f"start {start} is not before end {end or 'now'}: the window holds no request.")
    return first, last


def _moment(name: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{name} {text[:60]!r} is no time: give ISO 8601 in UTC, such as 2026-01-05T00:00."
        ) from error


def _due(shop: Shop) -> list[tuple[datetime, datetime]]:
    """The windows that are over and have no report of the champion yet."""
    digest, settings = _champion(shop), shop.settings.monitoring
    change = last_change(shop.decision_log().records())
    assert change is not None  # there is a champion
    reports = [
        DriftReport.model_validate_json(path.read_bytes())
        for path in shop.drift_reports.glob(f"[0-9]*/{REPORT_FILE}")
    ]
    length = timedelta(hours=settings.window_hours)
    judged = [one.end for one in reports if one.release == digest and one.end - one.start == length]
    return due_windows(judged, change.at, datetime.now(UTC), settings)


def _undiscoverable(shop: Shop, digest: str) -> Undiscoverable | None:
    """Counted anew; where the data that the champion was built on is gone, the window goes without."""
    try:
        found, _ = undiscoverable_items(shop, digest)
    except DebutError as error:
        console.problem(f"The undiscoverable items are not counted: {error}")
        return None
    return Undiscoverable(found=found.count, checked=found.checked)


def _online(shop: Shop, digest: str, items: pl.DataFrame, window: Window) -> tuple[OnlineRecall, ...]:
    """How new items fare on live behaviour: by exploration in the window, and by purchases through other
    entrances since the champion's cut-off, as far as the shop's newest export reaches."""
    cutoff = load_fingerprint(shop.candidates / digest).cutoff
    new = window.items.filter("is_new").get_column("item_id").to_list()
    drawn = items.filter(drawable(items, cutoff)).get_column("item_id").to_list()
    both = sorted(set(new) & set(drawn))
    explored = explored_recall(
        shop.traffic, both, window.start, window.end, shop.settings.serving.exploration, digest
    )
    return explored, _outside(shop, digest, new, cutoff)


def _outside(shop: Shop, digest: str, new: list[str], cutoff: datetime | None) -> OnlineRecall:
    """The half by purchases; no value, and why, where the events are unknown."""
    events, reason = pl.DataFrame(), "the shop's events are undated or there are none"
    try:
        events = _events(shop)
    except (DataError, QualityError) as error:
        reason = f"the shop's events are not read ({str(error).rstrip('.')})"
    if cutoff is None or not len(events):
        reason = f"{reason}: other entrances are not known."
        return OnlineRecall(source="other entrances", value=None, low=None, high=None, acts=0, reason=reason)
    folder = shop.candidates / digest
    index = open_candidate(folder, digest[:12], folder / INDEX)
    newest = events.get_column("at").max()
    assert isinstance(newest, datetime)
    end = newest + timedelta(microseconds=1)
    return outside_recall(events, index, new, cutoff, end, shop.settings.judge.k)


def _events(shop: Shop) -> pl.DataFrame:
    path = shop.newest_check(passed=True) / "events.parquet"
    return pl.read_parquet(path) if path.is_file() else pl.DataFrame(schema={"at": pl.Datetime("us")})


def _log(shop: Shop, told: dict[str, Any], folder: Path) -> str | None:
    try:
        return record_drift(shop.settings, shop.workspace, told, sorted(folder.iterdir()))
    except DebutError as error:
        console.problem(f"The window is judged, but not in MLflow: {error}")
        return None


def _markdown(told: dict[str, Any]) -> str:
    rows = "".join(f"| {one['name']} | {one['outcome']} | {one['sentence']} |\n" for one in told["metrics"])
    return f"# {told['verdict']}\n\n{told['sentence']}\n\n| metric | outcome | |\n|---|---|---|\n{rows}"
