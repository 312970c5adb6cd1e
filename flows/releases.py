"""The second half of the retrain flow: candidates, judging, the gate, registration and the decision."""

from pathlib import Path
from typing import get_args

import polars as pl
from rich.markup import escape

from components.contract.digests import hashed, sha256_file
from components.contract.errors import DebutError, MonitoringError
from components.contract.files import write_bytes
from components.contract.operations import MonitoringSettings
from components.contract.records import Candidate, Decision, GateReport, RetrievalPlan, TrainedModel
from components.contract.settings import OPERATING, HistoryEncoderKind
from components.encoder.base import items_digest
from components.evaluation.pooled import System
from components.evaluation.scorecard import Scorecard
from components.index.retrieval import read_plan
from components.monitoring.alarms import Alarms
from components.monitoring.launches import undiscoverable_launches
from components.monitoring.reference import load_reference
from components.release import candidate as candidates
from components.release.discoverability import CSV, SUMMARY
from components.release.fingerprint import Fingerprint, overlap
from components.release.judging import JudgedTasks
from components.release.plan import graph_of
from components.split.judged import JUDGE, read_judged
from components.split.labels import Labels
from components.split.trained_on import trained_on
from components.tasks.rows import trained_items, trained_queries
from components.tracking.client import without_secrets
from components.tracking.description import VersionCard
from components.tracking.record import RunRecord
from components.tracking.run import Tracker
from components.training.examples import DESCRIPTION
from flows import console, stages
from flows.console_ranking import second_stage
from flows.costs import cost_of_run
from flows.run import Data, Run
from flows.shop import REFERENCE, actor
from flows.signing import check_signature, sign_release, verify_release

Retrieval = tuple[RetrievalPlan, Path | None]
"""A plan, and the folder of the rankers that it names."""

# Where the run is tracked and served is no property of the release, and may hold a secret.
NOT_IN_A_RELEASE = {"tracking", "workspace", "decisions"} | OPERATING


def serving_release(run: Run, data: Data, tracker: Tracker) -> Candidate:
    """The champion, its files verified; on the first run version 0, the untrained encoder, is made it."""
    shop = run.shop
    log = shop.decision_log()
    digest = log.champion()
    if digest is not None:
        return candidates.read(shop.candidates, digest)
    encoder_digest, encoder = version_0(run)
    baseline = build(run, data, encoder, encoder_digest, baseline=True)
    scorecard = judged(run, data, baseline, "champion")
    stages.register_version(
        tracker, shop.candidates / baseline.digest, card_of(run, data, tracker, baseline, scorecard)
    )
    stages.promote_version_0(log, shop.candidates / baseline.digest, actor(), run.run_id)
    return baseline


def version_0(run: Run) -> tuple[str, Path]:
    """The untrained encoder: its digest and folder."""
    settings = run.shop.settings.encoder
    inputs = [run.fingerprint["base_weights"], settings]
    digest, folder = run.cached(stages.save_base_encoder, "base", inputs, settings=settings)
    return digest, folder


def build(
    run: Run,
    data: Data,
    encoder: Path,
    encoder_digest: str,
    *,
    retrieval: Retrieval | None = None,
    champion: Candidate | None = None,
    baseline: bool = False,
) -> Candidate:
    """Encodes the catalogue and puts encoder, index and retrieval plan into one immutable folder.

    retrieval: chosen on validation unless it is given. champion: whose encoder a warm start began with.
    """
    model = "version 0" if baseline else "challenger"
    vectors = encoded(run, data, encoder, model)
    plan, rankers = retrieval or chosen_plan(run, data, encoder, encoder_digest, model)
    requests, items = ([], []) if baseline else trained_on(data.split)
    if data.task_rows is not None:  # version 0's heads learn, too
        items = [*items, *trained_items(data.task_rows)]
        requests = [*requests, *trained_queries(data.task_rows, run.shop.settings.tasks)]
    fingerprint = Fingerprint(
        data_digest=data.prepared.digest,
        encoder_digest=encoder_digest,
        base_digest=run.fingerprint["base_weights"],
        lock_digest=run.fingerprint["versions"],
        code_digest=run.fingerprint["code"],
        cutoff=data.prepared.cutoff,
        settings=run.shop.settings.model_dump(mode="json", exclude=NOT_IN_A_RELEASE),
        requests=hashed(requests),
        items=hashed(items),
        baseline=baseline,
    )
    if champion is not None and run.shop.settings.training.start == "champion":
        fingerprint = fingerprint.after(candidates.load_fingerprint(run.shop.candidates / champion.digest))
    graphs = exported(run, encoder, model) if plan.inference != "torch" else None
    graph = graph_of(graphs, plan.inference)
    heads = fitted_heads(run, data, encoder, encoder_digest, graph, plan, model)
    knowledge = run.shop.settings.knowledge
    histories = fitted_histories(run, data, encoder_digest, vectors, plan, model)
    built = stages.build_candidate(
        run.shop.candidates,
        encoder,
        graph,
        vectors,
        plan,
        fingerprint,
        heads,
        knowledge,
        rankers,
        histories,
    )
    sign_release(run.shop.settings.signing, run.shop.candidates / built.digest)
    return built


def fitted_histories(
    run: Run, data: Data, encoder_digest: str, vectors: Path, plan: RetrievalPlan, model: str
) -> Path | None:
    """Folder of the learned encoder that the plan scores histories by, trained on this encoder's vectors and
    all purchases before the cut-off; None where it scores by none."""
    if plan.history_scoring not in get_args(HistoryEncoderKind):
        return None
    seed = run.shop.settings.training.seed
    _, folder = run.cached(
        stages.fit_history_encoder,
        "history",
        [data.prepared.digest, encoder_digest, plan.history_scoring, plan.history_encoder_epochs, seed],
        plan=plan,
        vectors=vectors,
        split_folder=data.split,
        seed=seed,
        model=model,
    )
    return folder


def tried_histories(run: Run, data: Data, encoder_digest: str, vectors: Path, model: str) -> Path | None:
    """Folder of the learned encoders of histories to choose from; None where the shop asks for none."""
    settings = run.shop.settings
    kinds, seed = settings.retrieval.history_encoders, settings.training.seed
    if not kinds:
        return None
    _, folder = run.cached(
        stages.try_history_encoders,
        "histories",
        [data.prepared.digest, encoder_digest, kinds, seed, settings.training.validation_items],
        vectors=vectors,
        split_folder=data.split,
        settings=settings,
        model=model,
    )
    return folder


def fitted_heads(
    run: Run,
    data: Data,
    encoder: Path,
    encoder_digest: str,
    graph: Path | None,
    plan: RetrievalPlan,
    model: str,
) -> Path | None:
    """Folder of the heads of the shop's tasks on this encoder; None where it has no tasks."""
    tasks = run.shop.settings.tasks
    if data.task_rows is None:
        return None
    _, folder = run.cached(
        stages.fit_heads,
        "heads",
        [tasks, data.task_digest, encoder_digest, plan.inference],
        tasks=tasks,
        rows=data.task_rows,
        encoder=encoder,
        graph=graph,
        plan=plan,
        model=model,
    )
    return folder


def judged_tasks(run: Run, data: Data) -> JudgedTasks | None:
    return None if data.task_rows is None else JudgedTasks(run.shop.settings.tasks, data.task_rows)


def chosen_plan(run: Run, data: Data, encoder: Path, encoder_digest: str, model: str) -> Retrieval:
    """How to rank with this encoder, chosen on the validation part."""
    settings = run.shop.settings
    graphs = None
    if settings.retrieval.inference != "torch":
        graphs = exported(run, encoder, model)
    vectors = encoded(run, data, encoder, model)
    histories = tried_histories(run, data, encoder_digest, vectors, model)
    plan, _ = run.cached(
        stages.choose_retrieval,
        "plan",
        [data.prepared.digest, encoder_digest, settings.retrieval, settings.encoder, settings.training],
        encoder=encoder,
        graphs=graphs,
        vectors=vectors,
        split_folder=data.split,
        settings=settings,
        histories=histories,
        model=model,
    )
    plan = _with_implied(run, data, encoder, encoder_digest, graphs, plan, model)
    return _with_rankers(run, data, encoder, encoder_digest, graphs, plan, histories, model)


def _with_implied(
    run: Run,
    data: Data,
    encoder: Path,
    encoder_digest: str,
    graphs: Path | None,
    plan: RetrievalPlan,
    model: str,
) -> RetrievalPlan:
    """The plan with its weights of what queries imply, by heads of the encoder that it was chosen with."""
    settings = run.shop.settings
    if settings.knowledge is None and not any(task.facet for task in settings.tasks):
        return plan
    sections = {"retrieval", "encoder", "training", "tasks", "knowledge"}
    read = settings.model_dump(mode="json", include=sections)
    graph = graph_of(graphs, plan.inference)
    weighed, _ = run.cached(
        stages.weigh_what_queries_imply,
        "implied",
        [data.prepared.digest, data.task_digest, encoder_digest, plan, read],
        plan=plan,
        encoder=encoder,
        graph=graph,
        vectors=encoded(run, data, encoder, model),
        split_folder=data.split,
        heads=fitted_heads(run, data, encoder, encoder_digest, graph, plan, model),
        settings=settings,
        model=model,
    )
    return weighed  # type: ignore[no-any-return]  # a task's result has no type


def _with_rankers(
    run: Run,
    data: Data,
    encoder: Path,
    encoder_digest: str,
    graphs: Path | None,
    plan: RetrievalPlan,
    histories: Path | None,
    model: str,
) -> Retrieval:
    """The plan with the entrances that have a second stage, and the folder of their rankers."""
    settings = run.shop.settings
    if settings.ranking.learner == "none":
        return plan, None
    sections = {"ranking", "encoder", "training", "tasks", "knowledge"}
    read = settings.model_dump(mode="json", include=sections)
    graph = graph_of(graphs, plan.inference)
    ranked, folder = run.cached(
        stages.fit_second_stage,
        "ranker",
        [data.prepared.digest, data.task_digest, encoder_digest, plan, read],
        encoder=encoder,
        graph=graph,
        vectors=encoded(run, data, encoder, model),
        split_folder=data.split,
        heads=fitted_heads(run, data, encoder, encoder_digest, graph, plan, model),
        plan=plan,
        settings=settings,
        histories=histories,
        model=model,
    )
    second_stage(model, folder)
    return ranked, folder


def exported(run: Run, encoder: Path, model: str) -> Path:
    """Folder of an encoder's graphs for ONNX Runtime; a fine-tuned one's are version 0's with its weights."""
    base_digest, base = version_0(run)
    digest, start = items_digest(encoder), None  # a query map is no part of a graph
    if digest != base_digest:
        start = base, exported(run, base, "version 0")
    _, folder = run.cached(
        stages.export_encoder, "graphs", [digest], encoder=encoder, start=start, model=model
    )
    return folder


def encoded(run: Run, data: Data, encoder: Path, model: str, index: Path | None = None) -> Path:
    """Folder of a split's catalogue as an encoder sees it, with what was bought and observed before its
    cut-off; splits with other requests share it, and encoders that differ in how queries are mapped. index: a
    release's of the same encoder, whose vectors are used again."""
    read = [data.split / "items.parquet", *sorted((data.split / "statistics").glob("*.parquet"))]
    _, folder = run.cached(
        stages.encode_items,
        "vectors",
        [*(sha256_file(path) for path in read if path.is_file()), items_digest(encoder)],
        encoder=encoder,
        split_folder=data.split,
        model=model,
        index=index,
    )
    return folder


def encoded_by(run: Run, data: Data, release: Candidate, model: str) -> Path:
    """The same for a release's encoder. Of a query-side update its item vectors are used again, as they stand
    in its index; else they are made as those of any other release, of the same texts together."""
    folder = run.shop.candidates / release.digest
    again = run.shop.settings.training.method == "query_side"
    return encoded(run, data, folder / "encoder", model, folder / "index" if again else None)


def judged(run: Run, data: Data, release: Candidate, name: str) -> Scorecard:
    """The scorecard of a release on this split's test part."""
    settings = run.shop.settings.judge
    _, out = run.cached(
        stages.judge_release,
        "judged",
        [
            *(data.prepared.digest, release.digest, settings, run.shop.settings.tasks, data.task_digest),
            run.fingerprint["labels"],
        ],
        candidate=run.shop.candidates / release.digest,
        vectors=encoded_by(run, data, release, name),
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
        stages.look_for_undiscoverable,
        "undiscoverable",
        [data.prepared.digest, release.digest, k],
        candidate=run.shop.candidates / release.digest,
        vectors=encoded_by(run, data, release, name),
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

    For the champion as for a challenger. Says so where it cannot and raises nothing of Debut's own: what was
    promoted stays promoted, and a shop too small to watch can still be retrained.
    """
    folder = run.shop.references / release.digest
    try:
        if is_calibrated(folder, run.shop.settings.monitoring):
            return
        _, listed = undiscoverable(run, data, release, name)
        stages.calibrate_monitor(
            folder,
            run.shop.candidates / release.digest,
            encoded_by(run, data, release, name),
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
        stages.judge_lexical,
        "bm25",
        [
            *(data.prepared.digest, run.shop.settings.judge, fields, run.shop.settings.tasks),
            *(data.task_digest, run.fingerprint["labels"]),
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
    settings = run.shop.settings
    report = stages.decide_verdict(
        scorecards, settings.gate, champion.baseline, _overlap(run, data, champion), settings.tasks
    )
    stages.write_report(run.folder, report, scorecards, cost_of_run(run, report), settings.tasks)
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
        name: (run.shop.candidates / release.digest, encoded_by(run, data, release, name))
        for name, release in releases.items()
    }
    settings = run.shop.settings
    stages.pool_new_items(
        run.folder, systems, data.split, settings.judge, settings.encoder.item_fields, labels_of(run)
    )


def labels_of(run: Run) -> Labels | None:
    """People's own judgements, where there are any."""
    shop = run.shop
    return Labels(shop.labels, shop.settings.split.relevant_grade) if run.fingerprint["labels"] else None


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
        cost=cost_of_run(run, report),
        undiscoverable=undiscoverable_items,
        files={
            "gate": sorted(run.folder.iterdir()),
            "quality": sorted(data.checked_folder.glob("qua*")),
            "training": [folder / DESCRIPTION],
        },
    )
    stages.log_run(tracker, run.shop.settings, record)
    card = card_of(run, data, tracker, challenger, scorecards["challenger"], report)
    stages.register_version(tracker, run.shop.candidates / challenger.digest, card)


def act_on_verdict(run: Run, challenger: Candidate, report: GateReport) -> Decision | None:
    """PROMOTE appends a promotion, fenced by the champion that was judged against, or – `promotion: review` –
    opens a review and decides nothing yet; another verdict appends the refusal."""
    settings, candidate = run.shop.settings, run.shop.candidates / challenger.digest
    if report.verdict == "PROMOTE" and settings.promotion == "review":
        verify_release(settings.signing, candidate)
        stages.open_review(run.shop, run.run_id, report, run.requested_by, run.because)
        return None
    if report.verdict == "PROMOTE":
        check_signature(settings.signing, candidate)  # a promotion verifies the files itself
    return stages.record_decision(run.shop.decision_log(), candidate, report, actor(), run.run_id)


def card_of(
    run: Run,
    data: Data,
    tracker: Tracker,
    candidate: Candidate,
    scorecard: Scorecard,
    report: GateReport | None = None,
) -> VersionCard:
    settings = run.shop.settings
    return VersionCard(
        shop=settings.shop,
        candidate=candidate,
        prepared=data.prepared,
        summary=scorecard.summary(),
        report=report,
        cost=cost_of_run(run, report) if report else None,
        encoder=settings.encoder.name,
        quarantined=data.checked.quarantined,
        tracking=without_secrets(tracker.connection.uri),
        plan=read_plan(run.shop.candidates / candidate.digest),
    )


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
