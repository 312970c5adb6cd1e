"""From a drift verdict to an event that starts a retrain, and to people: not more often than it helps."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.chatops.board import Drift
from components.contract.files import write_json
from components.monitoring.drift_report import DriftReport
from components.monitoring.history import due
from components.release.decision_log import last_change
from flows import notifications
from flows.orchestrator import PrefectOrchestrator, has_server
from flows.shop import Shop

DRIFT_EVENT = "debut.drift"
DRIFT = "drift"
"""Who asks for the retrain that drift starts."""
TOLD, PROBLEM = "told.json", "problem.json"
"""In the folder `monitoring`: when drift was told of; what the monitor failed with, while it does."""


def tell_drift(shop: Shop, report: DriftReport, page: Path) -> bool:
    """Sends the event and tells people, unless there is no ground or it is too early: the verdict is another
    or of no known rate, a challenger waits for a review, or drift was told of lately, in which case the pause
    grows with every time that no new champion came of it."""
    if report.verdict != "drift" or not report.rate_known or shop.reviews().waiting() is not None:
        return False
    now, told = datetime.now(UTC), _since_last_change(shop, drift_told_at(shop))
    if not due(told, now, shop.settings.monitoring):
        return False
    # The note comes first: on a full disk events without one would start a retrain every hour. A kill between
    # the two costs less: drift that lasts is told of after the pause.
    _write_told(shop, [*told, now])
    try:
        _emit(shop, report)
    except BaseException:
        _write_told(shop, told)  # the next window tells of it
        raise
    notifications.drifted(
        shop, Drift(at=report.end, drifted=True, sentence=report.sentence, report=str(page))
    )
    return True


def drift_told_at(shop: Shop) -> list[datetime]:
    """When drift was told of, since the champion changed last and once before."""
    return sorted(datetime.fromisoformat(at) for at in _read(_told_file(shop)).get("at", []))


def tell_problem(shop: Shop, sentence: str) -> None:
    """Tells that the monitor does not work: once, until it says something else or works again. Raises
    StorageError, after people were told, where this cannot be noted."""
    file = shop.workspace / "monitoring" / PROBLEM
    if _read(file).get("sentence") != sentence:
        # People first: a full disk may be the very problem, and to hear of one twice is better than never.
        notifications.monitor_failed(shop, sentence)
        write_json(file, {"sentence": sentence})


def forget_problem(shop: Shop) -> None:
    (shop.workspace / "monitoring" / PROBLEM).unlink(missing_ok=True)


def _emit(shop: Shop, report: DriftReport) -> None:
    if not has_server():
        return
    because = f"drift of {', '.join(report.raised)} up to {report.end:%Y-%m-%d %H:%M} UTC"
    payload = {"because": because, "requested_by": DRIFT, "release": report.release}
    PrefectOrchestrator(shop.settings.shop).emit(DRIFT_EVENT, f"debut.shop.{shop.settings.shop}", payload)


def _since_last_change(shop: Shop, told: list[datetime]) -> list[datetime]:
    """The times since the champion changed last, and the newest before: a rollback does not end the pause."""
    change = last_change(shop.decision_log().records())
    since = [at for at in told if change is None or at > change.at]
    return since or told[-1:]


def _told_file(shop: Shop) -> Path:
    return shop.workspace / "monitoring" / TOLD


def _write_told(shop: Shop, told: list[datetime]) -> None:
    write_json(_told_file(shop), {"at": [at.isoformat() for at in told]})


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
    return found
