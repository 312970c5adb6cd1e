"""Reviews: the run that waits for Prefect's form, the regular look at MLflow's tags and at expired cases, and
the one function in which every way of answering ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow
from prefect.flow_runs import suspend_flow_run

from components.contract.errors import DebutError, PromotionError
from components.contract.records import Decision, ReviewCase
from components.release.review import UNIDENTIFIED, Reviews
from components.tracking.client import connect
from components.tracking.review_tag import read_review_tag
from flows import acts, console, notifications
from flows.forms import ReviewAnswer
from flows.orchestrator import PrefectOrchestrator, has_server
from flows.shop import Shop, open_shop
from flows.signing import verify_release

MLFLOW = f"mlflow{UNIDENTIFIED}"
"""MLflow tells neither its webhooks nor its tags' readers who set a tag."""


def shop_reviews(shop: Shop) -> Reviews:
    return Reviews(shop.review_store(), shop.decision_log())


def settle(shop: Shop, run_id: str, *, approve: bool, actor: str, reason: str = "") -> Decision:
    """Approves or rejects the challenger of a run. Chat, Prefect's form, MLflow's tag and the command line
    all end here. Raises PromotionError or FencedError with what stops it; then nothing was changed."""
    reviews = shop_reviews(shop)
    case = reviews.get(run_id)
    report = acts.report_of_run(shop, run_id)
    if approve:
        candidate = shop.candidates / case.release
        verify_release(shop.settings.signing, candidate)
        four_eyes = shop.settings.review.four_eyes
        decision = reviews.approve(case, candidate, report, actor=actor, four_eyes=four_eyes)
    else:
        decision = reviews.reject(case, report, actor=actor, reason=reason)
    _after(shop, case, decision)
    return decision


def read_mlflow_tag(shop: Shop) -> Decision | None:
    """Acts on the tag `review` of the version that waits, if a reviewer set it; None where there is nothing
    to do. With review.four_eyes the tag is a comment: what it would have done is said, not done."""
    case = shop_reviews(shop).waiting()
    tag = None
    if case is not None:
        tag = read_review_tag(connect(shop.settings, shop.workspace), shop.settings.shop, case.release)
    if case is None or tag is None:
        return None
    try:
        return settle(shop, case.run_id, approve=tag.approved, actor=MLFLOW, reason=tag.reason)
    except PromotionError as error:
        console.problem(f"MLflow's tag review on {case.release[:12]} changes nothing: {error}")
        return None


@flow(name="reviews", flow_run_name="reviews {config}")
def look_after_reviews(config: str, root: str | None = None, workspace: str | None = None) -> dict[str, Any]:
    """Rejects reviews whose time is up and reads MLflow's tags, where no webhook brought them."""
    shop = open_shop(config, root, workspace)
    expired = shop_reviews(shop).expire()
    for decision in expired:
        _after(shop, shop_reviews(shop).get(str(decision.run_id)), decision)
    settled = read_mlflow_tag(shop)
    return {"expired": [d.run_id for d in expired], "settled": settled.run_id if settled else None}


@flow(name="review", flow_run_name="review {run_id}", persist_result=True)
def review(run_id: str, config: str, root: str | None = None, workspace: str | None = None) -> dict[str, Any]:
    """Suspends until someone answers the form here, or the case was settled elsewhere."""
    shop = open_shop(config, root, workspace)
    reviews = shop_reviews(shop)
    case = reviews.get(run_id)
    if reviews.state(case) == "waiting":
        # A day more than the case has: its expiry is recorded first, and ends this run in good order.
        left = round((case.expires - datetime.now(UTC) + timedelta(days=1)).total_seconds())
        form = ReviewAnswer.with_initial_data(description=_description(case))
        answer = suspend_flow_run(wait_for_input=form, timeout=left, key=f"review-{run_id}")
        if reviews.state(case) == "waiting":  # else it was settled elsewhere, which resumed this run
            actor = f"prefect:{answer.reviewer}{UNIDENTIFIED}"
            settle(shop, run_id, approve=answer.decision == "approve", actor=actor, reason=answer.reason)
    return {"run_id": run_id, "state": reviews.state(case)}


def ask_for_review(shop: Shop, config: str, root: str | None, workspace: str | None, run_id: str) -> None:
    """Starts the run with Prefect's form, where there is a server. The case waits without it as well."""
    if not has_server():
        return
    try:
        PrefectOrchestrator(shop.settings.shop).start(
            "review",
            {"run_id": run_id, "config": config, "root": root, "workspace": workspace},
            name=f"review {run_id}",
        )
    except DebutError as error:
        console.problem(f"The challenger waits, but without Prefect's form: {error}")


def _after(shop: Shop, case: ReviewCase, decision: Decision) -> None:
    """What follows a settled case and may fail without undoing it."""
    acts.mirror(shop)
    notifications.decided(shop, decision)
    if has_server():
        answer = {"decision": "approve", "reviewer": "settled elsewhere", "reason": "settled elsewhere"}
        try:
            PrefectOrchestrator(shop.settings.shop).resume(f"review {case.run_id}", answer)
        except DebutError as error:
            console.problem(f"The decision stands; the waiting Prefect run was not told: {error}")


def _description(case: ReviewCase) -> str:
    return (
        f"Release {case.release[:12]} of {case.shop} passed its gates in run {case.run_id}, asked for by "
        f"{case.requester}{f': {case.because}' if case.because else ''}. It waits until "
        f"{case.expires:%Y-%m-%d %H:%M} UTC."
    )
