"""The run's batches as Lightning takes them, with a position that a checkpoint can hold."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule

from components.contract.learning import AugmentSettings, TrainingSettings
from components.training.batches import (
    Batch,
    Step,
    Tokenizer,
    epoch_noise,
    epoch_plan,
    log_expected,
    rank_batch,
    steps_per_epoch,
)
from components.training.examples import Examples
from components.training.task_examples import TaskExamples, with_task_rows


class PairLoader:
    """All steps of a run, epoch after epoch, for one rank.

    Its state is the number of steps handed out: `load_state_dict` makes the next pass begin there.
    """

    def __init__(
        self,
        examples: Examples,
        training: TrainingSettings,
        augment: AugmentSettings,
        tokenize: Tokenizer,
        *,
        epochs: int,
        rank: int,
        ranks: int,
        tasks: Sequence[TaskExamples] = (),
    ) -> None:
        self._tasks = tasks
        self._examples, self._training, self._augment = examples, training, augment
        self._tokenize, self._rank, self._ranks = tokenize, rank, ranks
        self._per_epoch = steps_per_epoch(examples, training, ranks)
        self._steps = epochs * self._per_epoch
        self._position = 0
        self._shares = {
            int(kind): log_expected(examples, int(kind), training.logq_floor)
            if training.logq_correction
            else None
            for kind in np.unique(examples.kinds)
        }

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        for epoch in range(self._position // max(1, self._per_epoch), self._steps // max(1, self._per_epoch)):
            plan = epoch_plan(self._examples, self._training, epoch, self._ranks)
            noise = epoch_noise(self._examples, self._augment, self._training.seed, epoch)
            for number in range(self._position - epoch * self._per_epoch, self._per_epoch):
                step = Step(self._position, epoch, plan[number])
                self._position += 1
                batch = rank_batch(
                    self._examples,
                    step,
                    noise,
                    self._shares.get(int(self._examples.kinds[step.pairs[0]])),
                    self._tokenize,
                    seed=self._training.seed,
                    rank=self._rank,
                    ranks=self._ranks,
                )
                yield self._with_task_rows(batch)

    def _with_task_rows(self, batch: Batch) -> Batch:
        texts, tasks = with_task_rows(
            batch.texts,
            self._tasks,
            self._training.task_rows,
            seed=self._training.seed,
            step=batch.step,
            rank=self._rank,
            ranks=self._ranks,
        )
        return replace(batch, texts=texts, tasks=tasks)

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._position = state["position"]


class OneLoader(LightningDataModule):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Hands the one loader to the trainer, which must not wrap it: the ranks' shards are cut already."""

    def __init__(self, loader: Iterable[Any]) -> None:
        super().__init__()
        self._loader = loader

    def train_dataloader(self) -> Iterable[Any]:
        return self._loader

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:  # noqa: ARG002
        return batch  # its arrays become tensors where they are used
