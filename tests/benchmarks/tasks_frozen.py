"""`make bench-tasks` on real shops: heads on the encoder as it was downloaded and, where there is nothing to
search by, on one that the tasks' losses trained; beside the baselines."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from labels_alone import trained_on_labels

from components.contract.learning import EncoderSettings
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
from components.tasks.heads import Head, open_heads
from components.tasks.judging import judge_baselines, judge_heads
from components.tasks.rows import read_rows, write_rows
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
    """False: nothing to judge search with, so items are held out by chance."""
    steps: int = 0
    """Of training on the labels alone; 0: the encoder is not trained."""
    rows: int = 8
    """Of each task per step."""


SHOPS = {
    "womens_clothing": Frozen(
        (load_task("sentiment"), _of_reviews("department", 2), _of_reviews("class", 3)),
        max_length=96,
        judged=False,
        steps=200,
    ),
    "online_retail": Frozen((load_task("price"),), max_length=32),
    "best_buy": Frozen((load_task("price"),), max_length=96),
}


def frozen(
    name: str, root: Path, out: Path, most: int | None = None, tasks: str = "", **training: int
) -> dict[str, Any]:
    """Figures per task: "untrained", "multi_task" – each also "…_vectors_alone", its words left out –,
    "baseline", "constant", "words_share" of the heads, and "seconds" per system: a text that several
    tasks read is encoded in the time of the first of them. "training_seconds": of the encoder, by all
    tasks. most: reviews, drawn by seed; None: all. tasks: these alone, by comma. training: other `steps`
    or `rows`."""
    wanted = replace(SHOPS[name], **training)
    if tasks:
        wanted = replace(wanted, tasks=tuple(task for task in wanted.tasks if task.name in tasks.split(",")))
    settings = write_task_rows(name, wanted.tasks, root, out, most)
    chosen = settings.encoder.model_copy(update={"max_length": wanted.max_length})
    systems: dict[str, dict[str, pl.DataFrame]] = {}
    released: dict[str, dict[str, Head]] = {}
    seconds: dict[str, dict[str, float]] = {}
    training = 0.0
    for system in ("untrained", "multi_task") if wanted.steps else ("untrained",):
        began = time.monotonic()
        encoder = Kept(_trained(wanted, chosen, out) if system == "multi_task" else untrained(chosen))
        training += time.monotonic() - began
        heads, systems[system], seconds[system] = timed(
            wanted.tasks, out / "rows", encoder, out / "heads" / system
        )
        released[system] = heads
        vectors_alone = {name: replace(head, words=None) for name, head in heads.items()}
        systems[f"{system}_vectors_alone"] = judge_heads(wanted.tasks, out / "rows", encoder, vectors_alone)
    simple, seconds["baseline"] = timed_baselines(wanted.tasks, out / "rows")
    figures = {
        task.name: {
            "metric": task.measured[0],
            **{system: measured(task, of[task.name]) for system, of in systems.items()},
            "words_share": {system: heads[task.name].words_share for system, heads in released.items()},
            "baseline": measured(task, simple[task.name]),
            "constant": measured(task, simple[task.name].with_columns(answer=pl.col("constant"))),
            "seconds": {system: of[task.name] for system, of in seconds.items()},
        }
        for task in wanted.tasks
    }
    return {"tasks": figures, "training_seconds": round(training, 1)}


def timed(
    tasks: Sequence[Task], rows: Path, encoder: Any, out: Path
) -> tuple[dict[str, Head], dict[str, pl.DataFrame], dict[str, float]]:
    """Of each task the head, its answers to the test rows, and the seconds that both took."""
    answers: dict[str, pl.DataFrame] = {}
    seconds = {}
    for task in tasks:
        began = time.monotonic()
        fit_heads([task], rows, encoder, encoder, out)
        answers |= judge_heads([task], rows, encoder, open_heads(out))
        seconds[task.name] = round(time.monotonic() - began, 1)
    return open_heads(out), answers, seconds


def timed_baselines(tasks: Sequence[Task], rows: Path) -> tuple[dict[str, pl.DataFrame], dict[str, float]]:
    answers: dict[str, pl.DataFrame] = {}
    seconds = {}
    for task in tasks:
        began = time.monotonic()
        answers |= judge_baselines([task], rows)
        seconds[task.name] = round(time.monotonic() - began, 1)
    return answers, seconds


def untrained(settings: EncoderSettings) -> TransformerEncoder:
    return TransformerEncoder.load(resolve_base(settings), settings)


def _trained(wanted: Frozen, settings: EncoderSettings, out: Path) -> TransformerEncoder:
    labelled = []
    for task in wanted.tasks:
        rows = read_rows(out / "rows", task, "train", reader="fit")
        labelled.append((task, rows.get_column("text").to_list(), rows.get_column("target").to_list()))
    return trained_on_labels(settings, labelled, steps=wanted.steps, rows=wanted.rows)


def write_task_rows(
    name: str,
    tasks: tuple[Task, ...],
    root: Path,
    out: Path,
    most: int | None = None,
) -> Settings:
    """The tasks' rows into `out`/rows; returns the settings. most: see `frozen`."""
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
        _hold_out(checked, cut, settings)
    write_rows(tasks, checked, cut, out / "rows")
    return settings


def _hold_out(checked: Path, cut: Path, settings: Settings) -> None:
    """A split of items alone, by chance: ids go by department here. Each is its own duplicate group: the
    titles are kinds, not names."""
    items = pl.read_parquet(checked / "items.parquet").with_columns(group=pl.col("item_id")).sort("item_id")
    held = hold_out_items(items, settings.split)
    flags = held.select("is_new", "is_validation_new")
    held = held.with_columns(flags.sample(fraction=1.0, shuffle=True, seed=0))
    held.write_parquet(cut / "items.parquet")
    (cut / "split.json").write_text(
        json.dumps({"validation_cutoff": None, "cutoff": None, "judged_until": None})
    )


class Kept:
    """An encoder; a text that was encoded once is not encoded again."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        self._encoder = encoder
        self._vectors: dict[str, np.ndarray] = {}
        self.digest = self._encoder.digest

    def encode_items(self, texts: Sequence[str]) -> np.ndarray:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        self._vectors.update(zip(missing, self._encoder.encode_catalogue(missing), strict=True))
        return np.stack([self._vectors[text] for text in texts])

    encode_queries = encode_items
