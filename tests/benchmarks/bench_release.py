"""A shop with a champion for the serving benchmark, in a workspace of its own.

home_depot where its file is there, else the generated demo shop; the champion of `--workspace` where there is
one, else version 0, built here from the base encoder by the same functions as a retrain's.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from components.contract.records import PreparedData, RetrievalPlan
from components.data.demo_shop import generate
from components.data.sources import load
from components.encoder.base import base_digest, resolve_base
from components.encoder.transformer import TransformerEncoder
from components.index.retrieval import ENCODER, INDEX, INFERENCE, ONNX_FILE, read_plan
from components.index.vectors import encode_catalogue
from components.quality.checks import inspect
from components.release import promotion
from components.release.candidate import build, load_fingerprint
from components.release.fingerprint import Fingerprint
from components.release.plan import choose_plan, export_graphs, graph_of
from components.split.purchases import read_purchases
from components.split.split import split
from flows.shop import Shop, open_shop

HOME_DEPOT = Path("../shared/data/home_depot")


@dataclass(frozen=True)
class Bench:
    shop: Shop
    data: str
    """home_depot or demo."""
    built: str
    """champion, or version 0."""
    first: str
    second: str
    """D of two releases that differ in their lexical weight."""
    split: Path
    prepared: PreparedData


def prepare(folder: Path, existing: Path) -> Bench:
    """folder: the benchmark's own workspace; existing: where a champion may be, which is left as it is."""
    name = "home_depot" if (HOME_DEPOT / "train.csv.gz").is_file() else "demo"
    root = HOME_DEPOT if name == "home_depot" else folder / "files"
    if name == "demo":
        generate(root)
    shop = open_shop(name, str(root), str(folder))
    split_folder, prepared = _split(shop)
    champion = _champion(open_shop(name, str(root), str(existing)), shop)
    first = champion or _version_0(shop, split_folder, prepared)
    log = shop.decision_log()
    why = {"actor": "benchmark", "role": "benchmark", "reason": "to measure it"}
    if log.champion() != first:
        promotion.override(log, shop.candidates / first, None, expected_champion=log.champion(), **why)
    return Bench(
        shop,
        name,
        "champion" if champion else "version 0",
        first,
        _other(shop, first),
        split_folder,
        prepared,
    )


def _split(shop: Shop) -> tuple[Path, PreparedData]:
    folders = [shop.workspace / "stages" / name for name in ("load", "check", "split-bench")]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    loaded, checked, out = folders
    load(shop.settings, shop.root, shop.workspace, loaded)
    inspect(loaded, shop.settings.quality, checked)
    return out, split(checked, shop.settings.split, out, shop.settings.judge.primary)


def _champion(other: Shop, shop: Shop) -> str | None:
    """The other workspace's champion, copied here, where it has one."""
    digest = other.decision_log().champion()
    if digest is not None and not (shop.candidates / digest).exists():
        shutil.copytree(other.candidates / digest, shop.candidates / digest)
    return digest


def _version_0(shop: Shop, split_folder: Path, prepared: PreparedData) -> str:
    settings, place = shop.settings, shop.workspace / "stages"
    encoder = TransformerEncoder.load(resolve_base(settings.encoder), settings.encoder)
    encoder_digest = encoder.save(place / "base")
    for name in ("graphs", "vectors"):
        (place / name).mkdir(exist_ok=True)
    export_graphs(place / "base", place / "graphs")
    items = pl.read_parquet(split_folder / "items.parquet")
    fields, purchases = settings.encoder.item_fields, read_purchases(split_folder, "statistics")
    encode_catalogue(items, encoder.encode_catalogue, fields, place / "vectors", purchases=purchases)
    plan = choose_plan(place / "base", place / "graphs", place / "vectors", split_folder, settings)
    fingerprint = Fingerprint(
        data_digest=prepared.digest,
        encoder_digest=encoder_digest,
        base_digest=base_digest(settings.encoder),
        lock_digest="",
        code_digest="",
        cutoff=prepared.cutoff,
        settings={},
        baseline=True,
    )
    graph = graph_of(place / "graphs", plan.inference)
    return build(
        shop.candidates,
        encoder=place / "base",
        graph=graph,
        index=place / "vectors",
        plan=plan,
        fingerprint=fingerprint,
    ).digest


def _other(shop: Shop, first: str) -> str:
    """The same release with another lexical weight."""
    folder = shop.candidates / first
    plan = read_plan(folder)
    changed: RetrievalPlan = plan.model_copy(update={"lexical_weight": plan.lexical_weight + 0.05})
    graph = folder / INFERENCE / ONNX_FILE
    return build(
        shop.candidates,
        encoder=folder / ENCODER,
        graph=graph if graph.is_file() else None,
        index=folder / INDEX,
        plan=changed,
        fingerprint=load_fingerprint(folder),
    ).digest
