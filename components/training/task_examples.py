"""Rows of tasks beside the pairs of a step: tokenised once, drawn anew for every step.

<examples>/tasks/<task>.safetensors   tokens, targets as a head is trained on them, class weights
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from components.contract.files import disk_errors
from components.contract.task import Task
from components.encoder.batches import TextKind
from components.encoder.transformer import TransformerEncoder
from components.tasks.coding import Coding
from components.tasks.rows import read_rows
from components.training.ragged import Integers, Ragged

FOLDER = "tasks"
_ROWS = 4
"""First entry of the seed of this random stream; the others are in batches.py."""


@dataclass(frozen=True, eq=False)
class TaskExamples:
    """n rows of one task, k outputs of its head."""

    task: Task
    tokens: Ragged
    targets: NDArray[np.int64] | NDArray[np.float64]
    """(n,)"""
    class_weights: NDArray[np.float64]
    """(k,)"""

    def draw(self, size: int, *, seed: int, step: int, rank: int, ranks: int) -> Integers:
        """Row numbers of a rank's share of `size` rows (at least one per rank, as many for each), decided by
        the task's name, the seed and the step alone."""
        share = max(1, size // ranks)
        if self.task.loss == "contrastive" and ranks > 1 and share > 1:
            share -= share % 2  # a row and its other one are compared on one rank
        stream = np.random.default_rng((_ROWS, seed, step, *self.task.name.encode()))
        rows = stream.choice(len(self.tokens), share * ranks, replace=share * ranks > len(self.tokens))
        if self.task.loss == "contrastive":  # every other row stands beside one of its label
            rows[1::2] = self._others_alike(rows[: len(rows) - 1 : 2], stream)
        return rows[rank * share : (rank + 1) * share].astype(np.int64)

    def _others_alike(self, rows: Integers, stream: np.random.Generator) -> Integers:
        """Of each row another one with its label, drawn; itself where it is the only one, which dropout shows
        to the encoder as two (Gao et al. 2021, "SimCSE", section 3)."""
        order = np.argsort(self.targets, kind="stable")
        sought, own = self.targets[order], np.argsort(order, kind="stable")[rows]
        first = np.searchsorted(sought, self.targets[rows], side="left")
        count = np.searchsorted(sought, self.targets[rows], side="right") - first
        shift = 1 + stream.integers(np.maximum(count - 1, 1))
        found: Integers = order[first + (own - first + shift) % count]
        return found


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """One rank's rows of one task in a step."""

    places: Integers
    """(m,) positions in the batch's texts."""
    targets: NDArray[np.int64] | NDArray[np.float64]
    """(m,)"""


def trained_with(tasks: Sequence[Task]) -> list[Task]:
    """Those whose loss reaches the encoder."""
    return [task for task in tasks if task.weight > 0]


def prepare_task_examples(tasks: Sequence[Task], rows: Path, base: TransformerEncoder, out: Path) -> None:
    """Writes the training rows of all tasks that train the encoder into `out`."""
    for task in trained_with(tasks):
        frame = read_rows(rows, task, "train", reader="training")
        targets = frame.get_column("target").to_list()
        coding = Coding.of(task, targets)
        codes = coding.encode(task, targets)
        kind: TextKind = "query" if task.of_queries else "item"
        tokens = Ragged.of(base.tokenize(frame.get_column("text").to_list(), kind))
        arrays = {"values": tokens.values, "offsets": tokens.offsets, "targets": codes}
        arrays["class_weights"] = coding.class_weights(task, codes)
        with disk_errors(out):
            (out / FOLDER).mkdir(parents=True, exist_ok=True)
            save_file(arrays, out / FOLDER / f"{task.name}.safetensors")


def read_task_examples(tasks: Sequence[Task], examples: Path) -> list[TaskExamples]:
    found = []
    for task in trained_with(tasks):
        arrays = load_file(examples / FOLDER / f"{task.name}.safetensors")
        tokens = Ragged(arrays["values"], arrays["offsets"])
        found.append(TaskExamples(task, tokens, arrays["targets"], arrays["class_weights"]))
    return found


def with_task_rows(
    texts: list[list[int]],
    examples: Sequence[TaskExamples],
    size: int,
    *,
    seed: int,
    step: int,
    rank: int,
    ranks: int,
) -> tuple[list[list[int]], tuple[TaskBatch, ...]]:
    """A step's texts with each task's drawn ones behind them, and where these stand."""
    texts, batches = list(texts), []
    for one in examples:
        rows = one.draw(size, seed=seed, step=step, rank=rank, ranks=ranks)
        places = np.arange(len(texts), len(texts) + len(rows), dtype=np.int64)
        texts += [one.tokens[row].tolist() for row in rows]
        batches.append(TaskBatch(places, one.targets[rows]))
    return texts, tuple(batches)
