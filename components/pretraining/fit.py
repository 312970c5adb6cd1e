"""One rank's pretraining run: read, train, and – on rank 0 – write the model and, last of all, the result."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from lightning.pytorch import Callback, Trainer

from components.contract.errors import TrainingError
from components.contract.files import disk_errors, write_json
from components.contract.pretraining import PretrainingSettings
from components.encoder.base import SETTINGS_FILE, folder_digest
from components.encoder.transformer import TransformerEncoder, longest_text
from components.pretraining.batches import Masking, TextLoader, Tokens
from components.pretraining.corpus import DESCRIPTION, PAIRS, TEXTS, Corpus
from components.pretraining.held_out import HeldOut
from components.pretraining.module import PretrainingModule
from components.pretraining.spec import PROVENANCE, Pretrained, PretrainingSpec, read_pretrained
from components.pretraining.start import Start, load_start
from components.training.attempts import Attempt, Result, newest_checkpoint, read_attempt
from components.training.callbacks import Metrics, StepCheckpoint
from components.training.data import OneLoader
from components.training.fit import trainer_of
from components.training.spec import read_spec


def run_rank(attempt_folder: Path, extra: Sequence[Callback] = ()) -> None:
    """Pretrains as the rank that the environment names (torchrun's RANK, WORLD_SIZE; alone without them).

    Continues from the attempt's checkpoint where there is one. `extra`: callbacks for tests.
    """
    attempt = read_attempt(attempt_folder)
    spec = read_spec(attempt.spec, PretrainingSpec)
    settings = spec.pretraining
    start = load_start(Path(spec.start), settings.seed)
    limits = [settings.max_length, start.tokenizer.model_max_length]
    longest = min(*limits, longest_text(start.model.config))
    wide = spec.encoder.model_copy(update={"max_length": longest})
    encoder = start.encoder(wide, Path(spec.start))
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    masking = Masking(start.tokenizer, settings.masked_share)
    texts, pairs = _read(Path(spec.corpus), encoder, held_out=False)
    _check_batch(settings, ranks, matches=bool(settings.matching_weight and pairs[0]))
    loader = TextLoader(
        texts,
        pairs,
        masking,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
        rank=int(os.environ.get("RANK", "0")),
        ranks=ranks,
    )
    head_steps = round(settings.head_share * len(loader)) if start.fresh_head else 0
    metrics = Metrics(attempt.metrics, len(loader), unit="texts")
    held_out = HeldOut(
        *_read(Path(spec.corpus), encoder, held_out=True),
        masking,
        metrics,
        head_steps=head_steps,
        steps_per_epoch=loader.steps_per_epoch,
    )
    checkpoint = StepCheckpoint(
        attempt,
        every=settings.checkpoint_every_steps,
        steps_per_epoch=loader.steps_per_epoch,
        steps=len(loader),
    )
    trainer = trainer_of(attempt.precision, spec.training, ranks, [*extra, metrics, held_out, checkpoint])
    module = PretrainingModule(start.model, encoder, settings, len(loader), head_steps)
    trainer.fit(module, datamodule=OneLoader(loader), ckpt_path=newest_checkpoint(attempt), weights_only=True)
    if trainer.is_global_zero:
        _finish(attempt, spec, start, trainer, held_out, metrics, head_steps)


def _check_batch(settings: PretrainingSettings, ranks: int, *, matches: bool) -> None:
    """A rank compares its own titles alone; with one of them there is nothing to learn."""
    least = (2 if matches else 1) * ranks
    if settings.batch_size < least:
        raise TrainingError(
            f"pretraining.batch_size: {settings.batch_size} are too few for {ranks} ranks, each of which "
            f"needs {least // ranks}; set at least {least}, or fewer ranks."
        )


def _read(
    corpus: Path, encoder: TransformerEncoder, *, held_out: bool
) -> tuple[Tokens, tuple[Tokens, Tokens]]:
    """Tokens of one side's texts, and of its titles with their descriptions."""
    texts = pl.read_parquet(corpus / TEXTS).filter(pl.col("held_out") == held_out)
    pairs = pl.read_parquet(corpus / PAIRS).filter(pl.col("held_out") == held_out)
    # All of them as items: a prefix that the encoder is told queries by is no part of their words.
    tokens = (
        encoder.tokenize(frame.to_list(), "item")
        for frame in (texts["text"], pairs["title"], pairs["description"])
    )
    plain, titles, descriptions = tokens
    return plain, (titles, descriptions)


def _finish(
    attempt: Attempt,
    spec: PretrainingSpec,
    start: Start,
    trainer: Trainer,
    held_out: HeldOut,
    metrics: Metrics,
    head_steps: int,
) -> None:
    """Saved with its head, which plain encoders leave out when they load it: a later pretraining goes on."""
    corpus = Corpus.model_validate(json.loads((Path(spec.corpus) / DESCRIPTION).read_text()))
    if held_out.before is None or held_out.after is None:
        raise AssertionError("a run has a start and an end")
    with disk_errors(attempt.model):
        start.model.save_pretrained(attempt.model)
        start.tokenizer.save_pretrained(attempt.model)
    write_json(attempt.model / SETTINGS_FILE, spec.encoder.model_dump(mode="json"))
    earlier = read_pretrained(Path(spec.start))  # what it read, these weights have read too
    pretrained = Pretrained(
        start=spec.encoder.name if spec.pretraining.start == "encoder" else "scratch",
        start_digest=spec.start_digest,
        corpus_digest=spec.corpus_digest,
        items=tuple(sorted({*corpus.items, *(earlier.items if earlier else ())})),
        queries=_queries(corpus, earlier),
        settings=spec.pretraining,
        head_steps=head_steps,
        before=held_out.before,
        after=held_out.after,
    )
    write_json(attempt.model / PROVENANCE, pretrained.model_dump(mode="json"))
    result = Result(
        token=attempt.token,
        encoder_digest=folder_digest(attempt.model, spec.encoder),
        epochs=spec.pretraining.epochs,
        steps=trainer.global_step,
        pairs=sum(corpus.texts.values()) - corpus.held_out,
        seconds=metrics.seconds,
        best_validation_recall=None,
    )
    write_json(attempt.result, json.loads(result.model_dump_json()))


def _queries(corpus: Corpus, earlier: Pretrained | None) -> tuple[str, ...] | None:
    """None where an earlier pretraining did not note its own."""
    before = earlier.queries if earlier else ()
    return None if before is None else tuple(sorted({*corpus.queries, *before}))
