"""What happens between steps: metrics, validation at an epoch's end, checkpoints – in this order.

To Lightning the whole run is one epoch: one pass over a loader whose position is the optimizer step. Epochs
are counted here, by steps. So there is one kind of resume (in the middle of a pass), instead of Lightning's
different ones at the start, in the middle and at the end of an epoch.
"""

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer
from safetensors.torch import load_file, save_file

from components.contract.files import disk_errors
from components.contract.records import Entrance
from components.encoder.transformer import TransformerEncoder
from components.training.attempts import Attempt, checkpoint_step
from components.training.batches import Batch
from components.training.module import ContrastiveModule
from components.training.validation import Validation, stopping_recall, validation_recall

logger = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 1.0


class Metrics(Callback):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Appends to metrics.jsonl, on rank 0; at most one line of a step per second, and one for the last.
    unit: what a batch's `pairs` counts."""

    def __init__(self, path: Path, steps: int, unit: str = "pairs") -> None:
        self._path, self._steps, self._unit = path, steps, unit
        self._seconds_before = 0.0
        self._start = self._last = time.perf_counter()
        self._pairs = 0

    @property
    def seconds(self) -> float:
        """Time since the run began, without the gaps between attempts."""
        return self._seconds_before + time.perf_counter() - self._start

    def on_train_start(self, trainer: Trainer, module: ContrastiveModule) -> None:  # noqa: ARG002
        self._start = self._last = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        module: ContrastiveModule,  # noqa: ARG002
        outputs: Any,
        batch: Batch,
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        self._pairs += batch.pairs
        now, step = time.perf_counter(), trainer.global_step
        if not trainer.is_global_zero or (now - self._last < SECONDS_BETWEEN_LINES and step < self._steps):
            return
        self.append(
            {
                "kind": "step",
                "step": step,
                "steps": self._steps,
                "loss": float(outputs["loss"]),  # of rank 0's shard
                "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
                f"{self._unit}_per_second": self._pairs / (now - self._last),
                "seconds": self.seconds,
            }
        )
        self._last, self._pairs = now, 0

    def append(self, line: dict[str, Any]) -> None:
        with disk_errors(self._path), self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._seconds_before = state["seconds"]


def interim_steps(steps: int, count: int) -> dict[int, int]:
    """The steps that part a run of `steps` into `count` + 1 equal shares, each with its number, from 1 on."""
    places = {round(steps * number / (count + 1)): number for number in range(1, count + 1)}
    return {step: number for step, number in places.items() if 0 < step < steps}


class EpochEnd(Callback):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Measures validation recall after each epoch, keeps the best epoch's weights and stops a run that has
    not improved for `patience` epochs. Rank 0 decides for all. At `interim` steps it measures and tells."""

    def __init__(
        self,
        attempt: Attempt,
        metrics: Metrics,
        validation: Validation | None,
        *,
        steps_per_epoch: int,
        primary: Entrance,
        patience: int,
        interim: Mapping[int, int] | None = None,
    ) -> None:
        self._attempt, self._metrics, self._validation = attempt, metrics, validation
        self._steps_per_epoch, self._primary, self._patience = steps_per_epoch, primary, patience
        self._interim = interim or {}
        self.epoch = 0
        self.best_epoch = 0
        self.best_recall: float | None = None

    def on_train_batch_end(self, trainer: Trainer, module: ContrastiveModule, *_: Any) -> None:
        step = trainer.global_step
        number, inside = self._interim.get(step), bool(step % self._steps_per_epoch)
        if inside and number is None:
            return
        recalls = self._recalls(trainer, module)
        recall = stopping_recall(recalls, self._primary)
        if number is not None and trainer.is_global_zero:
            self._metrics.append({"kind": "interim", "step": step, "interim": number, "recall": recall})
        if inside:
            return
        self.epoch = step // self._steps_per_epoch
        if recall is None and self._validation is not None:
            logger.warning("no validation request has a relevant item: the last epoch's weights are kept")
        self._keep(trainer, module, recall)
        if trainer.is_global_zero:
            line = {"kind": "epoch", "step": step, "epoch": self.epoch, "recall": recall}
            self._metrics.append(line | _named(recalls) | {"seconds": self._metrics.seconds})
        if recall is not None and self.epoch - self.best_epoch >= self._patience:
            trainer.should_stop = True

    def restore_best(self, model: torch.nn.Module) -> None:
        """Puts the best epoch's weights back, where it was not the last one."""
        if self.best_epoch != self.epoch:
            model.load_state_dict(load_file(self._weights(self.best_epoch)), strict=False)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "best_epoch": self.best_epoch, "best_recall": self.best_recall}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self.best_recall = state["best_recall"]

    def _recalls(
        self, trainer: Trainer, module: ContrastiveModule
    ) -> dict[Entrance, dict[str, float | None]]:
        if self._validation is None:
            return {}
        vectors = _encode_shared(module.encoder, self._validation.texts, trainer)
        found = None
        if trainer.is_global_zero:
            found = validation_recall(self._validation, vectors, module.encoder)
        recalls: dict[Entrance, dict[str, float | None]] = trainer.strategy.broadcast(found)
        return recalls

    def _keep(self, trainer: Trainer, module: ContrastiveModule, recall: float | None) -> None:
        if recall is not None and self.best_recall is not None and recall <= self.best_recall:
            return
        self.best_epoch, self.best_recall = self.epoch, recall
        if trainer.is_global_zero and recall is not None:
            trained = {n: p.detach().cpu() for n, p in module.model.named_parameters() if p.requires_grad}
            _write_and_replace(self._weights(self.epoch), lambda path: save_file(trained, path))

    def _weights(self, epoch: int) -> Path:
        return self._attempt.best / f"epoch-{epoch:04}.safetensors"


class StepCheckpoint(Callback):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Saves the run's whole state every `every` steps and at each epoch's end; keeps the newest only.

    Not after the last step: the result is about to be written. A file is renamed into place, so that what
    has a checkpoint's name is whole.
    """

    def __init__(self, attempt: Attempt, *, every: int, steps_per_epoch: int, steps: int) -> None:
        self._attempt, self._every = attempt, every
        self._steps_per_epoch, self._steps = steps_per_epoch, steps

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        step = trainer.global_step
        due = step % self._every == 0 or step % self._steps_per_epoch == 0
        if not due or trainer.should_stop or step == self._steps:
            return
        path = self._attempt.checkpoints / f"step-{step:08}.ckpt"
        temporary = path.with_suffix(".tmp")
        with disk_errors(path):
            trainer.save_checkpoint(temporary)  # all ranks take part, rank 0 writes
            if trainer.is_global_zero:
                temporary.replace(path)
                _remove_older(path)


class EndAtOnce(Callback):  # type: ignore[misc]  # lightning ships no types that mypy follows here
    """Lets SIGTERM end the process at once: all that is worth keeping is in the checkpoints, and Lightning's
    own handler talks to the other ranks, which may be gone."""

    def on_train_start(self, *_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _named(recalls: dict[Entrance, dict[str, float | None]]) -> dict[str, float | None]:
    return {f"{entrance}/{name}/recall@10": v for entrance, of in recalls.items() for name, v in of.items()}


def _encode_shared(
    encoder: TransformerEncoder, texts: tuple[str, ...], trainer: Trainer
) -> np.ndarray[Any, Any]:
    """(texts, d); every rank encodes its share, every R-th text from its own number on."""
    ranks = trainer.world_size
    share = -(-len(texts) // ranks)
    own = encoder.encode_items(texts[trainer.global_rank :: ranks])
    padded = torch.zeros((share, own.shape[1]), device=encoder.device)
    padded[: len(own)] = torch.from_numpy(own)
    gathered = trainer.strategy.all_gather(padded).reshape(ranks, share, -1)  # (R, share, d)
    vectors: np.ndarray[Any, Any] = gathered.transpose(0, 1).reshape(ranks * share, -1).cpu().numpy()
    return vectors[: len(texts)]


def _write_and_replace(path: Path, write: Callable[[Path], None]) -> None:
    temporary = path.with_suffix(".tmp")
    with disk_errors(path):
        path.parent.mkdir(exist_ok=True)
        write(temporary)
        os.replace(temporary, path)  # noqa: PTH105 – reads as one act with the line above


def _remove_older(newest: Path) -> None:
    for path in newest.parent.glob("step-*.ckpt"):
        if checkpoint_step(path) < checkpoint_step(newest):
            path.unlink()
