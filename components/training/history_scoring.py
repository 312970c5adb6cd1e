"""How a user's history scores an item, chosen on the validation part."""

from pathlib import Path
from typing import get_args

from components.contract.settings import HistoryScoring, Settings
from components.encoder.transformer import TransformerEncoder
from components.training.validation import read_validation, stopping_recall, validation_recall


def choose_history_scoring(encoder: Path, split: Path, settings: Settings) -> HistoryScoring:
    """`retrieval.history_scoring`; for "auto" the one with the better validation recall@10 (mean of new and
    established items) of the saved encoder in folder `encoder`; "mean" where no users are judged."""
    if settings.retrieval.history_scoring != "auto":
        return settings.retrieval.history_scoring
    validation = read_validation(split, settings.encoder, settings.training)
    if "recommendation" not in validation.judged:
        return "mean"
    loaded = TransformerEncoder.load_saved(encoder)
    vectors = loaded.encode_items(validation.texts)
    found: dict[HistoryScoring, float] = {}
    for scoring in get_args(HistoryScoring):
        recalls = validation_recall(validation, vectors, loaded, scoring)
        found[scoring] = stopping_recall(recalls, "recommendation") or 0.0
    return max(found, key=lambda scoring: found[scoring])
