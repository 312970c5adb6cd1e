"""From an encoder to a candidate: plan, index, heads and what else it carries, each from the cache where
nothing changed."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from components.contract.digests import hashed, sha256_file
from components.contract.records import Candidate, RetrievalPlan
from components.contract.retrieving import HistoryEncoderKind
from components.contract.settings import OPERATING
from components.encoder.base import items_digest, resolve_base
from components.index.vectors import VECTORS_FILE
from components.pretraining.spec import read_pretrained
from components.release import candidate as candidates
from components.release.fingerprint import Fingerprint
from components.release.plan import graph_of
from components.split.judged import read_judged
from components.split.trained_on import trained_on
from components.tasks.rows import trained_items, trained_queries
from components.tasks.sentiment import READ
from components.training.written import written_rows
from flows import build_stages, second_stage, training_stages
from flows.console_ranking import second_stage as tell_second_stage
from flows.run import Data, Run
from flows.signing import sign_release

Retrieval = tuple[RetrievalPlan, Path | None]
"""A plan, and the folder of the rankers that it names."""
NOT_IN_A_RELEASE = {"tracking", "workspace", "decisions"} | OPERATING


@dataclass(frozen=True)
class Model:
    """What a release is built from, and how the reader knows it: "version 0", "challenger"."""

    encoder: Path
    digest: str
    name: str = "challenger"


def version_0(run: Run) -> Model:
    """The untrained encoder."""
    settings = run.shop.settings.encoder
    inputs = [run.fingerprint["base_weights"], settings]
    digest, folder = run.cached(training_stages.save_base_encoder, "base", inputs, settings=settings)
    return Model(folder, digest, "version 0")


def build(
    run: Run,
    data: Data,
    model: Model,
    *,
    retrieval: Retrieval | None = None,
    champion: Candidate | None = None,
    baseline: bool = False,
) -> Candidate:
    """Encodes the catalogue and puts encoder, index and retrieval plan into one immutable folder.

    retrieval: chosen on validation unless it is given. champion: whose encoder a warm start began with.
    """
    if baseline:  # what version 0 alone needs is no part of its challenger's cost (costs.py)
        run = replace(run, used={})
    vectors = encoded(run, data, model.encoder, model.name)
    plan, rankers = retrieval or chosen_plan(run, data, model)
    fingerprint = _fingerprint(run, data, model, champion, baseline)
    graphs = exported(run, model) if plan.inference != "torch" else None
    graph = graph_of(graphs, plan.inference)
    heads = fitted_heads(run, data, model, graph, plan)
    knowledge = run.shop.settings.knowledge
    histories = fitted_histories(run, data, model, vectors, plan)
    built = build_stages.build_candidate(
        run.shop.candidates,
        model.encoder,
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


def _fingerprint(
    run: Run, data: Data, model: Model, champion: Candidate | None, baseline: bool
) -> Fingerprint:
    """Everything that the model, its heads and the base below it have learned from."""
    taught = run.shop.settings.training.distillation.weight > 0
    requests, items = ([], []) if baseline else trained_on(data.split, taught)
    if data.task_rows is not None:  # version 0's heads learn, too
        items = [*items, *trained_items(data.task_rows)]
        requests = [*requests, *trained_queries(data.task_rows, run.shop.settings.tasks)]
    if not baseline:
        of_written = written_rows([folder for folder, stage in run.used.items() if stage == "written"])
        requests, items = [*requests, *of_written[0]], [*items, *of_written[1]]
    if run.shop.settings.ranking.learner != "none":  # fitted on the validation part's lists
        judged = read_judged(data.split, "validation", reader="second stage").values()
        requests = [*requests, *(request.request_id for one in judged for request in one.requests)]
    pretrained = read_pretrained(resolve_base(run.shop.settings.encoder))
    settings = run.shop.settings.model_copy(update={"encoder": run.shop.settings.encoder.without_place()})
    fingerprint = Fingerprint(
        data_digest=data.prepared.digest,
        encoder_digest=model.digest,
        base_digest=run.fingerprint["base_weights"],
        lock_digest=run.fingerprint["versions"],
        code_digest=run.fingerprint["code"],
        cutoff=data.prepared.cutoff,
        settings=settings.model_dump(mode="json", exclude=NOT_IN_A_RELEASE),
        requests=tuple(sorted({*hashed(requests), *((pretrained and pretrained.queries) or ())})),
        items=tuple(sorted({*hashed(items), *(pretrained.items if pretrained else ())})),
        baseline=baseline,
    )
    if champion is not None and run.shop.settings.training.start == "champion":
        return fingerprint.after(candidates.load_fingerprint(run.shop.candidates / champion.digest))
    return fingerprint


def fitted_histories(run: Run, data: Data, model: Model, vectors: Path, plan: RetrievalPlan) -> Path | None:
    """Folder of the learned encoder that the plan scores histories by, trained on this encoder's vectors and
    all purchases before the cut-off; None where it scores by none."""
    if plan.history_scoring not in get_args(HistoryEncoderKind):
        return None
    seed = run.shop.settings.training.seed
    _, folder = run.cached(
        build_stages.fit_history_encoder,
        "history",
        [data.prepared.digest, model.digest, plan.history_scoring, plan.history_encoder_epochs, seed],
        plan=plan,
        vectors=vectors,
        split_folder=data.split,
        seed=seed,
        model=model.name,
    )
    return folder


def tried_histories(run: Run, data: Data, model: Model, vectors: Path) -> Path | None:
    """Folder of the learned encoders of histories to choose from; None where the shop asks for none."""
    settings = run.shop.settings
    kinds, seed = settings.retrieval.history_encoders, settings.training.seed
    if not kinds:
        return None
    _, folder = run.cached(
        build_stages.try_history_encoders,
        "histories",
        [data.prepared.digest, model.digest, kinds, seed, settings.training.validation_items],
        vectors=vectors,
        split_folder=data.split,
        settings=settings,
        model=model.name,
    )
    return folder


def fitted_heads(
    run: Run,
    data: Data,
    model: Model,
    graph: Path | None,
    plan: RetrievalPlan,
) -> Path | None:
    """Folder of the heads of the shop's tasks on this encoder; None where it has no tasks."""
    tasks = run.shop.settings.tasks
    if data.task_rows is None:
        return None
    _, folder = run.cached(
        build_stages.fit_heads,
        "heads",
        [tasks, data.task_digest, model.digest, plan.inference],
        tasks=tasks,
        rows=data.task_rows,
        encoder=model.encoder,
        graph=graph,
        plan=plan,
        model=model.name,
    )
    return folder


def chosen_plan(run: Run, data: Data, model: Model) -> Retrieval:
    """How to rank with this encoder, chosen on the validation part."""
    settings = run.shop.settings
    graphs = None
    if settings.retrieval.inference != "torch":
        graphs = exported(run, model)
    vectors = encoded(run, data, model.encoder, model.name)
    histories = tried_histories(run, data, model, vectors)
    plan, _ = run.cached(
        build_stages.choose_retrieval,
        "plan",
        [data.prepared.digest, model.digest, settings.retrieval, settings.encoder, settings.training],
        encoder=model.encoder,
        graphs=graphs,
        vectors=vectors,
        split_folder=data.split,
        settings=settings,
        histories=histories,
        model=model.name,
    )
    graph = graph_of(graphs, plan.inference)
    plan = _with_implied(run, data, model, graph, vectors, plan)
    return _with_rankers(run, data, model, graph, vectors, plan, histories)


def _with_implied(
    run: Run,
    data: Data,
    model: Model,
    graph: Path | None,
    vectors: Path,
    plan: RetrievalPlan,
) -> RetrievalPlan:
    """The plan with its weights of what queries imply, by heads of the encoder that it was chosen with."""
    settings = run.shop.settings
    if settings.knowledge is None and not any(task.facet for task in settings.tasks):
        return plan
    sections = {"retrieval", "encoder", "training", "tasks", "knowledge"}
    read = settings.model_dump(mode="json", include=sections)
    weighed, _ = run.cached(
        build_stages.weigh_what_queries_imply,
        "implied",
        [data.prepared.digest, data.task_digest, model.digest, plan, read],
        plan=plan,
        encoder=model.encoder,
        graph=graph,
        vectors=vectors,
        split_folder=data.split,
        heads=fitted_heads(run, data, model, graph, plan),
        settings=settings,
        model=model.name,
    )
    return weighed  # type: ignore[no-any-return]  # a task's result has no type


def _with_rankers(
    run: Run,
    data: Data,
    model: Model,
    graph: Path | None,
    vectors: Path,
    plan: RetrievalPlan,
    histories: Path | None,
) -> Retrieval:
    """The plan with the entrances that have a second stage, and the folder of their rankers."""
    settings = run.shop.settings
    if settings.ranking.learner == "none":
        return plan, None
    sections = {"ranking", "encoder", "training", "tasks", "knowledge"}
    read = settings.model_dump(mode="json", include=sections)
    ranked, folder = run.cached(
        build_stages.fit_second_stage,
        "ranker",
        [data.prepared.digest, data.task_digest, model.digest, plan, read],
        encoder=model.encoder,
        graph=graph,
        vectors=vectors,
        split_folder=data.split,
        heads=fitted_heads(run, data, model, graph, plan),
        plan=plan,
        settings=settings,
        histories=histories,
        opinions=second_stage.opinions(run, data),
        model=model.name,
    )
    tell_second_stage(model.name, folder)
    return ranked, folder


def exported(run: Run, model: Model) -> Path:
    """Folder of an encoder's graphs for ONNX Runtime; a fine-tuned one's are version 0's with its weights."""
    base = version_0(run)
    digest, start = items_digest(model.encoder), None  # a query map is no part of a graph
    if digest != base.digest:
        start = base.encoder, exported(run, base)
    _, folder = run.cached(
        build_stages.export_encoder,
        "graphs",
        [digest],
        encoder=model.encoder,
        start=start,
        model=model.name,
    )
    return folder


def encoded(run: Run, data: Data, encoder: Path, model: str) -> Path:
    """Folder of a split's catalogue as an encoder sees it, with what was bought before its cut-off and, for a
    second stage, observed; splits with other requests share it, and encoders that differ in how queries are
    mapped."""
    read = [data.split / "items.parquet", *sorted((data.split / "statistics").glob("*.parquet"))]
    ranked = second_stage.asked(run)
    opinions = second_stage.opinions(run, data) if ranked else None
    if opinions is not None:
        read.append(opinions / READ)
    index = _kept_index(run, encoder)
    if index is not None:
        read.append(index / VECTORS_FILE)
    digests = [sha256_file(path) for path in read if path.is_file()]
    _, folder = run.cached(
        build_stages.encode_items,
        "vectors",
        [*digests, str(data.prepared.cutoff), ranked, items_digest(encoder)],
        encoder=encoder,
        split_folder=data.split,
        model=model,
        index=index,
        ranked=ranked,
        opinions=opinions,
    )
    return folder


def encoded_by(run: Run, data: Data, release: Candidate, model: str) -> Path:
    """The same for a release's encoder."""
    return encoded(run, data, run.shop.candidates / release.digest / "encoder", model)


def _kept_index(run: Run, encoder: Path) -> Path | None:
    """The champion's index, whose vectors a query-side update leaves as they stand in it; None where the
    catalogue is encoded as any other release's: of the same texts together, which differs by roundings."""
    if run.shop.settings.training.method != "query_side" or run.champion is None:
        return None
    champion = run.shop.candidates / run.champion
    return champion / "index" if items_digest(champion / "encoder") == items_digest(encoder) else None
