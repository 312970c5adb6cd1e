"""The tasks of the retrain flow that make a candidate of an encoder: index, inference, heads, plan."""

from pathlib import Path

import polars as pl
from prefect import task

from components.contract.files import stage_folder, write_json
from components.contract.knowledge import KnowledgeSettings
from components.contract.records import Candidate, RetrievalPlan
from components.contract.settings import Settings
from components.contract.task import Task as ShopTask
from components.cost.usage import USAGE, Meter
from components.encoder.transformer import TransformerEncoder
from components.index.vectors import KnownVectors, encode_catalogue
from components.ranking.observations import observed
from components.release.candidate import build
from components.release.fingerprint import Fingerprint
from components.release.heads import fit_release_heads
from components.release.history_encoders import fit_for_release, fit_on_validation
from components.release.plan import choose_plan, export_graphs, weigh_implied
from components.release.ranker import choose_rankers
from components.split.purchases import read_purchases
from components.split.split import cutoff_of
from components.split.statistics import read_traffic
from components.tasks.sentiment import read_opinions, write_read_reviews
from components.training.launch import gpus_held
from flows import console
from flows.costs import metered_beside


@task(name="read reviews by their words")
def read_reviews(folder: Path, reader: ShopTask, rows: Path, split_folder: Path) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
        write_read_reviews(reader, rows, split_folder, out)
    return folder.name


@task(name="encode the catalogue", task_run_name="encode the catalogue: {model}")
def encode_items(
    folder: Path,
    encoder: Path,
    split_folder: Path,
    model: str,  # noqa: ARG001 – shown in the run's name
    index: Path | None = None,
    ranked: bool = False,
    opinions: Path | None = None,
) -> str:
    """index: one that the same encoder made; its vectors hold for the items that have the same text still.
    ranked: with what a second stage reads; opinions: the reviews as they were read for it."""
    with stage_folder(folder) as out, Meter(out / USAGE, gpus=gpus_held(1)):
        items = pl.read_parquet(split_folder / "items.parquet")
        loaded = TransformerEncoder.load_saved(encoder)
        known_of_items = None
        if ranked:
            reviews = read_opinions(split_folder, opinions)
            known_of_items = observed(items, read_traffic(split_folder), reviews, cutoff_of(split_folder))
        settings = loaded.settings
        known = KnownVectors(index, settings.item_fields, loaded.encode_catalogue) if index else None
        encode_catalogue(
            items,
            known.encode if known else loaded.encode_catalogue,
            settings.item_fields,
            out,
            settings.language,
            read_purchases(split_folder, "statistics"),
            known_of_items,
        )
    if known is not None:
        console.fact("item vectors", f"{known.taken:,} as they were, {known.encoded:,} texts encoded")
    return folder.name


@task(name="export the encoder", task_run_name="export the encoder: {model}")
def export_encoder(
    folder: Path,
    encoder: Path,
    start: tuple[Path, Path] | None,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
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
    with stage_folder(folder) as out, Meter(out / USAGE):
        plan = choose_plan(encoder, graphs, vectors, split_folder, settings, histories)
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
    opinions: Path | None,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> RetrievalPlan:
    """The plan with the entrances that have a ranker; the folder holds them and what validation said."""
    with stage_folder(folder) as out, Meter(out / USAGE):
        return choose_rankers(
            plan, encoder, graph, vectors, split_folder, heads, settings, out, histories, opinions
        )


@task(name="try encoders of histories", task_run_name="try encoders of histories: {model}")
def try_history_encoders(
    folder: Path,
    vectors: Path,
    split_folder: Path,
    settings: Settings,
    model: str,  # noqa: ARG001 – shown in the run's name
) -> str:
    with stage_folder(folder) as out, Meter(out / USAGE):
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
    with stage_folder(folder) as out, metered_beside(folder):
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
    with stage_folder(folder) as out, metered_beside(folder):
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
    with stage_folder(folder) as out, Meter(out / USAGE):
        weighed = weigh_implied(plan, encoder, graph, vectors, split_folder, heads, settings)
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
