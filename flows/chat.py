"""A shop as chat sees it (components.chatops.board.Board)."""

import json
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from components.chatops.board import Comparison, Drift, Status, Thread
from components.contract.acting import actor
from components.contract.errors import ConfigError, OrchestrationError
from components.contract.ports import JobRun, Orchestrator
from components.contract.records import Decision
from components.monitoring.evidently_report import HTML_FILE, REPORT_FILE
from components.release.decision_log import last_change
from flows import acts
from flows.orchestrator import PrefectOrchestrator
from flows.shop import Shop

RUNS_SHOWN = 5


class ShopBoard:
    """Every command that changes something is a record of the decision log, besides the record of the act."""

    def __init__(self, shop: Shop, orchestrator: Orchestrator | None = None) -> None:
        self._shop = shop
        self._orchestrator = orchestrator or PrefectOrchestrator(shop.settings.shop)

    def start_retrain(self, shop: str | None, because: str, requester: str, thread: Thread | None) -> JobRun:
        name = self._shop.settings.shop
        if shop not in (None, name):
            raise ConfigError(f"This chat is connected to the shop {name}, not to {shop}.")
        # Recorded first: a run that was started and is in no record would be nobody's.
        self._record(requester, f"retrain because {because}" if because else "retrain")
        return self._orchestrator.start(
            "retrain",
            {"because": because, "requested_by": requester, "thread": asdict(thread) if thread else None},
        )

    def status(self) -> Status:
        log = self._shop.decision_log()
        status = Status(self._shop.settings.shop, log.champion(), self._shop.reviews().waiting(), ())
        try:
            return replace(status, runs=tuple(self._orchestrator.recent(RUNS_SHOWN)))
        except OrchestrationError as error:  # the champion does not depend on Prefect
            return replace(status, problem=str(error))

    def drift(self) -> Drift | None:
        newest = max(self._shop.drift_reports.glob(f"[0-9]*/{REPORT_FILE}"), default=None)
        if newest is None:
            return None
        told = json.loads(newest.read_bytes())
        page = newest.with_name(HTML_FILE)
        return Drift(
            at=datetime.fromisoformat(told["end"]),
            drifted=told["verdict"] == "drift",
            sentence=told["sentence"],
            report=str(page) if page.is_file() else None,
        )

    def champion(self) -> Decision | None:
        return last_change(self._shop.decision_log().records())

    def compare(self) -> Comparison | None:
        newest = max(self._shop.runs.glob("*/gate_report.json"), default=None)
        if newest is None:
            return None
        run_id = newest.parent.name
        return Comparison(run_id, acts.report_of_run(self._shop, run_id))

    def approve(self, run_id: str, actor: str) -> Decision:
        from flows.reviews import settle

        return settle(self._shop, run_id, approve=True, actor=actor)

    def reject(self, run_id: str, actor: str, reason: str) -> Decision:
        from flows.reviews import settle

        return settle(self._shop, run_id, approve=False, actor=actor, reason=reason)

    def rollback(self, actor: str, reason: str, to: str | None = None) -> Decision:
        return acts.roll_back(self._shop, actor, to=to, reason=reason)

    def gate_report(self, run_id: str) -> Path | None:
        return self._file(run_id, "gate_report.html")

    def age_curve(self, run_id: str) -> Path | None:
        return self._file(run_id, "recall_by_age.png")

    def _file(self, run_id: str, name: str) -> Path | None:
        path = self._shop.runs / run_id / name
        return path if path.is_file() else None

    def _record(self, actor: str, command: str) -> None:
        self._shop.decision_log().append("chat_command", release=None, actor=actor, reason=command)


def record_roles(shop: Shop) -> None:
    """Appends who may do what in chat, where that is not what the last such record says."""
    log = shop.decision_log()
    roles = ", ".join(f"{user} {role}" for user, role in sorted(shop.settings.chat.roles.items()))
    changes = [record for record in log.records() if record.kind == "role_change"]
    reason = f"Roles in chat: {roles or 'none'}"
    if not changes or changes[-1].reason != reason:
        log.append("role_change", release=None, actor=actor(), reason=reason)
