"""Settings that the encoder's layers and dimensions limit. Imports nothing heavy.

A flow looks at the base's config.json before anything is computed; the ranks look again, at the model itself.
"""

from pathlib import Path

from components.contract.errors import ConfigError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder.base import base_size


def check_base_size(base: Path, encoder: EncoderSettings, training: TrainingSettings) -> None:
    """Raises ConfigError, and EncoderError where config.json cannot be read."""
    size = base_size(base)
    if size.layers is not None:
        check_frozen_layers(training, size.layers)
    if dimensions := encoder.dimensions or size.dimensions:
        check_matryoshka(training, dimensions)


def check_frozen_layers(training: TrainingSettings, layers: int) -> None:
    """Raises ConfigError where no layer would be left to train."""
    if training.frozen_layers and training.frozen_layers >= layers:
        raise ConfigError(
            f"training.frozen_layers: {training.frozen_layers}, but the encoder has {layers} layers; leave "
            f"at least one to train."
        )


def check_matryoshka(training: TrainingSettings, dimensions: int) -> None:
    """Raises ConfigError for a size that the encoder's vectors do not have in them."""
    for count in training.matryoshka_dimensions:
        if count >= dimensions:
            raise ConfigError(
                f"training.matryoshka_dimensions: {count} is not below the encoder's {dimensions} "
                f"dimensions; leave it out."
            )
