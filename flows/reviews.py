"""Reviews: the run that waits for Prefect's form, the regular look at MLflow's tags and at cases that are
over, and the one function in which every way of answering ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow
from prefect.context import FlowRunContext
from prefect.flow_runs import suspend_flow_run

from components.contract.errors import DebutError, PromotionError
from components.contract.records import Decision, ReviewCase
from components.release.four_eyes import UNIDENTIFIED
from components.tracking.client import connect
from components.tracking.review_tag import read_review_tag
from flows import acts, console, lost_runs
from flows.forms import NO_REASON, SETTLED_ELSEWHERE, ReviewAnswer
from flows.orchestrator import PrefectOrchestrator, has_server
from flows.shop import Shop, open_shop
from flows.signing import check_signature

MLFLOW = f"mlflow{UNIDENTIFIED}"
"""MLflow tells neither its webhooks nor its tags' readers who set a tag."""
GRACE = timedelta(days=1)
"""A form lives so much longer than its case: the expiry is recorded first, and ends the run in good order."""


def settle(shop: Shop, run_id: str, *, approve: bool, actor: str, reason: str = "") -> Decision:
    """Approves or rejects the challenger of a run. Chat, Prefect's form, MLflow's tag and the command line
    all end here. Raises PromotionError or FencedError with what stops it; then nothing was changed."""
    reviews, settings = shop.reviews(), shop.settings
    case = reviews.get(run_id)
    report = acts.report_of_run(shop, run_id)
    if approve:
        candidate = shop.candidates / case.release
        check_signature(settings.signing, candidate)
        decision = reviews.approve(case, candidate, report, actor=actor, settings=settings.review)
    else:
        decision = reviews.reject(case, report, actor=actor, reason=reason)
    _after(shop, case, decision)
    return decision


def read_mlflow_tag(shop: Shop) -> Decision | None:
    """Acts on the tag `review` of the version that waits, if a reviewer set it; None where there is nothing
    to do. With review.four_eyes the tag is a comment: what it would have done is said, not done."""
    case = shop.reviews().waiting()
    tag = None
    if case is not None:
        tag = read_review_tag(connect(shop.settings, shop.workspace), shop.settings.shop, case.release)
    if case is None or tag is None:
        return None
    if shop.settings.review.four_eyes:
        would = "approved it" if tag.approved else f"rejected it ({tag.reason})"
        console.note(f"MLflow's tag review on {case.release[:12]} is a comment: it would have {would}.")
        return None
    try:
        return settle(shop, case.run_id, approve=tag.approved, actor=MLFLOW, reason=tag.reason)
    except PromotionError as error:
        console.problem(f"MLflow's tag review on {case.release[:12]} changes nothing: {error}")
        return None


def record_expired(shop: Shop) -> list[Decision]:
    """Rejects reviews whose time is up; returns what was recorded."""
    reviews = shop.reviews()
    expired = reviews.expire()
    for decision in expired:
        _after(shop, reviews.get(str(decision.run_id)), decision)
    return expired


def end_forms(shop: Shop) -> list[str]:
    """Ends the runs whose form still waits though their case is over, settled or superseded; returns the
    cases' run ids. May be called at any time."""
    if not has_server():
        return []
    reviews, since = shop.reviews(), datetime.now(UTC) - GRACE
    over = [case for case in reviews.cases() if case.expires > since and reviews.state(case) != "waiting"]
    return [case.run_id for case in over if _end_form(shop, case)]


@flow(name="reviews", flow_run_name="reviews {config}")
def look_after_reviews(config: str, root: str | None = None, workspace: str | None = None) -> dict[str, Any]:
    """Rejects reviews whose time is up, ends forms that are left over, and reads MLflow's tags, where no
    webhook brought them; and tells of retrains that could not tell their end."""
    shop = open_shop(config, root, workspace)
    lost_runs.tell_lost_runs(shop)
    expired, ended = record_expired(shop), end_forms(shop)
    settled = read_mlflow_tag(shop)
    return {
        "expired": [decision.run_id for decision in expired],
        "ended": ended,
        "settled": settled.run_id if settled else None,
    }


@flow(name="review", flow_run_name="review {run_id}", persist_result=True)
def review(run_id: str, config: str, root: str | None = None, workspace: str | None = None) -> dict[str, Any]:
    """Suspends until someone answers the form here, or the case was settled elsewhere.

    A refused answer is told on a new form while the case waits; a person's answer to a case that is over
    raises what `settle` raises, so that it is seen to have changed nothing.
    """
    shop = open_shop(config, root, workspace)
    reviews = shop.reviews()
    case = reviews.get(run_id)
    shown, refusal = _forms_shown(), ""
    # A resumed run begins anew: with the answer to the newest form, never with an older one.
    number = max(0, shown - 1)
    while number < shown or reviews.state(case) == "waiting":
        refusal = _take(shop, case, _ask(case, number, refusal))
        number += 1
    return {"run_id": run_id, "state": reviews.state(case)}


def ask_for_review(shop: Shop, run_id: str) -> None:
    """Starts the run with Prefect's form, where there is a server. The case waits without it as well."""
    if not has_server():
        return
    try:
        # Where the shop lies, the deployment knows: here it may be told by paths of this process.
        PrefectOrchestrator(shop.settings.shop).start("review", {"run_id": run_id}, name=f"review {run_id}")
    except DebutError as error:
        console.problem(f"The challenger waits, but without Prefect's form: {error}")


def _ask(case: ReviewCase, number: int, refusal: str) -> ReviewAnswer:
    """The answer to a form, once there is one; till then this process ends here."""
    left = case.expires + GRACE - datetime.now(UTC)
    form = ReviewAnswer.with_initial_data(description=f"{refusal}{_description(case)}")
    answer = suspend_flow_run(
        wait_for_input=form, timeout=max(1, round(left.total_seconds())), key=f"review-{case.run_id}-{number}"
    )
    assert answer is not None  # by `wait_for_input`
    return answer


def _forms_shown() -> int:
    """How often this run was suspended."""
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    return len(run.empirical_policy.pause_keys or ()) if run else 0


def _take(shop: Shop, case: ReviewCase, answer: ReviewAnswer) -> str:
    """Settles the case by an answer; what the next form begins with, where it was refused."""
    if answer.reviewer == SETTLED_ELSEWHERE:
        return ""
    actor = f"prefect:{answer.reviewer}{UNIDENTIFIED}"
    reason = answer.reason.strip() or NO_REASON
    try:
        settle(shop, case.run_id, approve=answer.decision == "approve", actor=actor, reason=reason)
    except DebutError as error:
        if shop.reviews().state(case) != "waiting":
            raise
        console.problem(f"The answer by {answer.reviewer} changes nothing: {error}")
        return f"**The answer by {answer.reviewer} changed nothing:** {error}\n\n"
    return ""


def _after(shop: Shop, case: ReviewCase, decision: Decision) -> None:
    """What follows a settled case and may fail without undoing it."""
    acts.follow_up(shop, decision)
    if has_server():
        _end_form(shop, case)


def _end_form(shop: Shop, case: ReviewCase) -> bool:
    """Whether a run was suspended on the case's form; it is resumed, and finds the case over."""
    answer = {"decision": "reject", "reviewer": SETTLED_ELSEWHERE, "reason": SETTLED_ELSEWHERE}
    try:
        return PrefectOrchestrator(shop.settings.shop).resume(f"review {case.run_id}", answer)
    except DebutError as error:
        console.problem(f"The review of run {case.run_id} is over; its waiting form was not told: {error}")
        return False


def _description(case: ReviewCase) -> str:
    return (
        f"Release {case.release[:12]} of {case.shop} passed its gates in run {case.run_id}, asked for by "
        f"{case.requester}{f': {case.because}' if case.because else ''}. It waits until "
        f"{case.expires:%Y-%m-%d %H:%M} UTC."
    )
