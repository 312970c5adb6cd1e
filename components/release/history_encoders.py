"""Learned encoders of histories for a release: trained and stopped on the validation part, then trained again
on all purchases before the cut-off, with the encoder that is released.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.contract.errors import DataError
from components.contract.files import write_json
from components.contract.ports import Vectors
from components.contract.retrieving import HistoryEncoderKind
from components.contract.settings import Settings
from components.index.fusion import K, Populations
from components.index.histories import NEWEST, TOP, Wide, centred, top_mean
from components.index.history_encoder import HistoryEncoder
from components.index.topk import top_columns
from components.index.vectors import read_vectors
from components.split.judged import JudgedSet
from components.split.purchases import read_purchases
from components.training.histories import Fitted, Held, fit, pasts
from components.training.validation import read_validation

SUMMARY = "history_encoders.json"
MOST_STOPPING_USERS = 2_000
"""Of validation, by whom training is stopped; the choice of the scoring reads all."""


def fit_on_validation(vectors: Path, split: Path, settings: Settings, out: Path) -> None:
    """Writes <kind>.safetensors per wanted kind, and SUMMARY: per kind its epochs and validation recalls.

    vectors: the split's catalogue (index.vectors). Learns from purchases before the validation window. The
    SUMMARY is empty where no user is judged, or none has bought twice.
    """
    validation = read_validation(split, settings.encoder, settings.training)
    purchases, judged = read_purchases(split, "train"), validation.judged.get("recommendation")
    summary = {}
    if purchases is not None and judged is not None:
        item_ids, catalogue = read_vectors(vectors)
        own = catalogue[np.searchsorted(item_ids, validation.item_ids)].astype(np.float64)
        own = centred(own, own.mean(axis=0))
        users = pasts(purchases, validation.item_ids)
        held = _held(judged, validation.new, validation.item_ids, own)
        for kind in settings.retrieval.history_encoders if users else ():
            fitted = fit(kind, own, users, seed=settings.training.seed, held=held)
            fitted.encoder.save(out)
            summary[kind] = {"epochs": fitted.epochs, "recalls": list(fitted.recalls)}
    write_json(out / SUMMARY, summary)


def read_fitted(folder: Path) -> dict[HistoryEncoderKind, Fitted]:
    """What `fit_on_validation` wrote."""
    known = json.loads((folder / SUMMARY).read_bytes())
    return {
        kind: Fitted(HistoryEncoder.load(folder, kind), of["epochs"], tuple(of["recalls"]))
        for kind, of in known.items()
    }


def fit_for_release(
    kind: HistoryEncoderKind, epochs: int, vectors: Path, split: Path, seed: int, out: Path
) -> None:
    """Writes <kind>.safetensors, trained for so many epochs on all purchases before the cut-off."""
    purchases, (item_ids, catalogue) = read_purchases(split, "statistics"), read_vectors(vectors)
    users = [] if purchases is None else pasts(purchases, item_ids)
    if not users:
        raise DataError(
            f"{split}: no user has bought twice before the cut-off: nothing to learn {kind} from."
        )
    wide = catalogue.astype(np.float64)
    fit(kind, centred(wide, wide.mean(axis=0)), users, seed=seed, epochs=epochs).encoder.save(out)


def _held(judged: JudgedSet, new: frozenset[str], item_ids: Sequence[str], vectors: Wide) -> Held:
    """By the mean of new and established recall@10, ranked as histories.py has it. vectors: (n, d) of
    item_ids, centred."""
    populations, narrow = Populations(judged, new, item_ids), vectors.astype(np.float32)
    row_of = populations.row_of
    known = [[row_of[i] for i in dict.fromkeys(r.history) if i in row_of] for r in judged.requests]
    users = [(r, np.asarray(rows)) for r, rows in zip(judged.requests, known, strict=True) if rows]
    users = users[:MOST_STOPPING_USERS]
    similar = [top_mean(narrow[rows[-NEWEST:]] @ narrow.T, TOP["centred_top10"]) for _, rows in users]
    barred = [[row_of[i] for i in r.exclude if i in row_of] for r, _ in users]

    def recall(encoded: Vectors) -> float:
        shares: dict[str, list[float]] = {}
        for line, (request, _) in enumerate(users):
            scores = narrow @ encoded[line] + similar[line]
            scores[barred[line]] = -np.inf
            for name, (found, count) in populations.of(request, top_columns(scores, K)).items():
                if count:
                    shares.setdefault(name, []).append(found.sum() / count)
        return float(np.mean([float(np.mean(of)) for of in shares.values()] or [0.0]))

    return Held([rows for _, rows in users], recall)
