"""The judged windows of a shop: one JSON file each, written once."""

from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from components.contract.digests import canonical_json
from components.contract.errors import MonitoringError
from components.contract.operations import MonitoringSettings
from components.data.storage import LocalStore
from components.monitoring.drift_report import DriftReport
from components.monitoring.reference import utc


def keep(folder: Path, report: DriftReport) -> bool:
    """Writes `<window's start>.json`; False, and nothing changed, where that window was judged before."""
    data = canonical_json(report.model_dump(mode="json")) + b"\n"
    return LocalStore(folder).create(f"{report.start:%Y%m%dT%H%M%SZ}.json", data)


def judged_windows(folder: Path) -> list[DriftReport]:
    """All of them, by start. Raises MonitoringError where a file is damaged."""
    store, reports = LocalStore(folder), []
    for key in store.keys(""):
        if not key.endswith("Z.json"):
            continue
        try:
            reports.append(DriftReport.model_validate_json(store.read(key)))
        except ValidationError as error:
            raise MonitoringError(f"{folder / key} is no drift report: remove it, or restore it.") from error
    return sorted(reports, key=lambda report: report.start)


def due(last_event: datetime | None, now: datetime, settings: MonitoringSettings) -> bool:
    """Whether a drift event may be sent again, by debounce_hours."""
    waited = timedelta(hours=settings.debounce_hours)
    return last_event is None or utc(now) - utc(last_event) >= waited
