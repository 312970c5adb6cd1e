"""The second half of the retrain flow: judging, the gate, registration and the decision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.markup import escape

from components.contract.acting import actor
from components.contract.errors import DebutError, MonitoringError
from components.contract.files import write_bytes
from components.contract.operations import MonitoringSettings
from components.contract.records import Candidate, Decision, GateReport, TrainedModel
from components.contract.task import Task
from components.evaluation.pooled import System
from components.evaluation.scorecard import Scorecard
from components.evaluation.task_measures import measured
from components.gate.subject import Subject
from components.index.retrieval import HEADS, read_plan
from components.monitoring.alarms import Alarms
from components.monitoring.launches import undiscoverable_launches
from components.monitoring.opinions import opinion_head
from components.monitoring.reference import load_reference
from components.release import candidate as candidates
from components.release.discoverability import CSV, SUMMARY
from components.release.fingerprint import overlap
from components.release.judging import JudgedTasks
from components.split.judged import JUDGE, read_judged
from components.split.labels import Labels, own_judgements
from components.tasks.heads import open_heads
from components.tracking.client import without_secrets
from components.tracking.description import VersionCard
from components.tracking.judged_sections import Summary
from components.tracking.record import RunRecord
from components.tracking.run import Tracker
from components.training.examples import DESCRIPTION
from flows import building, console, decision_stages, judge_stages
from flows.costs import cost_of_run
from flows.run import Data, Run
from flows.shop import REFERENCE
from flows.signing import check_signature, verify_release


def serving_release(run: Run, data: Data, tracker: Tracker) -> Candidate:
    """The champion, its files verified; on the first run version 0, the untrained encoder, is made it.

    Raises PromotionError where version 0 is not signed as the shop's releases have to be: before anything is
    trained."""
    shop = run.shop
    log = shop.decision_log()
    if run.champion is not None:
        return candidates.read(shop.candidates, run.champion)
    baseline = building.build(run, data, building.version_0(run), baseline=True)
    check_signature(shop.settings.signing, shop.candidates / baseline.digest)
    scorecard = judged(run, data, baseline, "champion")
    decision_stages.register_version(
        tracker, shop.candidates / baseline.digest, card_of(run, data, tracker, baseline, scorecard)
    )
    decision_stages.promote_version_0(log, shop.candidates / baseline.digest, actor(), run.run_id)
    return baseline


def judged_tasks(run: Run, data: Data) -> JudgedTasks | None:
    return None if data.task_rows is None else JudgedTasks(run.shop.settings.tasks, data.task_rows)


def judged(run: Run, data: Data, release: Candidate, name: str) -> Scorecard:
    """The scorecard of a release on this split's test part."""
    settings = run.shop.settings.judge
    _, out = run.cached(
        judge_stages.judge_release,
        "judged",
        [
            *(data.prepared.digest, release.digest, settings, run.shop.settings.tasks, data.task_digest),
            _label_inputs(run),
        ],
        candidate=run.shop.candidates / release.digest,
        vectors=building.encoded_by(run, data, release, name),
        split_folder=data.split,
        prepared=data.prepared,
        settings=settings,
        name=name,
        tasks=judged_tasks(run, data),
        labels=labels_of(run),
    )
    return Scorecard.read(out)


def undiscoverable(run: Run, data: Data, release: Candidate, name: str) -> tuple[int, Path]:
    """How many of this split's new items a release cannot find by their own likely queries, and the folder
    with the list."""
    k = run.shop.settings.judge.k
    count, folder = run.cached(
        judge_stages.look_for_undiscoverable,
        "undiscoverable",
        [data.prepared.digest, release.digest, k, run.shop.settings.tasks, data.task_digest],
        candidate=run.shop.candidates / release.digest,
        vectors=building.encoded_by(run, data, release, name),
        split_folder=data.split,
        k=k,
        name=name,
    )
    return int(count), folder


def list_undiscoverable(run: Run, data: Data, challenger: Candidate, champion: Candidate) -> dict[str, int]:
    """Counts for both, comparable because items and queries are the same; the lists go into the run's folder,
    the champion's under a name of its own."""
    counts = {}
    for role, candidate in (("challenger", challenger), ("champion", champion)):
        counts[role], folder = undiscoverable(run, data, candidate, role)
        for name in (CSV, SUMMARY):
            listed = run.folder / (f"champion_{name}" if role == "champion" else name)
            write_bytes(listed, (folder / name).read_bytes())
    return counts


def calibrate_monitor(run: Run, data: Data, release: Candidate, name: str) -> None:
    """Makes, once per release and monitoring settings, what the monitor holds live windows against.

    For a challenger of any verdict, too: when a person promotes it the stages that this reads may be gone.
    Says so where it cannot and raises nothing of Debut's own: a shop too small to watch can be retrained.
    """
    folder = run.shop.references / release.digest
    try:
        if is_calibrated(folder, run.shop.settings.monitoring):
            return
        _, listed = undiscoverable(run, data, release, name)
        judge_stages.calibrate_monitor(
            folder,
            run.shop.candidates / release.digest,
            building.encoded_by(run, data, release, name),
            (data.split, data.checked_folder),
            undiscoverable_launches(listed / SUMMARY, data.split),
            run.shop.settings.monitoring,
        )
    except DebutError as error:
        console.fact("monitor", f"will not watch {release.digest[:12]}: {escape(str(error))}")


def is_calibrated(folder: Path, settings: MonitoringSettings) -> bool:
    """Whether a release's reference and alarms can be read and are of these settings."""
    try:
        load_reference(folder / REFERENCE)
        return not Alarms.read(folder).changed(settings)
    except MonitoringError:
        return False


def judge_all(run: Run, data: Data, challenger: Candidate, champion: Candidate) -> dict[str, Scorecard]:
    """Challenger, champion and BM25 on the same requests."""
    fields = run.shop.settings.encoder.item_fields
    _, lexical = run.cached(
        judge_stages.judge_lexical,
        "bm25",
        [
            *(data.prepared.digest, run.shop.settings.judge, fields, run.shop.settings.tasks),
            *(data.task_digest, _label_inputs(run)),
        ],
        split_folder=data.split,
        prepared=data.prepared,
        settings=run.shop.settings.judge,
        fields=fields,
        tasks=judged_tasks(run, data),
        labels=labels_of(run),
    )
    return {
        "challenger": judged(run, data, challenger, "challenger"),
        "champion": judged(run, data, champion, "champion"),
        "bm25": Scorecard.read(lexical),
    }


def decide_gate(run: Run, data: Data, scorecards: dict[str, Scorecard], champion: Candidate) -> GateReport:
    """The gate report, also as files in the run's folder and as Prefect artifacts."""
    settings, own = run.shop.settings, own_judgements(data.split, labels_of(run))
    report = judge_stages.decide_verdict(
        scorecards, settings.gate, champion.baseline, _overlap(run, data, champion), settings.tasks, own
    )
    about, cost = Subject(settings.shop, run.run_id, data.prepared), cost_of_run(run, report)
    judge_stages.write_report(run.folder, report, scorecards, cost, settings.tasks, about)
    return report


def pool_unjudged(
    run: Run, data: Data, challenger: Candidate, champion: Candidate, report: GateReport
) -> None:
    """Unless the challenger passed, what `debut label next` chooses from goes into the run's folder. Whether
    an item suits a user is no question to a third person, so only searches are asked about."""
    if report.verdict == "PROMOTE" or data.prepared.entrances[0] != "search":
        return
    releases: dict[System, Candidate] = {"challenger": challenger, "champion": champion}
    systems = {
        name: (run.shop.candidates / release.digest, building.encoded_by(run, data, release, name))
        for name, release in releases.items()
    }
    settings = run.shop.settings
    judge_stages.pool_new_items(
        run.folder, systems, data.split, settings.judge, settings.encoder.item_fields, labels_of(run)
    )


def labels_of(run: Run) -> Labels | None:
    """People's own judgements, where there are any."""
    shop = run.shop
    return Labels(shop.labels, shop.settings.split.relevant_grade) if run.fingerprint["labels"] else None


def _label_inputs(run: Run) -> Any:
    """For a stage's key: with the labels the grade from which they make an item relevant. The split's digest
    need not tell of it: a split of events is the same for every grade."""
    labels = labels_of(run)
    return labels and [run.fingerprint["labels"], labels.relevant_grade]


def register_challenger(
    run: Run,
    data: Data,
    tracker: Tracker,
    challenger: Candidate,
    trained: tuple[TrainedModel, Path],
    scorecards: dict[str, Scorecard],
    report: GateReport,
    undiscoverable_items: dict[str, int],
) -> None:
    """Everything about the run into MLflow, and the challenger as a version of the shop's model."""
    model, folder = trained
    record = RunRecord(
        loaded=data.loaded,
        checked=data.checked,
        prepared=data.prepared,
        trained=model,
        metrics_file=folder / "metrics.jsonl",
        scorecards=scorecards,
        report=report,
        because=run.because,
        cost=cost_of_run(run, report),
        undiscoverable=undiscoverable_items,
        files={
            "gate": sorted(run.folder.iterdir()),
            "quality": sorted(data.checked_folder.glob("qua*")),
            "training": [folder / DESCRIPTION],
        },
    )
    decision_stages.log_run(tracker, run.shop.settings, record)
    card = card_of(run, data, tracker, challenger, scorecards["challenger"], report, scorecards["bm25"])
    decision_stages.register_version(tracker, run.shop.candidates / challenger.digest, card)


def act_on_verdict(run: Run, challenger: Candidate, report: GateReport) -> Decision | None:
    """PROMOTE appends a promotion, fenced by the champion that was judged against, or – `promotion: review` –
    opens a review and decides nothing yet; another verdict appends the refusal."""
    settings, candidate = run.shop.settings, run.shop.candidates / challenger.digest
    if report.verdict == "PROMOTE" and settings.promotion == "review":
        verify_release(settings.signing, candidate)
        decision_stages.open_review(run.shop, run.run_id, report, run.requested_by, run.because)
        return None
    if report.verdict == "PROMOTE":
        check_signature(settings.signing, candidate)  # a promotion verifies the files itself
    return decision_stages.record_decision(run.shop.decision_log(), candidate, report, actor(), run.run_id)


def card_of(
    run: Run,
    data: Data,
    tracker: Tracker,
    candidate: Candidate,
    scorecard: Scorecard,
    report: GateReport | None = None,
    baseline: Scorecard | None = None,
) -> VersionCard:
    """baseline: of BM25 for search, and of TF-IDF with a linear model for tasks."""
    settings, folder = run.shop.settings, run.shop.candidates / candidate.digest
    return VersionCard(
        shop=settings.shop,
        candidate=candidate,
        prepared=data.prepared,
        summary=scorecard.summary(),
        report=report,
        cost=cost_of_run(run, report) if report else None,
        encoder=settings.encoder.without_place().name,
        quarantined=data.checked.quarantined,
        tracking=without_secrets(tracker.connection.uri),
        plan=read_plan(folder),
        tasks=settings.tasks,
        task_figures=_task_figures(settings.tasks, scorecard),
        baseline_figures=_task_figures(settings.tasks, baseline) if baseline else {},
        opinions=settings.opinions if opinion_head(open_heads(folder / HEADS)) else None,
    )


def _task_figures(tasks: Sequence[Task], card: Scorecard) -> dict[str, Summary]:
    return {task.name: measured(task, card.tasks[task.name]) for task in tasks if task.name in card.tasks}


def _overlap(run: Run, data: Data, champion: Candidate) -> str | None:
    trained = candidates.load_fingerprint(run.shop.candidates / champion.digest)
    judged_sets = read_judged(data.split, "test", reader=JUDGE).values()
    items = pl.read_parquet(data.split / "items.parquet")
    return overlap(
        trained,
        cutoff=data.prepared.cutoff,
        requests=[request.request_id for one in judged_sets for request in one.requests],
        new_items=items.filter("is_new").get_column("item_id"),
    )
