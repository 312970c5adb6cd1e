"""`make bench-tasks` on real shops: heads on the encoder as it was downloaded, beside the baselines."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from components.contract.settings import Settings
from components.contract.task import Task
from components.data.configuration import load_task
from components.data.sources import load
from components.encoder.base import resolve_base
from components.encoder.transformer import TransformerEncoder
from components.evaluation.task_measures import measured
from components.quality.checks import inspect
from components.split.by_item import hold_out_items
from components.split.split import split
from components.tasks.fit import fit_heads
from components.tasks.heads import open_heads
from components.tasks.judging import judge_baselines, judge_heads
from components.tasks.rows import write_rows
from flows.shop import open_shop

OF_REVIEWS = """
SELECT reviews.item_id, text, nullif(trim(split_part(category, '>', {level})), '') AS target
FROM reviews JOIN items USING (item_id)
"""


def _of_reviews(name: str, level: int) -> Task:
    """The department or class of the item that a review is about, from the review's words."""
    rows = OF_REVIEWS.format(level=level)
    says = f"{name.capitalize()} that a review is about"
    return Task(name=name, says=says, rows=rows, text=("text",), head="classification")


@dataclass(frozen=True)
class Frozen:
    tasks: tuple[Task, ...]
    max_length: int
    judged: bool = True
    """False: nothing to judge search with, so items are held out by their id alone."""


SHOPS = {
    "womens_clothing": Frozen(
        (load_task("sentiment"), _of_reviews("department", 2), _of_reviews("class", 3)),
        max_length=96,
        judged=False,
    ),
    "online_retail": Frozen((load_task("price"),), max_length=32),
    "best_buy": Frozen((load_task("price"),), max_length=96),
}


def frozen(name: str, root: Path, out: Path, most: int | None = None) -> dict[str, Any]:
    """Figures per task: "untrained", "baseline", "constant". most: reviews, drawn by seed; None: all."""
    wanted = SHOPS[name]
    settings = write_task_rows(name, wanted.tasks, root, out, most)
    encoder = Kept(settings, wanted.max_length)
    began = time.monotonic()
    fit_heads(wanted.tasks, out / "rows", encoder, encoder, out / "heads")
    ours = judge_heads(wanted.tasks, out / "rows", encoder, open_heads(out / "heads"))
    seconds = {"untrained": round(time.monotonic() - began, 1)}
    began = time.monotonic()
    simple = judge_baselines(wanted.tasks, out / "rows")
    seconds["baseline"] = round(time.monotonic() - began, 1)
    tasks = {task.name: _figures(task, ours[task.name], simple[task.name]) for task in wanted.tasks}
    return {"tasks": tasks, "seconds_of": seconds}


def write_task_rows(
    name: str,
    tasks: tuple[Task, ...],
    root: Path,
    out: Path,
    most: int | None = None,
    shuffled: bool = False,
) -> Settings:
    """The tasks' rows into `out`/rows; returns the settings. most: see `frozen`. shuffled: items are held
    out whatever their ids, which in womens_clothing go by department."""
    settings = open_shop(name, str(root), str(out)).settings
    checked, cut = out / "checked", out / "split"
    for folder in (out / "loaded", checked, cut):
        folder.mkdir(parents=True, exist_ok=True)
    load(settings, root, out, out / "loaded")
    inspect(out / "loaded", settings.quality, checked)
    reviews = checked / "reviews.parquet"
    if most is not None and reviews.is_file():
        pl.read_parquet(reviews).sample(most, seed=0).write_parquet(reviews)
    if SHOPS[name].judged:
        split(checked, settings.split, cut)
    else:
        _hold_out(checked, cut, settings, shuffled)
    write_rows(tasks, checked, cut, out / "rows")
    return settings


def _figures(task: Task, ours: pl.DataFrame, simple: pl.DataFrame) -> dict[str, Any]:
    return {
        "metric": task.measured[0],
        "untrained": measured(task, ours),
        "baseline": measured(task, simple),
        "constant": measured(task, simple.with_columns(answer=pl.col("constant"))),
    }


def _hold_out(checked: Path, cut: Path, settings: Settings, shuffled: bool) -> None:
    """A split of items alone. Each is its own duplicate group: the titles here are kinds, not names."""
    items = pl.read_parquet(checked / "items.parquet").with_columns(group=pl.col("item_id")).sort("item_id")
    held = hold_out_items(items, settings.split)
    if shuffled:
        flags = held.select("is_new", "is_validation_new")
        held = held.with_columns(flags.sample(fraction=1.0, shuffle=True, seed=0))
    held.write_parquet(cut / "items.parquet")
    (cut / "split.json").write_text(
        json.dumps({"validation_cutoff": None, "cutoff": None, "judged_until": None})
    )


class Kept:
    """The base encoder; a text that was encoded once is not encoded again."""

    def __init__(self, settings: Settings, max_length: int) -> None:
        chosen = settings.encoder.model_copy(update={"max_length": max_length})
        self._encoder = TransformerEncoder.load(resolve_base(chosen), chosen)
        self._vectors: dict[str, np.ndarray] = {}
        self.digest = self._encoder.digest

    def encode_items(self, texts: Sequence[str]) -> np.ndarray:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors.update(zip(missing, self._encoder.encode_catalogue(missing), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    encode_queries = encode_items
