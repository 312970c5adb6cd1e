"""Frozen lower layers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from components.contract.errors import ConfigError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.training.module import ContrastiveModule

TEXTS = [[5, 6, 7], [8, 9, 10, 11]]


def gradients(encoder: TransformerEncoder, frozen: int) -> dict[str, torch.Tensor]:
    """By name, of the weights that learn; packed as in training."""
    module = ContrastiveModule(encoder, TrainingSettings(frozen_layers=frozen, dropout=0.0), 1)
    module._encode(TEXTS)[0, :8].sum().backward()
    named = encoder.model.named_parameters()
    return {name: weight.grad for name, weight in named if weight.grad is not None}


def test_the_lowest_layers_stay_and_the_others_learn_as_ever(shop: Any) -> None:
    """Their gradients are those of a model without a frozen layer."""
    whole, part = gradients(shop.load(), 0), gradients(shop.load(), 1)
    assert {name.split(".layer.")[0] for name in whole} > {"encoder"}
    assert part and all(name.startswith("encoder.layer.1.") for name in part)
    for name, gradient in part.items():
        assert torch.allclose(gradient, whole[name], atol=1e-6)


def test_a_decoder_keeps_its_embeddings_and_trains_its_last_norm(tiny_decoder: Path) -> None:
    decoder = TransformerEncoder.load(tiny_decoder, EncoderSettings(pooling="last_token"))
    found = gradients(decoder, 1)
    assert found and all(name.startswith("layers.1.") or name == "norm.weight" for name in found)


def test_one_layer_is_left_to_train(shop: Any) -> None:
    with pytest.raises(ConfigError, match="frozen_layers: 2, but the encoder has 2 layers"):
        ContrastiveModule(shop.load(), TrainingSettings(frozen_layers=2), 1)


def test_methods_that_freeze_all_layers_refuse_it() -> None:
    with pytest.raises(ValidationError, match="lora freezes all layers itself: leave frozen_layers out"):
        TrainingSettings(method="lora", frozen_layers=1)
