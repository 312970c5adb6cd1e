"""An encoder trained on tasks' labels alone, by the product's module: a shop that has nothing to search by.

`debut retrain` cannot do this: split, judge and gate need judged searches or purchases.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch.utils.data import DataLoader

from components.contract.learning import EncoderSettings, TrainingSettings
from components.contract.task import Task
from components.encoder.base import resolve_base
from components.encoder.transformer import TransformerEncoder
from components.tasks.coding import Coding
from components.tasks.modules import joint_loss
from components.training.data import OneLoader
from components.training.fit import trainer_of
from components.training.module import ContrastiveModule
from components.training.ragged import Ragged
from components.training.task_examples import TaskExamples, with_task_rows


class _LabelsAlone(ContrastiveModule):
    def training_step(self, batch: Any, _batch_index: int) -> Any:
        return self._task_losses(self._encode(batch.texts), batch)


def trained_on_labels(
    settings: EncoderSettings,
    labelled: Sequence[tuple[Task, Sequence[str], Sequence[Any]]],
    *,
    steps: int,
    rows: int,
    seed: int = 0,
) -> TransformerEncoder:
    """labelled: tasks with their texts and targets; rows: of each task per step, drawn anew."""
    encoder = TransformerEncoder.load(resolve_base(settings), settings)
    examples, losses = [], []
    for task, texts, targets in labelled:
        coding = Coding.of(task, targets)
        codes = coding.encode(task, targets)
        weights = coding.class_weights(task, codes)
        examples.append(TaskExamples(task, Ragged.of(encoder.tokenize(list(texts), "item")), codes, weights))
        losses.append(joint_loss(task, encoder.dimensions, weights))
    training = TrainingSettings(precision="fp32", seed=seed)
    batches = []
    for step in range(steps):
        drawn, of_tasks = with_task_rows([], examples, rows, seed=seed, step=step, rank=0, ranks=1)
        batches.append(SimpleNamespace(step=step, texts=drawn, tasks=of_tasks))
    module = _LabelsAlone(encoder, training, steps, losses)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = trainer_of(Path(scratch) / "precision.json", training, 1, [])
        trainer.fit(module, datamodule=OneLoader(DataLoader(batches, batch_size=None)))
    encoder.model.eval()
    return encoder
