"""A retrain with a teacher, graded pairs and vectors cut to a quarter: stages, cost, and what is released."""

import json
from typing import Any

import polars as pl
import yaml

from components.index.vectors import read_vectors
from components.release.candidate import load_manifest

TRAINING = {
    "max_pairs": 160,
    "validation_items": 100,
    "matryoshka_dimensions": [4],
    "lowest_grade_weight": 0.5,
    "distillation": {"weight": 1.0, "candidates": 3, "epochs": 1},
}


def test_a_retrain_learns_from_a_teacher_that_stays_behind(retrained: Any, connected: Any) -> None:
    """Not from clicks alone, which are all worth the same. With purchases: teacher and scores are stages
    with a cost, the challenger has neither, and an index of vectors of 8 instead of 32 numbers."""
    shop = retrained
    shop.configure(training=TRAINING)
    outcome = connected("retrain", *shop.arguments)
    assert outcome.code == 1
    assert "there are searches of one grade only" in outcome.sentence
    events = pl.read_parquet(shop.folder / "events.parquet").with_row_index("number")
    bought = pl.when(pl.col("number") % 2 == 0).then(pl.lit("purchase")).otherwise("action")
    events.with_columns(action=bought).drop("number").write_parquet(shop.folder / "events.parquet")
    encoder = yaml.safe_load(shop.config.read_text())["encoder"] | {"dimensions": 8}
    shop.configure(encoder=encoder)
    outcome = connected("retrain", *shop.arguments, "--json")
    assert outcome.code == 0, outcome.err
    [teacher] = shop.workspace.glob("stages/teacher-*")
    [taught] = shop.workspace.glob("stages/taught-*")
    assert (teacher / "model.safetensors").is_file() and (taught / "scores.parquet").is_file()
    assert all(json.loads((stage / "usage.json").read_text())["seconds"] > 0 for stage in (teacher, taught))
    result = outcome.json
    challenger = shop.workspace / "candidates" / result["challenger_digest"]
    assert not [name for name in load_manifest(challenger) if "teacher" in name or "scores" in name]
    assert read_vectors(challenger / "index")[1].shape[1] == 8
    assert result["challenger"]["new"]["requests"] > 0
