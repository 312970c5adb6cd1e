"""How a user's history scores an item, chosen on the validation part."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from components.contract.settings import HistoryScoring, Settings
from components.encoder.transformer import TransformerEncoder
from components.index.vectors import read_vectors
from components.training.validation import read_validation, stopping_recall, validation_recall


def choose_history_scoring(encoder: Path, vectors: Path, split: Path, settings: Settings) -> HistoryScoring:
    """`retrieval.history_scoring`; for "auto" the one with the better validation recall@10 (mean of new and
    established items); "mean" where no users are judged.

    encoder: folder of a saved encoder; vectors: the split's catalogue as it sees it (index.vectors).
    """
    if settings.retrieval.history_scoring != "auto":
        return settings.retrieval.history_scoring
    validation = read_validation(split, settings.encoder, settings.training)
    if "recommendation" not in validation.judged:
        return "mean"
    users = replace(validation, judged={"recommendation": validation.judged["recommendation"]})
    item_ids, catalogue = read_vectors(vectors)
    known = catalogue[np.searchsorted(item_ids, validation.item_ids)]
    loaded = TransformerEncoder.load_saved(encoder)
    found: dict[HistoryScoring, float] = {}
    for scoring in get_args(HistoryScoring):
        recalls = validation_recall(users, known, loaded, scoring)
        found[scoring] = stopping_recall(recalls, "recommendation") or 0.0
    return max(found, key=lambda scoring: found[scoring])
