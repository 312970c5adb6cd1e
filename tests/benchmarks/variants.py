"""What an ablation changes: settings of `training`, `augment` and `encoder`, one change at a time."""

from argparse import ArgumentParser
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from components.contract.learning import DistillationSettings, WriterSettings
from components.contract.settings import Settings

AS_SET, UNTRAINED, MINED_AGAIN = "as set", "untrained", "negatives mined again"
PRETRAINED = "a pretrained base"
VARIANTS: dict[str, dict[str, Any]] = {
    AS_SET: {},
    "title alone": {"item_fields": ("title",)},
    "title and attributes": {"item_fields": ("title", "attributes")},
    "title and description": {"item_fields": ("title", "description"), "max_length": 128},
    "description before title": {"item_fields": ("description", "title"), "max_length": 128},
    "texts of 16 tokens": {"max_length": 16},
    "texts of 32 tokens": {"max_length": 32},
    "no hard negatives": {"hard_negatives": 0},
    "4 hard negatives": {"hard_negatives": 4},
    "negatives whatever they score": {"positive_ceiling": 1.0},
    MINED_AGAIN: {},
    "no typing errors": {"typo_share": 0.0},
    "typing errors in 30 %": {"typo_share": 0.3},
    "written queries": {"written_queries": 3, "writer": WriterSettings(epochs=1)},
    "temperature 0.02": {"temperature": 0.02},
    "temperature 0.1": {"temperature": 0.1},
    "learning rate 2e-4": {"learning_rate": 2e-4},
    "learning rate 5e-5": {"learning_rate": 5e-5},
    "batch of 64": {"batch_size": 64},
    "batch of 512": {"batch_size": 512, "encode_chunk": 256},
    "two epochs": {"max_epochs": 2},
    "half of the base's weights": {"fine_tuned_share": 0.5},
    "2 layers frozen": {"frozen_layers": 2},
    "no logQ correction": {"logq_correction": False},
    "no dropout": {"dropout": 0.0},
    "lowest grade weighs half": {"lowest_grade_weight": 0.5},
    "lowest grade weighs nothing": {"lowest_grade_weight": 0.0},
    "Matryoshka": {"matryoshka_dimensions": (192, 96)},
    "trained at 96 dimensions": {"dimensions": 96},
    "a teacher": {
        "distillation": DistillationSettings(weight=1.0, judgements=8_000, epochs=1, batch_size=32)
    },
}
"""The teacher learns from about as many judgements as belong to 6,000 of home_depot's pairs: a quarter."""


def changed(section: Any, change: Mapping[str, Any]) -> Any:
    """A section of settings with what it has of the change."""
    return section.model_copy(
        update={key: value for key, value in change.items() if key in type(section).model_fields}
    )


def named(parser: ArgumentParser, only: str | None, variants: Iterable[str]) -> list[str]:
    """The variants of an option --only, by comma; without it all. Ends with a sentence on an unknown one."""
    known = list(variants)
    names = only.split(",") if only else known
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"--only: {', '.join(unknown)}; there are {', '.join(known)}")
    return names


def why_not(change: Mapping[str, Any], settings: Settings, items: pl.DataFrame) -> str | None:
    """Why a variant of texts says nothing of this shop: it is as set, or the items have no such text."""
    fields = change.get("item_fields", ())
    absent = [name for name in fields if not items.get_column(name).is_not_null().any()]
    if absent:
        return f"no item has {' or '.join(absent)}"
    if change and all(
        changed(section, change) == section
        for section in (settings.training, settings.augment, settings.encoder)
    ):
        return "that is as the shop is set"
    return None
