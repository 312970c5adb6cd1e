"""One training by the product's own call on a benchmark's split, with other settings than its shop's."""

from pathlib import Path
from typing import Any

from recall_shop import BenchShop

from components.contract.records import TrainedModel
from components.contract.settings import AugmentSettings, EncoderSettings, TrainingSettings
from components.encoder.base import base_digest, resolve_base
from components.encoder.transformer import TransformerEncoder
from components.training.launch import train
from components.training.prepare import prepare_examples
from components.training.spec import TrainingSpec


def base_encoder(bench: BenchShop, settings: EncoderSettings | None = None) -> TransformerEncoder:
    """The shop's encoder as it was downloaded."""
    settings = settings or bench.settings.encoder
    return TransformerEncoder.load(resolve_base(settings), settings)


def train_from_base(
    bench: BenchShop,
    folder: Path,
    training: TrainingSettings,
    augment: AugmentSettings | None = None,
    miner: Any = None,
    encoder_settings: EncoderSettings | None = None,
) -> tuple[TransformerEncoder, TrainedModel]:
    """The epoch is chosen on validation. miner: the encoder that mines hard negatives; None: the base.
    folder: of this training alone; one that was killed goes on from there."""
    augment, used = augment or bench.settings.augment, encoder_settings or bench.settings.encoder
    encoder = base_encoder(bench, used)
    prepared = prepare_examples(
        bench.split,
        folder / "examples",
        base=encoder,
        training=training,
        augment=augment,
        champion=miner or encoder,
    )
    spec = TrainingSpec(
        base=str(resolve_base(used)),
        base_digest=base_digest(used),
        encoder=used,
        training=training,
        augment=augment,
        examples=str(folder / "examples"),
        examples_digest=prepared.digest,
        validation=str(bench.split),
        primary=bench.entrance,
        epochs=training.max_epochs,
    )
    trained = train(spec, folder / "work", folder / "out")
    return TransformerEncoder.load_saved(folder / "out" / "encoder"), trained
