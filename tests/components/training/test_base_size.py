"""What the encoder's size limits, by its config.json alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import ConfigError, EncoderError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.training.base_size import check_base_size

BERT = {"num_hidden_layers": 6, "hidden_size": 384}
DISTILBERT = {"n_layers": 6, "dim": 384}


def check(folder: Path, config: Any, training: dict[str, Any], dimensions: int | None = None) -> None:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    check_base_size(folder, EncoderSettings(dimensions=dimensions), TrainingSettings(**training))


@pytest.mark.parametrize("config", [BERT, DISTILBERT])
def test_what_the_encoder_has_not_is_told(tmp_path: Path, config: dict[str, int]) -> None:
    """One layer fewer, or one number fewer, is taken."""
    with pytest.raises(ConfigError, match=r"training\.frozen_layers: 6, but the encoder has 6 layers; leave"):
        check(tmp_path, config, {"frozen_layers": 6})
    with pytest.raises(ConfigError, match=r"training\.matryoshka_dimensions: 384 is not below the encoder's"):
        check(tmp_path, config, {"matryoshka_dimensions": (128, 384)})
    check(tmp_path, config, {"frozen_layers": 5, "matryoshka_dimensions": (383,)})


def test_a_cut_vector_has_fewer_dimensions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="128 is not below the encoder's 128 dimensions"):
        check(tmp_path, BERT, {"matryoshka_dimensions": (128,)}, dimensions=128)


def test_names_that_are_not_known_are_left_to_the_ranks(tmp_path: Path) -> None:
    check(tmp_path, {"depth": 2, "hidden_size": None}, {"frozen_layers": 6, "matryoshka_dimensions": (384,)})


@pytest.mark.parametrize("config", ["{", "[1]", "null"])
def test_a_damaged_configuration_is_named(tmp_path: Path, config: str) -> None:
    with pytest.raises(EncoderError, match=r"config\.json is damaged \(\w+\): fetch the encoder again"):
        check(tmp_path, config, {})


def test_looking_imports_nothing_heavy() -> None:
    """A flow looks before the data is loaded."""
    code = "import sys, components.training.base_size; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
