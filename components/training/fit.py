"""One rank's run: read, train, and – on rank 0 – write the encoder and, last of all, the result."""

import json
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy

from components.contract.errors import TrainingError
from components.contract.files import write_json
from components.contract.learning import TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.encoder.variants import average
from components.tasks.modules import joint_loss
from components.training.adapters import merge_adapters, with_prompt
from components.training.attempts import Attempt, Result, newest_checkpoint, read_attempt
from components.training.batches import steps_per_epoch
from components.training.callbacks import EpochEnd, Metrics, StepCheckpoint, interim_steps
from components.training.data import OneLoader, PairLoader
from components.training.examples import read_examples
from components.training.module import ContrastiveModule
from components.training.precision import settled_precision
from components.training.spec import TrainingSpec, read_spec
from components.training.task_examples import TaskExamples, read_task_examples
from components.training.validation import read_validation

logger = logging.getLogger(__name__)
FEWEST_COMPARED = 4
"""Rows of a task with a contrastive loss that a rank needs: two labels, twice each."""


def run_rank(attempt_folder: Path, extra: Sequence[Callback] = ()) -> None:
    """Trains as the rank that the environment names (torchrun's RANK, WORLD_SIZE; alone without them).

    Continues from the attempt's checkpoint where there is one. `extra`: callbacks for tests.
    """
    attempt = read_attempt(attempt_folder)
    spec = read_spec(attempt.spec, TrainingSpec)
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    encoder = with_prompt(TransformerEncoder.load(Path(spec.base), spec.encoder), spec.training)
    examples = read_examples(Path(spec.examples))
    per_epoch = steps_per_epoch(examples, spec.training, ranks)
    if not per_epoch:
        raise TrainingError(f"{len(examples)} training pairs are too few for {ranks} ranks; set fewer ranks.")
    steps = spec.epochs * per_epoch
    tasks = read_task_examples(spec.tasks, Path(spec.examples))
    _check_compared(tasks, spec.training.task_rows, ranks)
    heads = [joint_loss(one.task, encoder.dimensions, one.class_weights) for one in tasks]
    module = ContrastiveModule(encoder, spec.training, steps, heads)
    loader = PairLoader(
        examples,
        spec.training,
        spec.augment,
        lambda texts: encoder.tokenize(texts, "query"),
        epochs=spec.epochs,
        rank=int(os.environ.get("RANK", "0")),
        ranks=ranks,
        tasks=tasks,
    )
    callbacks = _callbacks(attempt, spec, per_epoch)
    trainer = trainer_of(attempt.precision, spec.training, ranks, [*extra, *callbacks])
    trainer.fit(module, datamodule=OneLoader(loader), ckpt_path=newest_checkpoint(attempt), weights_only=True)
    if trainer.is_global_zero:
        _finish(attempt, trainer, module, callbacks, base=Path(spec.base), pairs=len(examples))


def _check_compared(tasks: Sequence[TaskExamples], rows: int, ranks: int) -> None:
    """The contrastive loss compares a rank's own rows; with two of them there is nothing to learn."""
    for one in tasks:
        if one.task.loss == "contrastive" and rows // ranks < FEWEST_COMPARED:
            raise TrainingError(
                f"training.task_rows: {rows} rows a step are too few for task {one.task.name}, whose loss "
                f"compares the rows of a rank, on {ranks} ranks; set at least {FEWEST_COMPARED * ranks}."
            )


def _callbacks(
    attempt: Attempt, spec: TrainingSpec, per_epoch: int
) -> tuple[Metrics, EpochEnd, StepCheckpoint]:
    validation = None
    if spec.validation is not None:
        validation = read_validation(Path(spec.validation), spec.encoder, spec.training)
    steps = spec.epochs * per_epoch
    metrics = Metrics(attempt.metrics, steps)
    epoch_end = EpochEnd(
        attempt,
        metrics,
        validation,
        steps_per_epoch=per_epoch,
        primary=spec.primary,
        patience=spec.training.patience,
        interim=interim_steps(steps, spec.interim),
    )
    every = spec.training.checkpoint_every_steps
    return metrics, epoch_end, StepCheckpoint(attempt, every=every, steps_per_epoch=per_epoch, steps=steps)


def trainer_of(
    precision_file: Path, settings: TrainingSettings, ranks: int, callbacks: list[Callback]
) -> Trainer:
    """Lightning's trainer for one pass over a loader that is cut into steps and shards already."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = settled_precision(precision_file, settings, device)
    nodes = ranks // int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    threads = torch.get_num_threads()
    logger.info("%s, %d ranks on %d nodes, %d threads each", precision.reason, ranks, nodes, threads)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # of torch, about its own internals
    return Trainer(
        accelerator=device,
        devices=ranks // nodes,
        num_nodes=nodes,
        # gloo on CPUs, nccl on GPUs. Gradients lie in what is sent: a copy less, 0.3 GB of MiniLM's two
        # ranks.
        strategy=DDPStrategy(gradient_as_bucket_view=True) if ranks > 1 else "auto",
        precision=precision.lightning,
        max_epochs=1,  # one pass over all steps, see callbacks.py
        callbacks=callbacks,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def _finish(
    attempt: Attempt,
    trainer: Trainer,
    module: ContrastiveModule,
    callbacks: tuple[Metrics, EpochEnd, StepCheckpoint],
    base: Path,
    pairs: int,
) -> None:
    metrics, epoch_end, _ = callbacks
    epoch_end.restore_best(module.model)
    share, adapter_of = module.settings.fine_tuned_share, None
    if module.settings.adapter_only:
        adapter_of = module.encoder.settings
    else:
        merge_adapters(module.encoder)
    if share < 1.0:
        average(module.encoder, TransformerEncoder.load(base, module.encoder.settings), share)
    result = Result(
        token=attempt.token,
        encoder_digest=module.encoder.save(attempt.model, adapter_of),
        epochs=epoch_end.best_epoch,
        steps=trainer.global_step,
        pairs=pairs,
        seconds=metrics.seconds,
        best_validation_recall=epoch_end.best_recall,
    )
    write_json(attempt.result, json.loads(result.model_dump_json()))
