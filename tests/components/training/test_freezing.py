"""Frozen lower layers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from components.contract.errors import ConfigError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.training.frozen_states import FrozenStates
from components.training.module import ContrastiveModule, prepare_model
from components.training.packing import packed_vectors

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


def test_kept_states_give_the_same_vectors_and_gradients_and_are_computed_once(shop: Any) -> None:
    """Also of a text that comes twice in a step, and beside new ones."""
    encoder, plain = shop.load(), shop.load()
    settings = TrainingSettings(frozen_layers=1, cache_frozen=True, dropout=0.0)
    module = ContrastiveModule(encoder, settings, 1)
    other = ContrastiveModule(plain, settings.model_copy(update={"cache_frozen": False}), 1)
    seen: list[int] = []
    lowest, highest = encoder.model.encoder.layer
    lowest.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape[1]))
    for texts in (TEXTS, [*TEXTS, TEXTS[0], [5, 6]], [TEXTS[1]]):
        found, expected = module._encode(texts), other._encode(texts)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
        found[0, :8].sum().backward()
        expected[0, :8].sum().backward()
    assert seen[-2:] == [7, 2] and module._frozen is not None and len(module._frozen._kept) == 3
    for ours, theirs in zip(encoder.model.parameters(), plain.model.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-6, rtol=0)
    assert list(encoder.model.encoder.layer) == [lowest, highest]


def test_dropout_is_above_the_kept_states_alone(shop: Any) -> None:
    encoder = shop.load()
    module = ContrastiveModule(encoder, TrainingSettings(frozen_layers=1, cache_frozen=True, dropout=0.5), 1)
    first, again = module._encode(TEXTS), module._encode(TEXTS)
    assert not torch.equal(first, again)
    kept = FrozenStates(encoder, 1)._known(TEXTS)
    for text in map(tuple, TEXTS):
        torch.testing.assert_close(module._frozen._kept[text], kept[text])


def test_what_has_no_room_is_computed_again(shop: Any) -> None:
    """Each token has 32 numbers of 4 bytes: there is room for the shorter text."""
    encoder = shop.load()
    prepare_model(encoder, TrainingSettings(frozen_layers=1, dropout=0.0))
    states = FrozenStates(encoder, 1, most_bytes=3 * 32 * 4)
    torch.testing.assert_close(states.vectors(TEXTS), packed_vectors(encoder, TEXTS))
    assert list(states._kept) == [tuple(TEXTS[0])]
    torch.testing.assert_close(states.vectors(TEXTS), packed_vectors(encoder, TEXTS))


def test_a_decoders_states_are_kept_too(tiny_decoder: Path) -> None:
    decoder = TransformerEncoder.load(tiny_decoder, EncoderSettings(pooling="last_token"))
    states, plain = FrozenStates(decoder, 1), packed_vectors(decoder, TEXTS)
    for _ in range(2):
        torch.testing.assert_close(states.vectors(TEXTS), plain, atol=1e-6, rtol=0)


def test_texts_that_are_padded_are_not_kept(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.training.module.packs", lambda _: False)
    module = ContrastiveModule(shop.load(), TrainingSettings(frozen_layers=1, cache_frozen=True), 1)
    with pytest.raises(ConfigError, match="cache_frozen keeps states of packed texts"):
        module._encode(TEXTS)
    with pytest.raises(ValidationError, match="cache_frozen: no layer is frozen"):
        TrainingSettings(cache_frozen=True)


def test_methods_that_freeze_all_layers_refuse_it() -> None:
    with pytest.raises(ValidationError, match="lora freezes all layers itself: leave frozen_layers out"):
        TrainingSettings(method="lora", frozen_layers=1)
