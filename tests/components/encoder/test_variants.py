"""Averaged and damaged copies of an encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.encoder.transformer import TransformerEncoder
from components.encoder.variants import save_average, save_damaged

TEXTS = ["red oak chair", "steel lamp", "blue towel"]


@pytest.fixture
def saved(tiny_encoder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The tiny encoder and a copy with every weight moved by 0.1."""
    encoder = TransformerEncoder.load(tiny_encoder, EncoderSettings(name=str(tiny_encoder), max_length=16))
    encoder.save(tmp_path / "first")
    with torch.no_grad():
        for weight in encoder.model.parameters():
            weight += 0.1
    encoder.save(tmp_path / "second")
    return tmp_path / "first", tmp_path / "second"


def test_an_average_lies_between_the_two(saved: tuple[Path, Path], tmp_path: Path) -> None:
    """Share 1 is the first encoder, share 0 the second, and a half has half of the weights' difference."""
    first, second = saved
    save_average(first, second, 0.25, tmp_path / "average")
    weights = [
        next(TransformerEncoder.load_saved(folder).model.parameters()).detach().numpy()
        for folder in (first, second, tmp_path / "average")
    ]
    np.testing.assert_allclose(weights[2], 0.25 * weights[0] + 0.75 * weights[1], atol=1e-6)
    save_average(first, second, 1.0, tmp_path / "same")
    same, original = (TransformerEncoder.load_saved(f) for f in (tmp_path / "same", first))
    np.testing.assert_allclose(same.encode_items(TEXTS), original.encode_items(TEXTS), atol=1e-6)


def test_encoders_of_other_shapes_do_not_average(
    saved: tuple[Path, Path], tmp_path: Path, tiny_encoder: Path
) -> None:
    """One sentence instead of a half-made encoder."""
    from transformers import BertConfig, BertModel

    config = BertConfig.from_pretrained(tiny_encoder)
    config.num_hidden_layers = 1
    BertModel(config, add_pooling_layer=False).save_pretrained(saved[1])
    with pytest.raises(EncoderError, match="other shapes"):
        save_average(*saved, 0.5, tmp_path / "average")
    assert not (tmp_path / "average").exists()


def test_damage_changes_vectors_and_is_repeatable(saved: tuple[Path, Path], tmp_path: Path) -> None:
    """The same seed gives the same damage, which is another encoder."""
    digests = {save_damaged(saved[0], 0.5, 7, tmp_path / name) for name in ("a", "b")}
    assert len(digests) == 1
    whole, damaged = (
        TransformerEncoder.load_saved(f).encode_items(TEXTS) for f in (saved[0], tmp_path / "a")
    )
    assert np.abs(whole - damaged).max() > 0.05
    assert np.isfinite(damaged).all()
