"""The module: dropout, adapters, and pooling of histories."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from components.contract.errors import ConfigError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.training.adapters import merge_adapters
from components.training.module import (
    ContrastiveModule,
    _mean,
    prepare_model,
)


def test_a_historys_vector_is_the_normalised_mean_of_its_items() -> None:
    """Absent places count for nothing; a single text keeps its own vector."""
    vectors = torch.nn.functional.normalize(
        torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=-1
    )
    means = _mean(vectors, torch.tensor([[0, 2, -1], [3, -1, -1]]))
    expected = (vectors[0] + vectors[2]) / (vectors[0] + vectors[2]).norm()
    assert torch.allclose(means[0], expected)
    assert torch.allclose(means[1], vectors[3])


def test_matryoshka_dimensions_are_less_than_the_encoders(shop: Any) -> None:
    with pytest.raises(ConfigError, match="32 is not below the encoder's 32 dimensions; leave it out"):
        ContrastiveModule(shop.load(), TrainingSettings(matryoshka_dimensions=(16, 32)), 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lowest_grade_weight", 0.5), ("matryoshka_dimensions", (16,)), ("distillation", {"weight": 1.0})],
)
def test_a_query_side_refuses_what_it_has_not(name: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=f"has its own loss, without {name}: leave that out"):
        TrainingSettings.model_validate({"method": "query_side", "start": "champion", name: value})


def test_texts_encoded_in_groups_come_back_in_order(shop: Any) -> None:
    """Grouping by length changes neither order nor values."""
    encoder = shop.load()
    module = ContrastiveModule(encoder, TrainingSettings(dropout=0.0), 1)
    texts = encoder.tokenize(["red chair", "a", "small blue lamp for the garden", "oak table"], "item")
    found = module._encode(texts)
    for place, tokens in enumerate(texts):
        assert torch.allclose(found[place], encoder.forward_ids([tokens])[0], atol=1e-5)


def test_dropout_is_set_where_models_keep_it(shop: Any, tiny_decoder: Path) -> None:
    """Layers of an encoder and the attention's share of a decoder take the configured value."""
    encoder = shop.load()
    prepare_model(encoder, TrainingSettings(dropout=0.25))
    shares = {module.p for module in encoder.model.modules() if isinstance(module, torch.nn.Dropout)}
    assert shares == {0.25}
    assert encoder.model.training
    decoder = TransformerEncoder.load(tiny_decoder, EncoderSettings(pooling="last_token"))
    prepare_model(decoder, TrainingSettings(dropout=0.25))
    attention = decoder.model.layers[0].self_attn
    assert attention.attention_dropout == 0.25


def test_adapters_train_a_small_part_and_merge_exactly(tiny_decoder: Path) -> None:
    """LoRA on a decoder: few parameters learn, and the merged model gives the adapted model's vectors."""
    decoder = TransformerEncoder.load(tiny_decoder, EncoderSettings(pooling="last_token"))
    prepare_model(decoder, TrainingSettings(method="lora", lora_rank=2, dropout=0.0))
    trained = [p for p in decoder.model.parameters() if p.requires_grad]
    assert 0 < sum(p.numel() for p in trained) < 0.2 * sum(p.numel() for p in decoder.model.parameters())
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    adapted = decoder.encode_items(["red chair", "oak table lamp"])
    merge_adapters(decoder)
    assert decoder.encode_items(["red chair", "oak table lamp"]) == pytest.approx(adapted, abs=1e-5)


def test_adapters_start_alike_for_one_seed(tiny_decoder: Path) -> None:
    """All ranks draw the same first adapter weights."""
    weights = []
    for _ in range(2):
        torch.manual_seed(len(weights))
        decoder = TransformerEncoder.load(tiny_decoder, EncoderSettings(pooling="last_token"))
        prepare_model(decoder, TrainingSettings(method="lora", seed=3))
        weights.append([p for p in decoder.model.parameters() if p.requires_grad])
    assert all(torch.equal(left, right) for left, right in zip(*weights, strict=True))
