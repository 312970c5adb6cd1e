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
from components.tasks.baselines import baseline_answers
from components.tasks.fit import fit_head, fit_heads
from components.tasks.heads import open_heads
from components.tasks.judging import judge_baselines, judge_heads
from components.tasks.rows import read_rows, write_rows
from flows.shop import open_shop

FEW = (8, 32)
"""Labels per class."""
DRAWS = 5
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
    few: str | None = None
    """The task that is also learned from few labels."""


SHOPS = {
    "womens_clothing": Frozen(
        (load_task("sentiment"), _of_reviews("department", 2), _of_reviews("class", 3)),
        max_length=96,
        judged=False,
        few="department",
    ),
    "online_retail": Frozen((load_task("price"),), max_length=32),
    "best_buy": Frozen((load_task("price"),), max_length=96),
}


def frozen(name: str, root: Path, out: Path, most: int | None = None) -> dict[str, Any]:
    """Figures per task: "untrained", "baseline", "constant". most: reviews, drawn by seed; None: all."""
    wanted = SHOPS[name]
    settings = open_shop(name, str(root), str(out)).settings
    checked, cut = out / "checked", out / "split"
    for folder in (out / "loaded", checked, cut):
        folder.mkdir(parents=True, exist_ok=True)
    load(settings, root, out, out / "loaded")
    inspect(out / "loaded", settings.quality, checked)
    reviews = checked / "reviews.parquet"
    if most is not None and reviews.is_file():
        pl.read_parquet(reviews).sample(most, seed=0).write_parquet(reviews)
    if wanted.judged:
        split(checked, settings.split, cut)
    else:
        _hold_out(checked, cut, settings)
    write_rows(wanted.tasks, checked, cut, out / "rows")
    encoder = _Kept(settings, wanted.max_length)
    began = time.monotonic()
    fit_heads(wanted.tasks, out / "rows", encoder, encoder, out / "heads")
    ours = judge_heads(wanted.tasks, out / "rows", encoder, open_heads(out / "heads"))
    seconds = {"untrained": round(time.monotonic() - began, 1)}
    began = time.monotonic()
    simple = judge_baselines(wanted.tasks, out / "rows")
    seconds["baseline"] = round(time.monotonic() - began, 1)
    tasks = {task.name: _figures(task, ours[task.name], simple[task.name]) for task in wanted.tasks}
    found: dict[str, Any] = {"tasks": tasks, "seconds_of": seconds}
    for task in wanted.tasks:
        if task.name == wanted.few:
            found["few_labels"] = {task.name: _few_labels(task, out / "rows", encoder)}
    return found


def _figures(task: Task, ours: pl.DataFrame, simple: pl.DataFrame) -> dict[str, Any]:
    return {
        "metric": task.measured[0],
        "untrained": measured(task, ours),
        "baseline": measured(task, simple),
        "constant": measured(task, simple.with_columns(answer=pl.col("constant"))),
    }


def _hold_out(checked: Path, cut: Path, settings: Settings) -> None:
    """A split of items alone. Each is its own duplicate group: the titles here are kinds, not names."""
    items = pl.read_parquet(checked / "items.parquet").with_columns(group=pl.col("item_id")).sort("item_id")
    hold_out_items(items, settings.split).write_parquet(cut / "items.parquet")
    (cut / "split.json").write_text(
        json.dumps({"validation_cutoff": None, "cutoff": None, "judged_until": None})
    )


class _Kept:
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


def _few_labels(task: Task, rows: Path, encoder: _Kept) -> dict[str, Any]:
    """{labels per class: {system: mean accuracy over DRAWS draws on all test rows}}"""
    train, test = read_rows(rows, task, "train", "judge"), read_rows(rows, task, "test", "judge")
    found = {}
    for count in FEW:
        scores: dict[str, list[float]] = {"untrained": [], "baseline": []}
        for seed in range(DRAWS):
            drawn = train.sample(fraction=1.0, shuffle=True, seed=seed).group_by("target").head(count)
            targets, texts = drawn["target"].to_list(), test["text"].to_list()
            head = fit_head(task, encoder.encode_items(drawn["text"].to_list()), targets)
            best = head.probabilities(encoder.encode_items(texts)).argmax(axis=1)
            answers = {
                "untrained": np.asarray(head.labels)[best],
                "baseline": baseline_answers(task, drawn, texts)[:, 0],
            }
            for name, answered in answers.items():
                scores[name].append(float((answered == test["target"].to_numpy()).mean()))
        found[str(count)] = {name: round(float(np.mean(of)), 4) for name, of in scores.items()}
    return found
