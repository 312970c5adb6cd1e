"""What the ranks of a training are told: examples, from the cache where nothing changed, and settings."""

from dataclasses import dataclass
from pathlib import Path

from components.contract.settings import Settings
from components.encoder.base import resolve_base
from components.training.examples import PreparedExamples
from components.training.pairs import TrainingPart
from components.training.spec import TrainingSpec
from flows import stages
from flows.run import Data, Run


@dataclass(frozen=True)
class Miner:
    """The encoder that hard negatives are mined with: the champion's."""

    digest: str
    encoder: Path
    vectors: Path
    """Folder of its catalogue."""


def prepared_examples(
    run: Run, data: Data, settings: Settings, miner: Miner, part: TrainingPart
) -> tuple[PreparedExamples, Path]:
    base = run.fingerprint["base_weights"]
    options = [settings.encoder, settings.training, settings.augment]
    return run.cached(
        stages.prepare_training_examples,
        "examples",
        [data.prepared.digest, miner.digest, base, options, part],
        split_folder=data.split,
        settings=settings,
        miner=miner.encoder,
        vectors=miner.vectors,
        part=part,
    )


def training_spec(
    run: Run,
    data: Data,
    settings: Settings,
    examples: tuple[PreparedExamples, Path],
    *,
    epochs: int | None = None,
    interim: int = 0,
) -> TrainingSpec:
    """With validation where `epochs` is open, else exactly so many epochs."""
    return TrainingSpec(
        base=str(resolve_base(settings.encoder)),
        base_digest=run.fingerprint["base_weights"],
        encoder=settings.encoder,
        training=settings.training,
        augment=settings.augment,
        examples=str(examples[1]),
        examples_digest=examples[0].digest,
        validation=None if epochs else str(data.split),
        primary=data.prepared.entrances[0],
        epochs=epochs or settings.training.max_epochs,
        interim=interim,
    )
