"""What the ranks of one training run are told, as one JSON file."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from components.contract.errors import TrainingError
from components.contract.files import write_json
from components.contract.learning import AugmentSettings, EncoderSettings, TrainingSettings
from components.contract.records import Entrance, Record
from components.contract.task import Task


class RankSpec(Record):
    """What every kind of training run has: a package that is started as its ranks may add to it."""

    training: TrainingSettings


Spec = TypeVar("Spec", bound=RankSpec)


class TrainingSpec(RankSpec):
    """A fine-tuning run. Two with equal specifications and files give the same weights on one machine."""

    base: str
    """Folder of the encoder to start from."""
    base_digest: str
    encoder: EncoderSettings
    augment: AugmentSettings
    examples: str
    """Folder that `prepare_examples` wrote."""
    examples_digest: str
    validation: str | None
    """Split folder whose validation part chooses the epoch; None: train `epochs` epochs, keep the last."""
    primary: Entrance
    """Entrance whose validation recall decides."""
    epochs: int
    """At most so many; with no validation exactly so many."""
    tasks: tuple[Task, ...] = ()
    """Those of weight 0 do not train the encoder."""
    interim: int = 0
    """Validation recall is also measured at so many steps that part the run into equal shares, for who
    follows it: lines of kind "interim". It decides nothing here."""


def write_spec(path: Path, spec: RankSpec) -> Path:
    return write_json(path, spec.model_dump(mode="json"))


def read_spec(path: Path, kind: type[Spec]) -> Spec:
    """Raises TrainingError where the file is absent or no specification of that kind."""
    try:
        return kind.model_validate(json.loads(path.read_text()))
    except (OSError, ValueError, ValidationError) as error:
        raise TrainingError(
            f"{path} is no training specification ({type(error).__name__}); start the training again."
        ) from error
