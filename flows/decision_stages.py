"""The tasks of the retrain flow that show, register and record what was decided."""

import base64
from pathlib import Path

from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from components.contract.records import Decision, GateReport, ReviewCase
from components.contract.settings import Settings
from components.cost.summary import Cost
from components.gate.report import report_markdown
from components.release import promotion
from components.release.decision_log import DecisionLog
from components.tracking.client import connect
from components.tracking.description import VersionCard
from components.tracking.record import RunRecord, record_run
from components.tracking.registry import register
from components.tracking.review_tag import delete_review_tag
from components.tracking.run import Tracker
from flows.log_mirror import mirror_log
from flows.retries import failed_in_passing
from flows.shop import Shop


@task(name="show the verdict in Prefect")
def publish_artifacts(
    folder: Path, report: GateReport, cost: Cost | None, run_url: str | None, browse: str
) -> None:
    """The gate report as a page and a table, the age curve as a picture, and where MLflow has the rest."""
    where = f"[MLflow run]({run_url})" if run_url else f"MLflow: `{browse}`"
    create_markdown_artifact(f"{report_markdown(report, cost)}\n\n{where}", key="gate-report")
    create_table_artifact([gate.model_dump(mode="json") for gate in report.gates], key="gates")
    picture = base64.b64encode((folder / "recall_by_age.png").read_bytes()).decode()
    create_image_artifact(f"data:image/png;base64,{picture}", key="recall-by-age")
    if run_url:
        create_link_artifact(run_url, link_text="MLflow run", key="mlflow-run")


@task(name="log to MLflow", retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=failed_in_passing)
def log_run(tracker: Tracker, settings: Settings, record: RunRecord) -> None:
    record_run(tracker, settings, record)


@task(
    name="register model version",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=failed_in_passing,
)
def register_version(tracker: Tracker, candidate: Path, card: VersionCard) -> str:
    return register(tracker, candidate, card)


@task(name="promote version 0")
def promote_version_0(log: DecisionLog, candidate: Path, actor: str, run_id: str) -> Decision:
    return promotion.promote_baseline(log, candidate, actor=actor, run_id=run_id)


@task(name="record the decision")
def record_decision(
    log: DecisionLog, candidate: Path, report: GateReport, actor: str, run_id: str
) -> Decision:
    if report.verdict != "PROMOTE":
        return promotion.record_refusal(log, report, actor=actor, run_id=run_id)
    return promotion.promote(
        log, candidate, report, expected_champion=report.champion_digest, actor=actor, run_id=run_id
    )


@task(
    name="wait for review",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=failed_in_passing,
)
def open_review(shop: Shop, run_id: str, report: GateReport, requester: str, because: str) -> ReviewCase:
    """Without MLflow none is opened: a tag that a reviewer set for an earlier one must not answer it."""
    connection = connect(shop.settings, shop.workspace)
    delete_review_tag(connection, shop.settings.shop, report.challenger_digest)
    reviews, days = shop.reviews(), shop.settings.review.days
    return reviews.open(run_id, shop.settings.shop, report, days=days, requester=requester, because=because)


@task(
    name="mirror aliases in MLflow",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=failed_in_passing,
)
def mirror_decisions(tracker: Tracker, shop: Shop) -> dict[str, str | None]:
    return mirror_log(tracker.connection, shop)
