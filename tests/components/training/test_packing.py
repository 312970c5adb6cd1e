"""Packing: one row of tokens gives the vectors and the gradients of padded texts, or is not used."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, RobertaConfig, RobertaModel

from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.training import dropout, module, packing
from components.training.module import ContrastiveModule
from components.training.packing import Packing, packed_vectors, packs

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
TEXTS = [[2, 9, 8, 3], [2, 7, 3], [2, 5, 6, 8, 9, 7, 3], [2, 3], [2, 8, 3], [2, 6, 5, 3]]


def _gradients(encoder: TransformerEncoder, vectors: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of a loss that every vector, and every direction, counts in."""
    encoder.model.zero_grad()
    weights = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(0))
    (vectors * weights).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in encoder.model.named_parameters()}


def test_blocks_lie_shortest_first() -> None:
    """Texts of one length form a block, in their own order."""
    packing = Packing.of(TEXTS)
    assert packing.order.tolist() == [3, 1, 4, 0, 5, 2]
    assert packing.blocks == ((1, 2), (2, 3), (2, 4), (1, 7))
    assert sum(packing.sizes) == sum(len(text) for text in TEXTS)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last_token"])
@pytest.mark.parametrize(("model", "dimensions"), [("encoder", None), ("encoder", 8), ("decoder", None)])
def test_packed_equals_padded(
    model: str, dimensions: int | None, pooling: Any, tiny_encoder: Path, tiny_decoder: Path
) -> None:
    """Vectors and gradients, of an encoder, whole and cut, and of a decoder with causal attention, rotary
    positions and shared keys; then padded texts give what they gave before."""
    folder = tiny_encoder if model == "encoder" else tiny_decoder
    settings = EncoderSettings(pooling=pooling, max_length=24, dimensions=dimensions)
    encoder = TransformerEncoder.load(folder, settings)
    assert packs(encoder)
    padded, packed = encoder.forward_ids(TEXTS), packed_vectors(encoder, TEXTS)
    torch.testing.assert_close(packed, padded, atol=1e-6, rtol=0)
    expected, found = _gradients(encoder, padded), _gradients(encoder, packed)
    assert max(float(gradient.abs().max()) for gradient in expected.values()) > 0.1
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)
    assert torch.equal(encoder.forward_ids(TEXTS), padded)


def test_attention_with_dropout_is_that_without_but_for_the_zeros(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing dropped, but asked to: vectors and gradients of padded texts in evaluation mode."""
    encoder = TransformerEncoder.load(tiny_encoder, EncoderSettings(max_length=24))
    expected = _gradients(encoder, encoder.forward_ids(TEXTS))
    ContrastiveModule(encoder, TrainingSettings(dropout=0.25), 1)  # puts the model into training mode
    asked = []

    def nothing_dropped(states: torch.Tensor, share: float) -> torch.Tensor:
        asked.append((states.dim(), share))
        return states

    for place in (dropout, packing):
        monkeypatch.setattr(place, "dropped", nothing_dropped)
    found = _gradients(encoder, packed_vectors(encoder, TEXTS))
    assert set(asked) == {(4, 0.25), (3, 0.25)}  # attention's weights, and states
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("causal", "asked", "key_heads", "share", "ours"),
    [
        (False, None, 4, 0.1, True),
        (True, False, 4, 0.1, True),
        (True, None, 4, 0.1, False),
        (False, True, 4, 0.1, False),
        (False, None, 2, 0.1, False),
        (False, None, 4, 0.0, False),
    ],
)
def test_what_looks_back_alone_or_shares_keys_is_left_to_torch(
    causal: bool, asked: bool | None, key_heads: int, share: float, ours: bool
) -> None:
    """And what drops nothing; a call's own word on causality counts before the module's."""
    attention = torch.nn.Module()
    attention.is_causal = causal  # type: ignore[assignment]
    query, key = torch.zeros(1, 4, 9, 8), torch.zeros(1, key_heads, 9, 8)
    assert packing._drops(attention, query, key, {"dropout": share, "is_causal": asked}) == ours


def test_scores_stay_fp32_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large logits bf16 ones would be off by three times as much."""
    monkeypatch.setattr(packing, "dropped", lambda weights, _share: weights)
    torch.manual_seed(0)
    query, key, value = (torch.randn(20, 4, 30, 32).bfloat16() for _ in range(3))
    query = query * 4
    exact = torch.nn.functional.scaled_dot_product_attention(*(part.double() for part in (query, key, value)))
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = packing._attend_dropping(torch.nn.Module(), query, key, value, None, dropout=0.1)
    assert found.dtype == torch.bfloat16
    assert (found.transpose(1, 2) - exact).norm() / exact.norm() < 0.0025


def test_a_decoder_drops_too(tiny_decoder: Path) -> None:
    encoder = TransformerEncoder.load(tiny_decoder, EncoderSettings(max_length=24, pooling="last_token"))
    ContrastiveModule(encoder, TrainingSettings(dropout=0.25), 1)
    torch.manual_seed(0)
    first = packed_vectors(encoder, TEXTS)
    assert not torch.equal(first, packed_vectors(encoder, TEXTS))


def test_a_model_that_counts_positions_itself_is_padded(tmp_path: Path, tiny_encoder: Path) -> None:
    """RoBERTa's positions begin behind the padding's number: the trial sees other vectors, and the module
    gives those of padded texts."""
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    RobertaModel(RobertaConfig(vocab_size=60, pad_token_id=0, **sizes)).save_pretrained(tmp_path)
    encoder = TransformerEncoder.load(tmp_path, EncoderSettings(max_length=24))
    assert not packs(encoder)
    contrastive = ContrastiveModule(encoder, TrainingSettings(dropout=0.0), 1)
    torch.testing.assert_close(contrastive._encode(TEXTS), encoder.forward_ids(TEXTS), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [1, 4])
def test_chunks_give_the_gradients_of_all_texts_at_once(size: int, shop: Any) -> None:
    """Gradient caching: vectors and gradients agree to 1e-5 with the plain ones."""
    encoder = shop.load()
    plain = ContrastiveModule(encoder, TrainingSettings(dropout=0.0), 1)
    expected = _gradients(encoder, plain._encode(TEXTS))
    chunked = ContrastiveModule(encoder, TrainingSettings(dropout=0.0, encode_chunk=size), 1)
    found = _gradients(encoder, chunked._encode(TEXTS))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=0)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_chunks_dropout_is_drawn_again(shop: Any, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """With dropout the gradients are those of the same random numbers with all activations kept."""
    chunked = ContrastiveModule(shop.load(), TrainingSettings(dropout=0.3, encode_chunk=2), 1).to(device)
    torch.manual_seed(1)
    found = _gradients(chunked.encoder, chunked._encode(TEXTS))
    monkeypatch.setattr(module, "checkpoint", lambda act, *given, use_reentrant: act(*given))
    torch.manual_seed(1)
    expected = _gradients(chunked.encoder, chunked._encode(TEXTS))
    assert all(torch.equal(found[name], gradient) for name, gradient in expected.items())
    other = _gradients(chunked.encoder, chunked._encode(TEXTS))
    assert not all(torch.equal(found[name], gradient) for name, gradient in other.items())
