"""The tasks of the retrain flow: each is one or two calls into components, with its retries.

A stage's task gets `folder`, where it leaves its files whole or not at all; what travels between tasks is a
small record. Only what can fail for a passing reason is retried: reading from S3, and MLflow.
"""

import base64
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from prefect import task
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from components.contract.errors import StorageError, TrackingError
from components.contract.files import stage_folder, write_bytes, write_json
from components.contract.knowledge import KnowledgeSettings
from components.contract.operations import MonitoringSettings
from components.contract.records import (
    Candidate,
    CheckedData,
    Decision,
    GateReport,
    LoadedData,
    PreparedData,
    RetrievalPlan,
    ReviewCase,
    TaskData,
    TrainedModel,
)
from components.contract.settings import (
    AugmentSettings,
    EncoderSettings,
    GatePolicy,
    JudgeSettings,
    QualitySettings,
    Settings,
    SplitSettings,
    TrainingSettings,
)
from components.contract.task import Task as ShopTask
from components.cost.summary import Cost
from components.cost.usage import USAGE, Meter
from components.data.sources import load
from components.encoder.base import resolve_base
from components.encoder.transformer import TransformerEncoder
from components.encoder.variants import save_average, save_damaged
from components.evaluation.plots import plot_gate_intervals, plot_recall_by_age
from components.evaluation.pooled import System
from components.evaluation.risk_plot import plot_risk_coverage
from components.evaluation.scorecard import Scorecard
from components.gate.report import report_html, report_json, report_markdown
from components.gate.verdict import decide
from components.index.vectors import KnownVectors, encode_catalogue, read_vectors
from components.monitoring.alarms import calibrate
from components.monitoring.reference import Undiscoverable, build_reference
from components.quality.checks import enforce, inspect
from components.quality.coverage import lost_items
from components.quality.report import add_coverage
from components.ranking.observations import observed
from components.release import promotion
from components.release.candidate import build
from components.release.decision_log import DecisionLog
from components.release.discoverability import check_release
from components.release.fingerprint import Fingerprint
from components.release.heads import fit_release_heads
from components.release.history_encoders import fit_for_release, fit_on_validation
from components.release.judging import JudgedTasks, judge_bm25, judge_candidate, write_pool
from components.release.plan import choose_plan, export_graphs, weigh_implied
from components.release.ranker import choose_rankers
from components.split.labels import Labels
from components.split.leakage import check_leakage
from components.split.purchases import read_purchases
from components.split.split import cutoff_of, split
from components.split.statistics import read_reviews, read_traffic
from components.tasks.rows import write_rows
from components.tracking.client import connect
from components.tracking.description import VersionCard
from components.tracking.record import RunRecord, record_run
from components.tracking.registry import register
from components.tracking.review_tag import delete_review_tag
from components.tracking.run import Tracker
from components.training.examples import DESCRIPTION, PreparedExamples
from components.training.launch import train
from components.training.pairs import TrainingPart
from components.training.prepare import prepare_examples
from components.training.query_side import tune_query_side
from components.training.spec import TrainingSpec
from components.training.writer import train_writer
from components.training.written import write_for_few_clicks
from flows import console
from flows.log_mirror import mirror_log
from flows.shop import REFERENCE, Shop


def _failed_in_passing(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, StorageError | TrackingError)


@task(name="load data", retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=_failed_in_passing)
def load_data(folder: Path, settings: Settings, root: Path, workspace: Path) -> LoadedData:
    with stage_folder(folder) as out:
        return load(settings, root, workspace, out).model_copy(update={"path": folder.name})


@task(name="check data quality")
def check_quality(folder: Path, loaded: Path, settings: QualitySettings) -> CheckedData:
    with stage_folder(folder) as out:
        return inspect(loaded, settings, out).model_copy(update={"path": folder.name})


@task(name="split and check for leakage")
def split_data(folder: Path, checked: Path, settings: SplitSettings, primary: str) -> PreparedData:
    with stage_folder(folder) as out:
        prepared = split(checked, settings, out, primary)
        check_leakage(out, checked)
    return prepared.model_copy(update={"path": folder.name})


@task(name="prepare the tasks' rows")
def prepare_task_rows(
    folder: Path, tasks: tuple[ShopTask, ...], checked: Path, split_folder: Path, relevant_grade: float
) -> TaskData:
    with stage_folder(folder) as out:
        written = write_rows(tasks, checked, split_folder, out, relevant_grade)
    return written.model_copy(update={"path": folder.name})


@task(name="enforce the tolerance")
def enforce_tolerance(shop: Shop, checked: Path) -> None:
    shop.remember_check(checked)  # first, so that `debut quarantine` finds the rows that stop the run
    enforce(checked, shop.settings.quality)


@task(name="count what quarantine cost")
def count_lost_items(loaded: Path, checked: Path, prepared: PreparedData) -> dict[str, int]:
    lost = lost_items(loaded, checked, prepared.cutoff)
    add_coverage(checked, lost)
    return lost


@task(name="encode the catalogue", task_run_name="encode the catalogue: {model}")
def encode_items(
    folder: Path,
    encoder: Path,
    split_folder: Path,
    model: str,  # noqa: ARG001 – shown in the run's name
    index: Path | None = None,
) -> str:
    """index: one that the same encoder made; its vectors hold for the items that have the same text still."""
    items = pl.read_parquet(split_folder / "items.parquet")
    loaded = TransformerEncoder.load_saved(encoder)
    with stage_folder(folder) as out:
        settings = loaded.settings
        known = KnownVectors(index, settings.item_fields, loaded.encode_catalogue) if index else None
        encode_catalogue(
            items,
            known.encode if known else loaded.encode_catalogue,
            settings.item_fields,
            out,
            settings.language,
            read_purchases(split_folder, "statistics"),
            observed(items, read_traffic(split_folder), read_reviews(split_folder), cutoff_of(split_folder)),
        )
    if known is not None:
        console.fact("item vectors", f"{known.taken:,} as they were, {known.encoded:,} texts encoded")
    return folder.name


@task(name="judge", task_run_name="judge: {name}")
def judge_release(
    folder: Path,
    candidate: Path,
    vectors: Path,
    split_folder: Path,
    prepared: PreparedData,
    settings: JudgeSettings,
    name: str,  # noqa: ARG001 – shown in the run's name
    tasks: JudgedTasks | None = None,
    labels: Labels | None = None,
) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
        judge_candidate(
            candidate,
            vectors,
            split_folder,
            prepared,
            settings,
            name=candidate.name[:12],
            out=out,
            tasks=tasks,
            labels=labels,
        )
    return folder.name


@task(name="look for undiscoverable items", task_run_name="look for undiscoverable items: {name}")
def look_for_undiscoverable(
    folder: Path,
    candidate: Path,
    vectors: Path,
    split_folder: Path,
    k: int,
    name: str,  # noqa: ARG001 – shown in the run's name
) -> int:
    with stage_folder(folder) as out:
        return check_release(candidate, vectors, split_folder, k, out).count


@task(name="judge: BM25")
def judge_lexical(
    folder: Path,
    split_folder: Path,
    prepared: PreparedData,
    settings: JudgeSettings,
    fields: tuple[str, ...],
    tasks: JudgedTasks | None = None,
    labels: Labels | None = None,
) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
        judge_bm25(split_folder, prepared, settings, fields, out, tasks, labels)
    return folder.name


@task(name="prepare version 0")
def save_base_encoder(folder: Path, settings: EncoderSettings) -> str:
    """The untrained encoder under these settings; returns its digest."""
    with stage_folder(folder) as out:
        return TransformerEncoder.load(resolve_base(settings), settings).save(out)


@task(name="prepare training examples", task_run_name="prepare training examples: {part}")
def prepare_training_examples(
    folder: Path,
    split_folder: Path,
    settings: Settings,
    base: Path | None,
    miner: Path,
    vectors: Path,
    part: TrainingPart,
    learned_until: datetime | None,
    task_rows: Path | None = None,
    written: Path | None = None,
) -> PreparedExamples:
    """base: the saved encoder that a warm start fine-tunes; None: encoder.name. written: folder of written
    queries."""
    start = (
        TransformerEncoder.load_saved(base)
        if base
        else TransformerEncoder.load(resolve_base(settings.encoder), settings.encoder)
    )
    with stage_folder(folder) as out:
        prepared = prepare_examples(
            split_folder,
            out,
            part=part,
            base=start,
            training=settings.training,
            augment=settings.augment,
            champion=TransformerEncoder.load_saved(miner),
            item_vectors=read_vectors(vectors)[1],
            tasks=settings.tasks,
            task_rows=task_rows,
            learned_until=learned_until,
            knowledge=settings.knowledge,
            written=written,
        )
    return prepared.model_copy(update={"path": folder.name})


@task(name="train the query writer")
def train_query_writer(folder: Path, split_folder: Path, settings: Settings, part: TrainingPart) -> str:
    base, encoder = resolve_base(settings.encoder), settings.encoder
    with stage_folder(folder) as out, Meter(out / USAGE):
        train_writer(split_folder, part, base, encoder, settings.augment.writer).save(out)
    return folder.name


@task(name="write queries")
def write_queries(
    folder: Path,
    writer: Path | None,
    split_folder: Path,
    encoder: Path,
    vectors: Path,
    settings: AugmentSettings,
    part: TrainingPart,
) -> dict[str, int]:
    with stage_folder(folder) as out, Meter(out / USAGE):
        return write_for_few_clicks(split_folder, part, settings, writer, encoder, vectors, out)


@task(name="fine-tune", task_run_name="fine-tune on {part} rows")
def fine_tune(folder: Path, spec: TrainingSpec, part: TrainingPart) -> TrainedModel:  # noqa: ARG001 – names the run
    # Beside the stage's folder: an attempt that was killed is continued from what it left there.
    attempts = folder.with_name(f"{folder.name}.attempts")
    with console.training_progress() as show, stage_folder(folder) as out:
        # What was trained on – pairs per kind, mined negatives per filter – stays with the model.
        shutil.copyfile(Path(spec.examples) / DESCRIPTION, out / DESCRIPTION)
        return train(spec, attempts, out, on_progress=show).model_copy(update={"path": folder.name})


@task(name="tune the query side", task_run_name="tune the query side on {part} rows")
def tune_queries(
    folder: Path,
    split_folder: Path,
    encoder: Path,
    vectors: Path,
    settings: TrainingSettings,
    part: TrainingPart,
    learned_until: datetime | None,
    epochs: int | None,
) -> TrainedModel:
    with stage_folder(folder) as out, Meter(out / USAGE):
        trained = tune_query_side(
            split_folder,
            encoder,
            read_vectors(vectors)[1],
            out,
            part=part,
            settings=settings,
            learned_until=learned_until,
            epochs=epochs,
        )
    return trained.model_copy(update={"path": folder.name})


@task(name="export the encoder", task_run_name="export the encoder: {model}")
def export_encoder(
    folder: Path,
    encoder: Path,
    start: tuple[Path, Path] | None,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> str:
    with stage_folder(folder) as out:
        export_graphs(encoder, out, start)
    return folder.name


@task(name="choose how to retrieve", task_run_name="choose how to retrieve: {model}")
def choose_retrieval(
    folder: Path,
    encoder: Path,
    graphs: Path | None,
    vectors: Path,
    split_folder: Path,
    settings: Settings,
    histories: Path | None,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> RetrievalPlan:
    plan = choose_plan(encoder, graphs, vectors, split_folder, settings, histories)
    with stage_folder(folder) as out:
        write_json(out / "retrieval.json", plan.model_dump(mode="json"))
    return plan


@task(name="fit the second stage", task_run_name="fit the second stage: {model}")
def fit_second_stage(
    folder: Path,
    plan: RetrievalPlan,
    encoder: Path,
    graph: Path | None,
    vectors: Path,
    split_folder: Path,
    heads: Path | None,
    settings: Settings,
    histories: Path | None,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> RetrievalPlan:
    """The plan with the entrances that have a ranker; the folder holds them and what validation said."""
    with stage_folder(folder) as out:
        return choose_rankers(plan, encoder, graph, vectors, split_folder, heads, settings, out, histories)


@task(name="try encoders of histories", task_run_name="try encoders of histories: {model}")
def try_history_encoders(
    folder: Path,
    vectors: Path,
    split_folder: Path,
    settings: Settings,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> str:
    with stage_folder(folder) as out:
        fit_on_validation(vectors, split_folder, settings, out)
    return folder.name


@task(name="fit the encoder of histories", task_run_name="fit the encoder of histories: {model}")
def fit_history_encoder(
    folder: Path,
    plan: RetrievalPlan,
    vectors: Path,
    split_folder: Path,
    seed: int,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> str:
    assert plan.history_scoring == "gru" or plan.history_scoring == "attention"
    with stage_folder(folder) as out:
        fit_for_release(plan.history_scoring, plan.history_encoder_epochs, vectors, split_folder, seed, out)
    return folder.name


@task(name="fit heads", task_run_name="fit heads: {model}")
def fit_heads(
    folder: Path,
    tasks: tuple[ShopTask, ...],
    rows: Path,
    encoder: Path,
    graph: Path | None,
    plan: RetrievalPlan,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> str:
    with stage_folder(folder) as out:
        fit_release_heads(tasks, rows, encoder, graph, plan, out)
    return folder.name


@task(name="weigh what queries imply", task_run_name="weigh what queries imply: {model}")
def weigh_what_queries_imply(
    folder: Path,
    plan: RetrievalPlan,
    encoder: Path,
    graph: Path | None,
    vectors: Path,
    split_folder: Path,
    heads: Path | None,
    settings: Settings,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> RetrievalPlan:
    weighed = weigh_implied(plan, encoder, graph, vectors, split_folder, heads, settings)
    with stage_folder(folder) as out:
        write_json(out / "retrieval.json", weighed.model_dump(mode="json"))
    return weighed


@task(name="build candidate")
def build_candidate(
    candidates: Path,
    encoder: Path,
    graph: Path | None,
    vectors: Path,
    plan: RetrievalPlan,
    fingerprint: Fingerprint,
    heads: Path | None = None,
    knowledge: KnowledgeSettings | None = None,
    rankers: Path | None = None,
    histories: Path | None = None,
) -> Candidate:
    return build(
        candidates,
        encoder=encoder,
        graph=graph,
        index=vectors,
        plan=plan,
        fingerprint=fingerprint,
        heads=heads,
        knowledge=knowledge,
        rankers=rankers,
        histories=histories,
    )


@task(name="decide")
def decide_verdict(
    scorecards: dict[str, Scorecard],
    policy: GatePolicy,
    first_run: bool,
    overlap: str | None,
    tasks: tuple[ShopTask, ...] = (),
) -> GateReport:
    floor = scorecards["bm25"] if first_run else None
    return decide(
        scorecards["challenger"],
        scorecards["champion"],
        policy,
        floor=floor,
        overlap=overlap,
        tasks=tasks,
        baseline=scorecards["bm25"],
    )


@task(name="write report")
def write_report(
    folder: Path,
    report: GateReport,
    scorecards: dict[str, Scorecard],
    cost: Cost | None,
    tasks: tuple[ShopTask, ...] = (),
) -> None:
    """gate_report.json is the gate's alone, byte for byte the same again; what it cost stands beside it."""
    write_bytes(folder / "gate_report.json", report_json(report))
    write_bytes(folder / "gate_report.md", report_markdown(report, cost).encode())
    write_bytes(folder / "gate_report.html", report_html(report, cost=cost).encode())
    if cost is not None:
        write_json(folder / "cost.json", cost.model_dump(mode="json"))
    for name, scorecard in scorecards.items():
        scorecard.write(folder / "scorecards" / name)
    plot_recall_by_age(scorecards["challenger"], scorecards["champion"], folder)
    plot_gate_intervals(report, folder)
    for one in tasks:
        answered = {name: card.tasks[one.name] for name, card in scorecards.items() if one.name in card.tasks}
        if one.head == "nearest":
            plot_risk_coverage(one, answered, folder)


@task(name="pool what could be labelled")
def pool_new_items(
    folder: Path,
    systems: dict[System, tuple[Path, Path]],
    split_folder: Path,
    settings: JudgeSettings,
    fields: tuple[str, ...],
    labels: Labels | None,
) -> None:
    write_pool(systems, split_folder, settings, fields, folder, labels)


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


@task(name="log to MLflow", retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=_failed_in_passing)
def log_run(tracker: Tracker, settings: Settings, record: RunRecord) -> None:
    record_run(tracker, settings, record)


@task(
    name="register model version",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=_failed_in_passing,
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
    retry_condition_fn=_failed_in_passing,
)
def open_review(shop: Shop, run_id: str, report: GateReport, requester: str, because: str) -> ReviewCase:
    """Without MLflow none is opened: a tag that a reviewer set for an earlier one must not answer it."""
    connection = connect(shop.settings, shop.workspace)
    delete_review_tag(connection, shop.settings.shop, report.challenger_digest)
    reviews, days = shop.reviews(), shop.settings.review.days
    return reviews.open(run_id, shop.settings.shop, report, days=days, requester=requester, because=because)


@task(name="calibrate the monitor")
def calibrate_monitor(
    folder: Path,
    candidate: Path,
    vectors: Path,
    data: tuple[Path, Path],
    hidden: Undiscoverable,
    settings: MonitoringSettings,
) -> None:
    """What live windows are held against; data: the split's and the checked tables' folders."""
    with stage_folder(folder) as out:
        reference = build_reference(
            candidate, vectors, *data, settings, out / REFERENCE, undiscoverable=hidden
        )
        calibrate(reference, settings).write(out)


@task(
    name="mirror aliases in MLflow",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=_failed_in_passing,
)
def mirror_decisions(tracker: Tracker, shop: Shop) -> dict[str, str | None]:
    return mirror_log(tracker.connection, shop)


@task(name="damage a copy of the encoder")
def damage_encoder(folder: Path, encoder: Path, noise: float, seed: int) -> str:
    with stage_folder(folder) as out:
        return save_damaged(encoder, noise, seed, out)


@task(name="average two encoders")
def average_encoders(folder: Path, first: Path, second: Path, share: float) -> str:
    with stage_folder(folder) as out:
        return save_average(first, second, share, out)
