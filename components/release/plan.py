"""How a candidate ranks (records.RetrievalPlan), chosen on the validation part."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl

from components.contract.errors import DataError
from components.contract.learning import EncoderSettings
from components.contract.ports import Encoder
from components.contract.records import Entrance, RetrievalPlan
from components.contract.retrieving import HistoryEncoderKind, HistoryScoring, Inference, RetrievalSettings
from components.contract.settings import Settings
from components.encoder.onnx_export import export_onnx, quantise, reweight
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.index.analysis import Analyzer
from components.index.co_purchases import CoPurchases
from components.index.fusion import best_fusion, fusions, scored_queries
from components.index.lexical import LexicalSnapshot
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot
from components.index.retrieval import open_encoder
from components.index.vectors import read_vectors
from components.release.history_encoders import read_fitted
from components.release.history_mix import HistoryMix, best_mix, scored_users
from components.release.implied_weights import (
    SYNONYM_SHARES,
    ImpliedParts,
    chosen_synonym_share,
    chosen_weights,
)
from components.split.purchases import read_purchases
from components.tasks.heads import open_heads
from components.training.histories import Fitted
from components.training.validation import Validation, read_validation, recall_of, stopping_recall
from components.understanding.knowledge import Knowledge
from components.understanding.understanding import Understanding

OF_TEXTS: tuple[HistoryScoring, ...] = ("mean", "top3", "top10", "centred_top10")
CO_PURCHASE_WEIGHTS = (0.0, 0.125, 0.25, 0.5, 1.0, 2.0)
FASTEST_FIRST: tuple[Inference, ...] = ("onnx-int8", "onnx")
TIMED_QUERIES = 50


def export_graphs(encoder: Path, out: Path, start: tuple[Path, Path] | None = None) -> None:
    """Writes onnx.onnx and onnx-int8.onnx, named after the inference that runs them.

    start: the saved encoder that this one was trained from, and its graphs, which are used again.
    """
    loaded = TransformerEncoder.load_saved(encoder)
    again = start is not None and reweight(
        start[1] / "onnx.onnx", TransformerEncoder.load_saved(start[0]), loaded, out / "onnx.onnx"
    )
    if not again:
        export_onnx(loaded, out / "onnx.onnx")
    quantise(out / "onnx.onnx", out / "onnx-int8.onnx")


def graph_of(graphs: Path | None, inference: Inference) -> Path | None:
    """The exported graph that an inference runs; None for torch."""
    return None if inference == "torch" or graphs is None else graphs / f"{inference}.onnx"


def choose_plan(
    encoder: Path,
    graphs: Path | None,
    vectors: Path,
    split: Path,
    settings: Settings,
    histories: Path | None = None,
) -> RetrievalPlan:
    """What `retrieval` in the settings leaves open, by recall@10 on validation (mean of new and established).

    encoder: folder of a saved encoder; graphs: what `export_graphs` made of it, not needed where the
    settings say torch; vectors: the split's catalogue as it sees it (index.vectors); histories: what
    `history_encoders.fit_on_validation` wrote, where learned scorings stand for choice.
    - inference: the fastest that loses at most `max_loss` of the fp32 encoder's recall on the judged queries
      and is faster in this very run; fp32 in ONNX Runtime where there are no queries to measure it with.
    - history scoring and co-purchase weight, lexical weight and its share of grams: the best; the mean and 0
      where no user or no query is judged. Co-purchases are those before the validation window.
    """
    wanted, validation = settings.retrieval, read_validation(split, settings.encoder, settings.training)
    snapshot = validation_snapshot(validation, split, vectors, settings.encoder)
    opened = _Encoders(encoder, graphs)
    users, queries = _only(validation, "recommendation"), _only(validation, "search")
    inference = wanted.inference
    if inference == "auto":
        inference = _fastest(opened, queries, snapshot, wanted)
    plan = RetrievalPlan(inference=inference)
    plan = _mixed(plan, users, snapshot, split, wanted, read_fitted(histories) if histories else {})
    return _fused(plan, queries, opened.open(inference), vectors, split, settings)


def _mixed(
    plan: RetrievalPlan,
    users: Validation,
    snapshot: Snapshot,
    split: Path,
    wanted: RetrievalSettings,
    learned: Mapping[HistoryEncoderKind, Fitted],
) -> RetrievalPlan:
    """The plan with its history scoring and co-purchase weight. A weight that the settings give holds where
    any purchase is known. A learned scoring is chosen where it beats the others."""
    purchases = read_purchases(split, "train")
    scorings: tuple[HistoryScoring, ...] = (*OF_TEXTS, *learned) if users.judged else ("mean",)
    weights = CO_PURCHASE_WEIGHTS if users.judged and purchases is not None else (0.0,)
    if wanted.history_scoring != "auto":
        scorings = (wanted.history_scoring,)
        if wanted.history_scoring in get_args(HistoryEncoderKind) and wanted.history_scoring not in learned:
            raise DataError(f"history_scoring {wanted.history_scoring}: too few users have bought twice.")
    if wanted.co_purchase_weight != "auto":
        weights = (wanted.co_purchase_weight if read_purchases(split, "statistics") is not None else 0.0,)
    best = HistoryMix(scorings[0], weights[0])
    if len(scorings) * len(weights) > 1:
        if purchases is not None and any(weights):
            item_ids = snapshot.items.get_column("item_id").to_list()
            counted = CoPurchases.build(item_ids, snapshot.vectors, purchases)
            snapshot = replace(snapshot, co_purchases=counted)
        encoders = {kind: fitted.encoder for kind, fitted in learned.items()}
        scored = scored_users(users.judged["recommendation"], users.new, snapshot, scorings, encoders)
        best = best_mix(scored, scorings, weights)
    epochs = {str(kind): fitted.epochs for kind, fitted in learned.items()}
    return plan.model_copy(
        update={
            "history_scoring": best.scoring,
            "history_encoder_epochs": epochs.get(best.scoring, 0),
            "co_purchase_weight": best.weight,
        }
    )


def _fused(
    plan: RetrievalPlan, queries: Validation, encoder: Encoder, vectors: Path, split: Path, settings: Settings
) -> RetrievalPlan:
    """The plan with its lexical weight and share of grams, chosen among all items: a few thousand drawn ones
    make every ranking easier, and vectors seem to need less help."""
    among = fusions(settings.retrieval)
    best = among[0]
    if queries.judged and len(among) > 1:
        _, snapshot = whole_validation(split, vectors, settings)
        best = best_fusion(scored_queries(queries.judged["search"], queries.new, snapshot, encoder), among)
    # Without a lexical score its share says nothing.
    share = best.share if best.weight else 0.0
    return plan.model_copy(update={"lexical_weight": best.weight, "grams_share": share})


def weigh_implied(
    plan: RetrievalPlan,
    encoder: Path,
    graph: Path | None,
    vectors: Path,
    split: Path,
    heads: Path | None,
    settings: Settings,
) -> RetrievalPlan:
    """The plan with its weights of what queries imply, and its share of synonyms; unchanged where nothing
    says what a query implies, or no query is judged and the settings give no weights.

    graph: what the plan's inference runs; heads: folder of the heads that were fitted on this encoder.
    """
    wanted = settings.retrieval
    everything, snapshot = whole_validation(split, vectors, settings)
    validation = _only(everything, "search")
    understanding = understanding_of(snapshot, heads, settings)
    if not understanding:
        return plan
    share, weights = wanted.synonym_share, wanted.implied_weights
    shares = SYNONYM_SHARES if share == "auto" else (share,)
    scored = []
    if validation.judged and "auto" in (share, weights):
        parts = ImpliedParts(plan, validation.judged["search"], validation.new, snapshot, shares)
        scored = parts.scored(open_encoder(encoder, graph or encoder, plan), understanding)
    if share == "auto":
        share = chosen_synonym_share(scored, shares)
    if weights == "auto":
        weights = chosen_weights(scored, share, shares)
    weights = {facet: weight for facet, weight in weights.items() if weight}
    return plan.model_copy(update={"synonym_share": share, "implied_weights": weights})


def understanding_of(snapshot: Snapshot, heads: Path | None, settings: Settings) -> Understanding:
    """What heads and the shop's knowledge say of queries, as a release with both opens it."""
    categories = snapshot.items.get_column("category").to_list()
    words = Analyzer(settings.encoder.language).words
    known = None if settings.knowledge is None else Knowledge(settings.knowledge, categories, words)
    return Understanding((open_heads(heads) if heads else {}).values(), known)


class _Encoders:
    """One encoder's back ends, each opened once."""

    def __init__(self, encoder: Path, graphs: Path | None) -> None:
        self._encoder, self._graphs = encoder, graphs
        self._opened: dict[Inference, Encoder] = {}

    def open(self, inference: Inference) -> Encoder:
        if inference not in self._opened:
            graph = graph_of(self._graphs, inference) or self._encoder
            plan = RetrievalPlan(inference=inference)
            self._opened[inference] = open_encoder(self._encoder, graph, plan)
        return self._opened[inference]


def whole_validation(split: Path, vectors: Path, settings: Settings) -> tuple[Validation, Snapshot]:
    """The validation's requests and all items that were there, instead of `training.validation_items`."""
    everything = settings.training.model_copy(update={"validation_items": None})
    validation = read_validation(split, settings.encoder, everything)
    return validation, validation_snapshot(validation, split, vectors, settings.encoder)


def validation_snapshot(
    validation: Validation, split: Path, vectors: Path, encoder: EncoderSettings
) -> Snapshot:
    """The validation's items with their vectors and postings; raises DataError for another catalogue's."""
    item_ids, catalogue = read_vectors(vectors)
    items = pl.read_parquet(split / "items.parquet")
    if items.get_column("item_id").to_list() != item_ids:
        raise DataError(f"{vectors} holds other items than {split}: encode the split's catalogue again.")
    rows = np.searchsorted(item_ids, validation.item_ids)
    items = items[rows]
    lexical = LexicalSnapshot.build(item_texts(items, encoder.item_fields), encoder.language)
    return Snapshot(items, catalogue[rows], lexical)


def _only(validation: Validation, entrance: Entrance) -> Validation:
    kept = {name: judged for name, judged in validation.judged.items() if name == entrance}
    return replace(validation, judged=kept)


def _recall(
    plan: RetrievalPlan, validation: Validation, snapshot: Snapshot, encoder: Encoder, exact: bool = False
) -> float:
    index = LiveIndex("validation", snapshot, encoder, plan, ("title",), exact=exact)
    (entrance,) = validation.judged
    return stopping_recall(recall_of(index, validation), entrance) or 0.0


def _fastest(
    opened: _Encoders, queries: Validation, snapshot: Snapshot, wanted: RetrievalSettings
) -> Inference:
    if not queries.judged:
        return "onnx"
    exact = opened.open("torch")
    reference = _recall(RetrievalPlan(), queries, snapshot, exact, exact=True)
    slowest = _milliseconds(exact, queries)
    for inference in FASTEST_FIRST:
        encoder = opened.open(inference)
        recall = _recall(RetrievalPlan(), queries, snapshot, encoder)
        if recall >= (1 - wanted.max_loss) * reference and _milliseconds(encoder, queries) < slowest:
            return inference
    return "torch"


def _milliseconds(encoder: Encoder, queries: Validation) -> float:
    """Median time of one query."""
    texts = [str(request.text) for request in queries.judged["search"].requests[:TIMED_QUERIES]]
    encoder.encode_queries(texts[:3])
    times = []
    for text in texts:
        start = time.perf_counter()
        encoder.encode_queries([text])
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1_000
