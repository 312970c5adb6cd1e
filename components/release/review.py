"""Review: a challenger with the verdict PROMOTE that a person approves or rejects.

A case is one immutable object `<run_id>.json`; what became of it is told by the decision log alone, so a case
is settled exactly once, whoever asks and from wherever. It is over when its run has a record that settles it,
when its time is up, or when a newer challenger came: a later case, or a later verdict or change of champion.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from components.contract.digests import canonical_json
from components.contract.errors import FencedError, PromotionError
from components.contract.operations import ReviewSettings
from components.contract.ports import ObjectStore
from components.contract.records import Decision, GateReport, ReviewCase
from components.release.decision_log import (
    CHAMPION_KINDS,
    VERDICT_KINDS,
    Clock,
    DecisionLog,
    champion_of,
    settled_by,
    short_digest,
    utc_now,
)
from components.release.four_eyes import require_second
from components.release.promotion import promote, report_digest

State = Literal["waiting", "settled", "expired", "superseded"]


class Reviews:
    """The cases of one shop, oldest first by run id. Every method reads the store anew."""

    def __init__(self, store: ObjectStore, log: DecisionLog, clock: Clock = utc_now) -> None:
        self._store = store
        self._log = log
        self._clock = clock

    def open(
        self, run_id: str, shop: str, report: GateReport, *, days: float, requester: str, because: str
    ) -> ReviewCase:
        """Makes the challenger of a report wait for a person; a run that opened its case before gets it back.

        Raises PromotionError where the report's verdict is not PROMOTE, FencedError where the champion is
        another one by now than the report judged against.
        """
        if report.verdict != "PROMOTE":
            raise PromotionError(f"The verdict is {report.verdict}: there is nothing to approve.")
        records, now = self._log.records(), self._clock()
        if champion_of(records) != report.champion_digest:
            raise FencedError(
                f"{short_digest(report.challenger_digest)} was judged against champion "
                f"{short_digest(report.champion_digest)}, but the champion is now "
                f"{short_digest(champion_of(records))}: nobody is asked to approve it; run again."
            )
        case = ReviewCase(
            run_id=run_id,
            shop=shop,
            release=report.challenger_digest,
            champion=report.champion_digest,
            requester=requester,
            because=because,
            opened=now,
            expires=now + timedelta(days=days),
            after_record=len(records),
        )
        self._store.create(_key(run_id), canonical_json(case.model_dump(mode="json")))
        return self.get(run_id)

    def get(self, run_id: str) -> ReviewCase:
        """Raises PromotionError where no such run waits or waited for a review."""
        if _key(run_id) not in self._store.keys(""):
            waiting = self.waiting()
            hint = f"; {waiting.run_id} waits" if waiting else "; no run waits"
            raise PromotionError(f"Run {run_id!r} has no review here{hint}.")
        return self._read(_key(run_id))

    def cases(self) -> list[ReviewCase]:
        return [self._read(key) for key in self._store.keys("") if key.endswith(".json")]

    def waiting(self) -> ReviewCase | None:
        """The case that may be approved or rejected now; there is at most one."""
        cases, records = self.cases(), self._log.records()
        return next((c for c in reversed(cases) if self._state(c, cases, records) == "waiting"), None)

    def state(self, case: ReviewCase) -> State:
        return self._state(case, self.cases(), self._log.records())

    def approve(
        self, case: ReviewCase, candidate: Path, report: GateReport, *, actor: str, settings: ReviewSettings
    ) -> Decision:
        """Promotes the case's release, by the same checks as any promotion.

        Raises PromotionError where the case is over, where settings.four_eyes asks for another person, or
        where `promote` refuses; FencedError where another release was promoted meanwhile.
        """
        self._require_waiting(case)
        if settings.four_eyes:
            require_second(case, actor, settings.people)
        if candidate.name != case.release:
            raise PromotionError(f"The case is about {case.release[:12]}, not about {candidate.name[:12]}.")
        return promote(
            self._log,
            candidate,
            report,
            expected_champion=case.champion,
            actor=actor,
            run_id=case.run_id,
            reason=f"approved in review: {report.sentence}",
            once=True,
        )

    def reject(self, case: ReviewCase, report: GateReport, *, actor: str, reason: str) -> Decision:
        """Raises PromotionError where the case is over or no reason is given."""
        if not reason.strip():
            raise PromotionError("A rejection needs a reason; it is recorded.")
        self._require_waiting(case)
        return self._refuse(case, actor, reason, report_digest(report))

    def expire(self) -> list[Decision]:
        """Rejects each case whose time is up ("review expired"); the verdict in its gate report stays."""
        over = [case for case in self.cases() if self.state(case) == "expired"]
        recorded = [self._expire(case) for case in over]
        return [decision for decision in recorded if decision is not None]

    def _expire(self, case: ReviewCase) -> Decision | None:
        """None where another process recorded it at the same moment."""
        try:
            return self._refuse(case, "debut", "review expired", None)
        except PromotionError:
            if self.state(case) != "settled":
                raise
            return None

    def _refuse(self, case: ReviewCase, actor: str, reason: str, digest: str | None) -> Decision:
        return self._log.append(
            "rejection",
            release=case.release,
            actor=actor,
            reason=reason,
            run_id=case.run_id,
            gate_report_digest=digest,
            once=True,
        )

    def _require_waiting(self, case: ReviewCase) -> None:
        records = self._log.records()
        state = self._state(case, self.cases(), records)
        settled = settled_by(records, case.run_id, case.release)
        if settled is not None:
            raise PromotionError(
                f"Run {case.run_id} is settled already: {settled.kind} by {settled.actor} "
                f"in record {settled.number} ({settled.reason})."
            )
        if state == "expired":
            raise PromotionError(
                f"The review of run {case.run_id} expired at {case.expires:%Y-%m-%d %H:%M} UTC."
            )
        if state == "superseded":
            raise PromotionError(f"A newer challenger came after run {case.run_id}: its review is over.")

    def _state(self, case: ReviewCase, cases: Sequence[ReviewCase], records: Sequence[Decision]) -> State:
        if settled_by(records, case.run_id, case.release) is not None:
            return "settled"
        later = [
            record for record in records[case.after_record :] if record.kind in VERDICT_KINDS | CHAMPION_KINDS
        ]
        if later or any(_order(other) > _order(case) for other in cases):
            return "superseded"
        return "expired" if self._clock() >= case.expires else "waiting"

    def _read(self, key: str) -> ReviewCase:
        try:
            return ReviewCase.model_validate_json(self._store.read(key))
        except ValidationError as error:
            raise PromotionError(
                f"{key} is not a readable review; its challenger cannot be promoted."
            ) from error


def _order(case: ReviewCase) -> tuple[datetime, str]:
    return case.opened, case.run_id


def _key(run_id: str) -> str:
    return f"{run_id}.json"
