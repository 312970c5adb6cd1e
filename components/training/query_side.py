"""Query-side tuning: what encodes queries is trained, the items' vectors in the index stay as they are.

A linear map of the query vector, beginning as the identity (a linear adapter, as Zhang et al. 2020 and others
put it on frozen embeddings), learns to point at the items that answered. Items that arrive later are encoded
by the same encoder as those in the index, so one release needs one encoder, and no item is encoded again.

Legend of shapes: q queries, n items, b pairs of a step, c candidate items of a step, d dimensions.
"""

import json
import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from components.augment.negatives import Flags
from components.contract.errors import DataError
from components.contract.files import write_bytes
from components.contract.learning import TrainingSettings
from components.contract.ports import Rows, Vectors
from components.contract.records import TrainedModel
from components.encoder.base import QUERY_MAP_FILE, folder_digest, saved_settings
from components.encoder.query_map import QueryMap, mapped, write_query_map
from components.encoder.transformer import TransformerEncoder
from components.training.examples import PreparedExamples, write_description
from components.training.launch import ENCODER, METRICS
from components.training.pairs import Pairs, TrainingPart, read_pairs, trainable, training_rows
from components.training.validation import Validation, read_validation, stopping_recall, validation_recall

logger = logging.getLogger(__name__)
RATE, PAIRS_PER_STEP, EPOCHS = 1e-3, 512, 4
"""On home_depot's validation (untrained MiniLM) a third of the rate gains two thirds as much, and nothing is
gained after the second epoch. The validation chooses the epoch."""
CANDIDATES = 4_096
"""Items drawn anew for each step, beside its pairs' own."""


def tune_query_side(
    split: Path,
    encoder: Path,
    item_vectors: Vectors,
    out: Path,
    *,
    part: TrainingPart,
    settings: TrainingSettings,
    learned_until: datetime | None = None,
    epochs: int | None = None,
) -> TrainedModel:
    """Leaves `encoder/` – the saved encoder with a new query map –, metrics.jsonl and examples.json in `out`.

    item_vectors: (n, d) of the split's catalogue by `encoder`, in its order. A map that the encoder has is
    what the new one begins with. epochs: exactly so many; None: the best of EPOCHS by recall on validation.

    Raises DataError where nobody searched: a history's vector is made of items' vectors, which do not change.
    """
    began = time.perf_counter()
    loaded = TransformerEncoder.load_saved(encoder)
    start = np.eye(loaded.dimensions, dtype=np.float32) if loaded.query_map is None else loaded.query_map
    loaded.query_map = None
    items = pl.read_parquet(split / "items.parquet")
    _require_searches(split, part, items)
    pairs = read_pairs(split, part, settings, learned_until, searches_only=True)
    learner = _Learner(pairs, items, part, item_vectors, loaded.encode_queries(pairs.queries), settings)
    judged = None if epochs is not None else _Judged.read(split, items, item_vectors, loaded, settings)
    tuned = _tune(learner, judged, start, EPOCHS if epochs is None else epochs, settings.patience)
    shutil.copytree(encoder, out / ENCODER, ignore=shutil.ignore_patterns(QUERY_MAP_FILE))
    write_query_map(tuned.query_map, out / ENCODER)
    write_bytes(out / METRICS, "".join(json.dumps(line) + "\n" for line in tuned.lines).encode())
    digest = folder_digest(out / ENCODER, saved_settings(encoder))
    write_description(
        out,
        PreparedExamples(
            path=out.name,
            digest=digest,
            pairs={"search": len(pairs), "recommendation": 0},
            available_pairs=pairs.available,
            mined={},
        ),
    )
    return TrainedModel(
        path=out.name,
        encoder_digest=digest,
        epochs=tuned.epoch,
        steps=tuned.lines[-1]["step"],
        pairs=len(pairs),
        seconds=time.perf_counter() - began,
        best_validation_recall=tuned.recall,
    )


def _require_searches(split: Path, part: TrainingPart, items: pl.DataFrame) -> None:
    searches = training_rows(split, part, "search", items)
    if searches is None or not len(searches):
        raise DataError(
            f"{split / part}: there is no query with a relevant item, and training.method query_side learns "
            f"from nothing else; set training.method to full."
        )


@dataclass(frozen=True)
class _Tuned:
    """The best epoch's map, 0 for what it began with; the last one's where nothing is measured."""

    query_map: QueryMap
    epoch: int
    recall: float | None
    lines: list[dict[str, Any]]
    """Of the metrics, one per epoch, of 0 too."""


def _tune(
    learner: "_Learner", judged: "_Judged | None", start: QueryMap, epochs: int, patience: int
) -> _Tuned:
    began, lines = time.perf_counter(), list[dict[str, Any]]()

    def measured(epoch: int, query_map: QueryMap, **more: float) -> float | None:
        recalls = judged.recalls(query_map) if judged else {}
        recall = stopping_recall({"search": recalls}, "search")
        lines.append(
            {"kind": "epoch", "step": epoch * learner.steps, "epoch": epoch, "recall": recall}
            | {f"search/{name}/recall@10": value for name, value in recalls.items()}
            | {"seconds": time.perf_counter() - began}
            | more
        )
        return recall

    best, best_map, best_recall = 0, start, measured(0, start)
    for epoch, (query_map, loss) in enumerate(learner.epochs(start, epochs), start=1):
        recall = measured(epoch, query_map, loss=loss)
        if recall is None or best_recall is None or recall > best_recall:
            best, best_map, best_recall = epoch, query_map, recall
        elif epoch - best >= patience:
            break
    if not best and judged:
        logger.warning("no epoch finds more than the map that it began with, which is kept")
    return _Tuned(best_map, best, best_recall, lines)


class _Learner:
    """Steps through the pairs of searches; item rows are those of the catalogue."""

    def __init__(
        self,
        pairs: Pairs,
        items: pl.DataFrame,
        part: TrainingPart,
        vectors: Vectors,
        queries: Vectors,
        settings: TrainingSettings,
    ) -> None:
        self._pairs, self._settings = pairs, settings
        self._items, self._queries = torch.from_numpy(vectors), torch.from_numpy(queries)
        self._eligible = np.flatnonzero(trainable(items, part).to_numpy())
        self._groups = items.get_column("group").rank("dense").cast(pl.Int64).to_numpy()
        self._shares = np.bincount(pairs.positives, minlength=len(items)) / len(pairs)
        self.steps = -(-len(pairs) // PAIRS_PER_STEP)

    def epochs(self, start: QueryMap, count: int) -> Iterator[tuple[QueryMap, float]]:
        """After each epoch the map and the mean loss. Every run of the same arguments gives the same."""
        begun = torch.from_numpy(start)
        change = torch.zeros_like(begun, requires_grad=True)
        optimizer = torch.optim.Adam([change], lr=RATE)
        rng = np.random.default_rng(self._settings.seed)
        total = max(1, count * self.steps)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1.0 / total, total)
        for _ in range(count):
            losses = []
            for batch in np.array_split(rng.permutation(len(self._pairs)), self.steps):
                loss = self._loss(begun + change, batch, rng)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                losses.append(float(loss.detach()))
            yield (begun + change).detach().numpy().copy(), float(np.mean(losses))

    def _loss(self, query_map: Tensor, batch: Rows, rng: np.random.Generator) -> Tensor:
        """InfoNCE over the batch's items and a draw of others. What else the query's owner is known to like,
        and its duplicates, are no negatives; logQ as in loss.py: how often an item is expected here."""
        positives, anchors = self._pairs.positives[batch], self._pairs.anchors[batch]
        drawn = min(CANDIDATES, len(self._eligible))
        others = rng.choice(self._eligible, drawn, replace=False)
        candidates = np.unique(np.concatenate([positives, others]))
        labels = np.searchsorted(candidates, positives)
        expected = drawn / len(self._eligible) + len(batch) * self._shares[candidates]
        known = np.stack([self._is_known(anchor, candidates) for anchor in anchors])
        known[np.arange(len(batch)), labels] = False
        turned = normalize(self._queries[anchors] @ query_map.T, dim=-1)
        scores = turned @ self._items[candidates].T / self._settings.temperature  # (b, c)
        if self._settings.logq_correction:
            scores = scores - torch.from_numpy(np.log(expected).astype(np.float32))
        return cross_entropy(
            scores.masked_fill(torch.from_numpy(known), -torch.inf), torch.from_numpy(labels)
        )

    def _is_known(self, anchor: int, candidates: Rows) -> Flags:
        liked = self._groups[self._pairs.known[self._pairs.owners[anchor]]]
        return np.isin(self._groups[candidates], liked)


class _Judged:
    """Recall on the searches of the validation part, each of whose texts is encoded once."""

    def __init__(
        self, validation: Validation, vectors: Vectors, texts: Sequence[str], queries: Vectors
    ) -> None:
        self._validation, self._vectors = validation, vectors
        self._query_of = dict(zip(texts, queries, strict=True))
        self._map: QueryMap | None = None
        self.digest = ""

    @classmethod
    def read(
        cls,
        split: Path,
        items: pl.DataFrame,
        vectors: Vectors,
        encoder: TransformerEncoder,
        settings: TrainingSettings,
    ) -> "_Judged | None":
        found = read_validation(split, encoder.settings, settings)
        if "search" not in found.judged:
            return None
        only = Validation({"search": found.judged["search"]}, found.item_ids, found.texts, found.new)
        rows = np.searchsorted(items.get_column("item_id").to_list(), found.item_ids)
        texts = [str(request.text) for request in only.judged["search"].requests]
        return cls(only, vectors[rows], texts, encoder.encode_queries(texts))

    def recalls(self, query_map: QueryMap) -> dict[str, float | None]:
        self._map = query_map
        return validation_recall(self._validation, self._vectors, self)["search"]

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return mapped(np.stack([self._query_of[text] for text in texts]), self._map)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        raise NotImplementedError("items have their vectors")
