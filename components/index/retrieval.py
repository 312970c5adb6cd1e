"""A candidate's own retrieval path, opened from its folder: the same for the judge, the service and MLflow.

encoder/      settings, tokenizer and fp32 weights, or an adapter of those of a base elsewhere
inference/    encoder.onnx, where the plan says so
index/        items.parquet, vectors, postings; co-purchases, where the plan weighs them; signals of a ranker
ranker/       the second stage, where the plan names entrances
heads/, knowledge.json   what queries imply, where the release knows any of it
histories/    the learned encoder of users' pasts, where the plan scores by one
retrieval.json
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import polars as pl
from safetensors import SafetensorError

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.learning import EncoderSettings
from components.contract.ports import Encoder
from components.contract.records import RetrievalPlan
from components.encoder.base import SETTINGS_FILE
from components.index.analysis import Analyzer
from components.index.co_purchases import CO_PURCHASES_FILE, CoPurchases
from components.index.history_encoder import HistoryEncoder
from components.index.lexical import LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.signals import Signals
from components.index.vectors import ITEMS_FILE, read_vectors
from components.ranking.ranker_files import Rankers, open_rankers
from components.understanding.knowledge import KNOWLEDGE_FILE
from components.understanding.understanding import Understanding

ENCODER, INFERENCE, INDEX, HEADS, RANKER = "encoder", "inference", "index", "heads", "ranker"
HISTORIES = "histories"
ONNX_FILE = "encoder.onnx"
PLAN_FILE = "retrieval.json"


def open_candidate(candidate: Path, name: str, index: Path | None = None, threads: int = 1) -> LiveIndex:
    """The candidate's path over its own index, or over another catalogue's that the same path encoded.

    threads: of the encoder, where it runs in ONNX. Raises EncoderError or DataError for a damaged file.
    """
    plan = read_plan(candidate)
    encoder = open_encoder(candidate / ENCODER, candidate / INFERENCE / ONNX_FILE, plan, threads)
    snapshot = _with_history_encoder(read_snapshot(index or candidate / INDEX), candidate, plan)
    if index is None and plan.co_purchase_weight and snapshot.co_purchases is None:
        path = candidate / INDEX / CO_PURCHASES_FILE
        raise DataError(f"{path} is missing, but the plan weighs co-purchases: restore it or build it again.")
    fields, understanding = item_fields(candidate / ENCODER), open_understanding(candidate, snapshot)
    rankers = read_rankers(candidate, plan)
    return LiveIndex(name, snapshot, encoder, plan, fields, understanding=understanding, rankers=rankers)


def open_exact(candidate: Path, name: str, index: Path) -> LiveIndex:
    """The same plan without what makes it fast: fp32 encoder in torch, float64 scan of all rows. `index`
    holds the catalogue as that encoder sees it."""
    plan = read_plan(candidate).model_copy(update={"inference": "torch"})
    encoder = open_encoder(candidate / ENCODER, candidate, plan)
    fields = item_fields(candidate / ENCODER)
    snapshot = _with_history_encoder(read_snapshot(index), candidate, plan)
    understanding = open_understanding(candidate, snapshot)
    return LiveIndex(
        name,
        snapshot,
        encoder,
        plan,
        fields,
        exact=True,
        understanding=understanding,
        rankers=read_rankers(candidate, plan),
    )


def open_understanding(candidate: Path, snapshot: Snapshot) -> Understanding | None:
    """What the candidate knows of queries, its category tree being the snapshot's; None: nothing."""
    categories = snapshot.items.get_column("category").unique().to_list()
    words = Analyzer(snapshot.lexical.language).words
    return Understanding.open(candidate / HEADS, candidate / KNOWLEDGE_FILE, categories, words)


def read_rankers(candidate: Path, plan: RetrievalPlan) -> Rankers | None:
    """None where the plan names no entrance. Raises DataError where they are not what the plan names."""
    if not plan.rankers:
        return None
    with _undamaged(candidate / RANKER):
        rankers = open_rankers(candidate / RANKER)
    if rankers is None or set(rankers.by_entrance) != set(plan.rankers):
        raise DataError(
            f"{candidate / RANKER}: not the rankers that the plan names; build the release again."
        )
    return rankers


def open_encoder(encoder: Path, graph: Path, plan: RetrievalPlan, threads: int = 1) -> Encoder:
    """What encodes queries and changed items under the plan; imports torch only where it has to."""
    if plan.inference == "torch":
        from components.encoder.transformer import TransformerEncoder

        return TransformerEncoder.load_saved(encoder)
    from components.encoder.onnx_encoder import OnnxEncoder

    return OnnxEncoder.load(graph, encoder, threads)


def read_snapshot(index: Path) -> Snapshot:
    """Raises DataError where the folder's files do not belong together."""
    with _undamaged(index):
        item_ids, vectors = read_vectors(index)
        items = pl.read_parquet(index / ITEMS_FILE)
        lexical = LexicalSnapshot.load(index)
        co_purchases, signals = CoPurchases.load(index), Signals.load(index)
    if co_purchases is not None and co_purchases.items != len(item_ids):
        raise DataError(
            f"{index}: {len(item_ids)} items but co-purchases of {co_purchases.items}; build it again."
        )
    if signals is not None and signals.items != len(item_ids):
        raise DataError(f"{index}: {len(item_ids)} items but signals of {signals.items}; build it again.")
    if lexical.items != len(item_ids):
        raise DataError(f"{index}: {len(item_ids)} items but postings of {lexical.items}; build it again.")
    return Snapshot(items, vectors, lexical, co_purchases, signals)


def _with_history_encoder(snapshot: Snapshot, candidate: Path, plan: RetrievalPlan) -> Snapshot:
    """With the learned encoder of histories, where the plan scores by one."""
    if plan.history_scoring not in ("gru", "attention"):
        return snapshot
    return replace(snapshot, history_encoder=HistoryEncoder.load(candidate / HISTORIES, plan.history_scoring))


def read_plan(candidate: Path) -> RetrievalPlan:
    """Raises DataError for a plan whose weight of co-purchases was chosen for scores of an earlier kind."""
    path = candidate / PLAN_FILE
    with _undamaged(path):
        known = json.loads(path.read_bytes())
        plan = RetrievalPlan.model_validate(known)
    if plan.co_purchase_weight and "co_purchases" not in known:
        raise DataError(
            f"{path}: its co-purchases are counted as before decision 0023, so it can be neither judged nor "
            f"served as it was; begin again in another workspace (--workspace)."
        )
    return plan


def item_fields(encoder: Path) -> tuple[str, ...]:
    """The columns that make up an item's text, by a saved encoder's settings."""
    with _undamaged(encoder / SETTINGS_FILE):
        settings = json.loads((encoder / SETTINGS_FILE).read_bytes())
        return EncoderSettings.model_validate(settings).item_fields


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    """Turns what readers raise for a damaged file into a DataError, for a missing one into a StorageError."""
    with disk_errors(path):
        try:
            yield
        except (SafetensorError, pl.exceptions.PolarsError, ValueError, KeyError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(f"{path} cannot be read ({reason}): it is damaged; build it again.") from error
