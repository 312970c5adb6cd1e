"""Promote, override, reject: each act checks what it must and then appends one record.

Every check fails closed: what cannot be read or does not fit raises, and nothing is promoted. `actor` is who
acts; `run_id` the run on whose behalf, if any.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.contract.digests import sha256_json
from components.contract.errors import PromotionError
from components.contract.records import Decision, DecisionKind, GateReport, Outcome, Verdict
from components.release.candidate import load_fingerprint, verify
from components.release.decision_log import DecisionLog, last_change, short_digest
from components.release.rollback import lineage

NOT_PASSED: frozenset[Outcome] = frozenset({"fail", "unsure", "missing"})
"""Outcomes of a gate that no report with the verdict PROMOTE can hold."""


def promote(
    log: DecisionLog,
    candidate: Path,
    report: GateReport,
    *,
    expected_champion: str | None,
    actor: str,
    run_id: str | None,
    reason: str | None = None,
    once: bool = False,
) -> Decision:
    """Makes the candidate in folder `candidates/<D>` the champion.

    expected_champion: D of the champion that the report judged against; once: refused where the run is
    settled already (`DecisionLog.append`). Raises PromotionError (files that are
    not D's, a report about another candidate or champion, a verdict that is not PROMOTE, a damaged log) and
    FencedError (another release was promoted meanwhile).
    """
    verify(candidate)
    _check_not_champion(candidate.name, expected_champion)
    _check_report(report, candidate.name, expected_champion)
    return log.append(
        "promotion",
        release=candidate.name,
        actor=actor,
        reason=reason or report.sentence,
        run_id=run_id,
        gate_report_digest=report_digest(report),
        expected_champion=expected_champion,
        once=once,
    )


def promote_baseline(log: DecisionLog, candidate: Path, *, actor: str, run_id: str | None) -> Decision:
    """Makes version 0, the untrained encoder, the first champion; there is nothing to judge it against."""
    verify(candidate)
    if not load_fingerprint(candidate).baseline:
        raise PromotionError(
            f"{candidate.name[:12]} is no baseline: only version 0 is promoted without a gate report."
        )
    return log.append(
        "promotion",
        release=candidate.name,
        actor=actor,
        reason="baseline",
        run_id=run_id,
        expected_champion=None,
    )


def override(
    log: DecisionLog,
    candidate: Path,
    report: GateReport | None,
    *,
    expected_champion: str | None,
    actor: str,
    role: str,
    reason: str,
    run_id: str | None = None,
) -> Decision:
    """Promotes against the verdict, or without one: a person's decision, reason and role on record."""
    if not reason.strip() or not role.strip():
        raise PromotionError("An override needs a reason and the role of who decides; both are recorded.")
    verify(candidate)
    _check_not_champion(candidate.name, expected_champion)
    if report is not None:
        _check_same(report, candidate.name)
    return log.append(
        "override",
        release=candidate.name,
        actor=f"{actor} ({role})",
        reason=reason,
        run_id=run_id,
        gate_report_digest=report_digest(report) if report else None,
        expected_champion=expected_champion,
    )


def record_refusal(log: DecisionLog, report: GateReport, *, actor: str, run_id: str | None) -> Decision:
    """Records a verdict that promotes nothing: kind "rejection" or "inconclusive"."""
    kinds: dict[Verdict, DecisionKind] = {"REJECT": "rejection", "INCONCLUSIVE": "inconclusive"}
    if report.verdict not in kinds:
        raise PromotionError(f"The verdict is {report.verdict}, which is no refusal.")
    return log.append(
        kinds[report.verdict],
        release=report.challenger_digest,
        actor=actor,
        reason=report.sentence,
        run_id=run_id,
        gate_report_digest=report_digest(report),
    )


def aliases(records: Sequence[Decision], waiting: str | None = None) -> dict[str, str | None]:
    """D per alias: champion; previous, to which a rollback would go; challenger, the release that waits for a
    review, else the one that was last judged and refused, while no later record changed the champion."""
    champions = lineage(records)
    change = last_change(records)
    refused = [r for r in records if r.kind in ("rejection", "inconclusive")]
    open_case = refused and (change is None or refused[-1].number > change.number)
    return {
        "champion": champions[-1] if champions else None,
        "previous": champions[-2] if len(champions) > 1 else None,
        "challenger": waiting or (refused[-1].release if open_case else None),
    }


def status(log: DecisionLog, waiting: str | None = None) -> dict[str, Any]:
    """What serves and since when, as plain JSON values; waiting: D that waits for a review."""
    records = log.records()
    change = last_change(records)
    return {
        **aliases(records, waiting),
        "since": change.model_dump(mode="json")["at"] if change else None,
        "records": len(records),
        "last_record": records[-1].model_dump(mode="json") if records else None,
    }


def report_digest(report: GateReport) -> str:
    """SHA-256 of the report's canonical JSON; raises PromotionError where a number in it is not finite."""
    try:
        return sha256_json(report.model_dump(mode="json"))
    except ValueError as error:
        raise PromotionError(
            "The gate report holds a number that is not finite; judge again, nothing was promoted."
        ) from error


def _check_report(report: GateReport, digest: str, expected_champion: str | None) -> None:
    _check_same(report, digest)
    if report.champion_digest != expected_champion:
        raise PromotionError(
            f"The gate report judged against champion {short_digest(report.champion_digest)}, "
            f"not against {short_digest(expected_champion)}; judge again."
        )
    # A report that was edited by hand to say PROMOTE still shows the gate that stopped it.
    stopped = [gate.name for gate in report.gates if gate.outcome in NOT_PASSED]
    if report.verdict != "PROMOTE" or stopped or not report.gates:
        raise PromotionError(
            f"The gate report does not allow a promotion: it says {report.verdict}"
            f"{f' and its gate {stopped[0]} did not pass' if stopped else ''}. "
            f"Only an override, with a reason and a role, promotes against it."
        )


def _check_not_champion(digest: str, champion: str | None) -> None:
    if digest == champion:
        raise PromotionError(f"{digest[:12]} is the champion already; there is nothing to promote.")


def _check_same(report: GateReport, digest: str) -> None:
    if report.challenger_digest != digest:
        raise PromotionError(
            f"The gate report is about {report.challenger_digest[:12]}, not about {digest[:12]}; "
            f"a report releases only the candidate it names."
        )
