"""Acts of people on releases: promote, override, roll back. The decision log decides; MLflow mirrors it."""

from pathlib import Path

from components.contract.errors import PromotionError, TrackingError
from components.contract.records import Decision, GateReport
from components.release import promotion
from components.release.review import Reviews
from components.tracking.client import connect
from components.tracking.registry import mirror_aliases
from flows import console
from flows.judged_runs import REPORT, JudgedRuns
from flows.shop import Shop
from flows.signing import verify_release


def promote_by_hand(
    shop: Shop, digest: str, actor: str, *, override: bool, reason: str, role: str
) -> Decision:
    """Promotes a candidate by its newest gate report, or against it with a reason and a role."""
    candidate = _candidate(shop, digest)
    verify_release(shop.settings.signing, candidate)
    log = shop.decision_log()
    report = _newest_report(shop, candidate.name)
    champion = log.champion()
    if override:
        record = promotion.override(
            log, candidate, report, expected_champion=champion, actor=actor, role=role, reason=reason
        )
    elif report is None:
        raise PromotionError(
            f"{candidate.name[:12]} has no gate report here: `debut retrain` judges it, or give --override "
            f"with --reason and --role."
        )
    else:
        record = promotion.promote(
            log,
            candidate,
            report,
            expected_champion=champion,
            actor=actor,
            run_id=None,
            reason=reason or None,
        )
    mirror(shop)
    return record


def verify_by_hand(shop: Shop, digest: str | None) -> Path:
    """The folder of a candidate (None: the champion) after its files and signature were verified."""
    wanted = digest or shop.decision_log().champion()
    if wanted is None:
        raise PromotionError("There is no champion yet: run `debut retrain`, or name a candidate.")
    folder = _candidate(shop, wanted)
    verify_release(shop.settings.signing, folder)
    return folder


def roll_back(shop: Shop, actor: str, *, to: str | None, reason: str) -> Decision:
    """Makes an earlier champion the champion again."""
    record = promotion.rollback(shop.decision_log(), shop.candidates, to=to, reason=reason, actor=actor)
    mirror(shop)
    return record


def aliases_of(shop: Shop) -> dict[str, str | None]:
    """D per alias, by the decision log and the review that waits."""
    log = shop.decision_log()
    waiting = Reviews(shop.review_store(), log).waiting()
    return promotion.aliases(log.records(), waiting.release if waiting else None)


def mirror(shop: Shop) -> None:
    """Aliases after the log. The act stands even where MLflow is away; the next run repairs the aliases."""
    try:
        mirror_aliases(connect(shop.settings, shop.workspace), shop.settings.shop, aliases_of(shop))
    except TrackingError as error:
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


def _newest_report(shop: Shop, digest: str) -> GateReport | None:
    path = JudgedRuns(shop.runs).file(digest, REPORT)
    return GateReport.model_validate_json(path.read_bytes()) if path is not None else None
