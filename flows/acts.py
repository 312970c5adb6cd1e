"""Acts of people on releases: promote, override, roll back. The decision log decides; MLflow mirrors it."""

from pathlib import Path

from components.contract.errors import DebutError, PromotionError
from components.contract.records import Decision, GateReport
from components.release import promotion
from components.release.decision_log import ANY_CHAMPION, Unfenced, last_verdict
from components.release.rollback import rollback
from components.tracking.client import connect
from flows import console
from flows.judged_runs import REPORT, JudgedRuns
from flows.log_mirror import mirror_log
from flows.shop import Shop
from flows.signing import check_signature, verify_release

_BY_HAND = "`debut promote --override`, with --reason and --role"


def promote_by_hand(
    shop: Shop, digest: str, actor: str, *, override: bool, reason: str, role: str
) -> Decision:
    """Promotes a candidate by its newest gate report, or against it with a reason and a role.

    Without override PromotionError where the shop promotes by review, or where the candidate's newest verdict
    on record is a refusal.
    """
    if role and not override:
        raise PromotionError(f"The role {role!r} is recorded with --override alone; give that, or no role.")
    candidate = _candidate(shop, digest)
    check_signature(shop.settings.signing, candidate)
    log, report = shop.decision_log(), _newest_report(shop, candidate.name)
    champion = log.champion()
    if override:
        record = promotion.override(
            log, candidate, report, expected_champion=champion, actor=actor, role=role, reason=reason
        )
    else:
        record = promotion.promote(
            log,
            candidate,
            _require_unrefused(shop, candidate.name, report),
            expected_champion=champion,
            actor=actor,
            run_id=None,
            reason=reason or None,
        )
    follow_up(shop, record)
    return record


def verify_by_hand(shop: Shop, digest: str | None) -> Path:
    """The folder of a candidate (None: the champion) after its files and signature were verified."""
    wanted = digest or shop.decision_log().champion()
    if wanted is None:
        raise PromotionError("There is no champion yet: run `debut retrain`, or name a candidate.")
    folder = _candidate(shop, wanted)
    verify_release(shop.settings.signing, folder)
    return folder


def roll_back(
    shop: Shop,
    actor: str,
    *,
    to: str | None,
    reason: str,
    expected_champion: str | Unfenced = ANY_CHAMPION,
) -> Decision:
    """Makes an earlier champion the champion again, once its files and signature were verified.
    expected_champion: see `rollback`."""
    record = rollback(
        shop.decision_log(),
        shop.candidates,
        to=to,
        reason=reason,
        actor=actor,
        check=lambda folder: verify_release(shop.settings.signing, folder),
        expected_champion=expected_champion,
    )
    follow_up(shop, record)
    return record


def follow_up(shop: Shop, decision: Decision) -> None:
    """What follows a recorded act and may fail without undoing it: MLflow mirrors it, people are told."""
    from flows import notifications  # which imports this module

    mirror(shop)
    notifications.decided(shop, decision)


def mirror(shop: Shop) -> None:
    """MLflow after the log. The act stands even where this fails; the next run repairs it."""
    try:
        mirror_log(connect(shop.settings, shop.workspace), shop)
    except DebutError as error:
        console.problem(f"The decision is recorded, but MLflow's aliases are not renewed yet: {error}")


def report_of_run(shop: Shop, run_id: str) -> GateReport:
    """The gate report of a run; PromotionError where it is gone."""
    path = shop.runs / run_id / "gate_report.json"
    if not path.is_file():
        raise PromotionError(f"{path} is missing: without its gate report run {run_id} promotes nothing.")
    return GateReport.model_validate_json(path.read_bytes())


def _candidate(shop: Shop, digest: str) -> Path:
    folders = [path for path in sorted(shop.candidates.glob("[0-9a-f]*")) if path.is_dir()]
    found = [path for path in folders if digest and path.name.startswith(digest)]
    if len(found) != 1:
        known = ", ".join(path.name[:12] for path in folders)
        raise PromotionError(
            f"{digest!r} fits {len(found)} candidates of {shop.candidates}: {known or 'none'}."
        )
    return found[0]


def _require_unrefused(shop: Shop, release: str, report: GateReport | None) -> GateReport:
    """The report, unless a review or a refusal stands between it and a promotion."""
    if report is None:
        raise PromotionError(
            f"{release[:12]} has no gate report here: `debut retrain` judges it, or give --override "
            f"with --reason and --role."
        )
    if report.verdict != "PROMOTE":
        return report  # `promote` refuses it, and names the gate
    waiting = shop.reviews().waiting()
    if waiting is not None and waiting.release == release:
        raise PromotionError(
            f"{release[:12]} waits for a review: `debut review approve {waiting.run_id}` promotes it, else "
            f"only {_BY_HAND}."
        )
    verdict = last_verdict(shop.decision_log().records(), release)
    if verdict is not None and verdict.kind != "promotion":
        raise PromotionError(
            f"{release[:12]} was refused: {verdict.kind} by {verdict.actor} in record {verdict.number} "
            f"({verdict.reason.rstrip('.')}). It is promoted only by {_BY_HAND}."
        )
    if shop.settings.promotion == "review":
        raise PromotionError(
            f"This shop promotes by review, and none waits for {release[:12]}. It is promoted only by "
            f"{_BY_HAND}."
        )
    return report


def _newest_report(shop: Shop, digest: str) -> GateReport | None:
    path = JudgedRuns(shop.runs).file(digest, REPORT)
    return GateReport.model_validate_json(path.read_bytes()) if path is not None else None
