"""The transformers adapter against plain transformers, and its bad input."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import DebertaV2Config, RobertaConfig

from components.contract.errors import ConfigError, EncoderError
from components.contract.learning import EncoderSettings
from components.encoder import base, transformer
from components.encoder.base import base_digest, resolve_base
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder, gains_by_bf16, has_bf16, longest_text

TEXTS = ["red oak chair", "small steel bracket for the garden table", "", "lamp", "red oak chair"]


def load(folder: Path, **changes: object) -> TransformerEncoder:
    settings = EncoderSettings(name=str(folder), max_length=16, **changes)  # type: ignore[arg-type]
    return TransformerEncoder.load(resolve_base(settings), settings)


def test_vectors_equal_those_of_one_text_at_a_time_pooled_by_hand(tiny_encoder: Path) -> None:
    """Batching, padding and de-duplication change no vector."""
    encoder = load(tiny_encoder)
    vectors = encoder.encode_items(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        ids = encoder.tokenizer([text], truncation=True, max_length=16, return_tensors="pt")
        with torch.no_grad():
            states = encoder.model(**{key: ids[key] for key in ("input_ids", "attention_mask")})
        mean = states.last_hidden_state[0].mean(dim=0)
        np.testing.assert_allclose(vector, (mean / mean.norm()).numpy(), atol=1e-5)
    np.testing.assert_array_equal(vectors[0], vectors[4])


@pytest.mark.parametrize("pooling", ["mean", "cls", "last_token"])
def test_padding_changes_no_vector_under_any_pooling(tiny_encoder: Path, pooling: str) -> None:
    """A text's vector is the same alone and beside a longer one."""
    encoder = load(tiny_encoder, pooling=pooling)
    alone = encoder.encode_queries(["lamp"])
    beside = encoder.encode_queries(["lamp", "small steel bracket for the garden table"])
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-5)
    assert np.allclose(np.linalg.norm(beside, axis=1), 1, atol=1e-5)


def test_saved_and_loaded_it_gives_the_same_vectors_and_digest(tiny_encoder: Path, tmp_path: Path) -> None:
    """save → load_saved is the identity."""
    encoder = load(tiny_encoder, query_prefix="for ")
    digest = encoder.save(tmp_path / "saved")
    again = TransformerEncoder.load_saved(tmp_path / "saved")
    assert again.digest == digest
    np.testing.assert_array_equal(again.encode_queries(TEXTS), encoder.encode_queries(TEXTS))
    assert not np.allclose(again.encode_queries(["lamp"]), again.encode_items(["lamp"]))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_may_be_cut_to_their_first_numbers(tiny_encoder: Path, tmp_path: Path, pooling: str) -> None:
    """Of unit length, kept by save and load, and under another digest; more than there are, are refused."""
    whole, cut = load(tiny_encoder, pooling=pooling), load(tiny_encoder, pooling=pooling, dimensions=12)
    first = whole.encode_items(TEXTS)[:, :12]
    expected = first / np.linalg.norm(first, axis=1, keepdims=True)
    assert cut.dimensions == 12 and cut.digest != whole.digest
    cut.save(tmp_path)
    for encoder in (cut, TransformerEncoder.load_saved(tmp_path)):
        np.testing.assert_allclose(encoder.encode_items(TEXTS), expected, atol=1e-6)
    with pytest.raises(EncoderError, match=r"encoder.dimensions is 33, but .* gives 32 numbers per text"):
        load(tiny_encoder, dimensions=33)


def test_more_tokens_than_a_model_has_positions_for_are_refused(tiny_encoder: Path) -> None:
    """When it is loaded, and not by the first text that is so long."""
    with pytest.raises(EncoderError, match=r"encoder.max_length is 4096, but .* reads at most \d+ tokens"):
        TransformerEncoder.load(tiny_encoder, EncoderSettings(name="tiny", max_length=4096))
    assert longest_text(RobertaConfig(max_position_embeddings=514, pad_token_id=1)) == 512
    assert longest_text(DebertaV2Config(position_biased_input=False)) == sys.maxsize


def test_the_digest_changes_with_weights_and_with_what_decides_a_vector(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    """Another pooling or another weight is another encoder; the folder's name is not part of it."""
    encoder = load(tiny_encoder)
    assert encoder.digest == base_digest(encoder.settings)
    assert load(tiny_encoder, pooling="cls").digest != encoder.digest
    with torch.no_grad():
        next(encoder.model.parameters()).add_(0.01)
    before = encoder.digest
    assert encoder.save(tmp_path / "changed") != before


def test_gradients_flow_through_forward_ids(tiny_encoder: Path) -> None:
    """Every weight gets a gradient: DDP refuses parameters without one."""
    encoder = load(tiny_encoder)
    encoder.forward_ids(encoder.tokenize(TEXTS, "item")).sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.model.parameters())


def test_texts_are_cut_at_max_length(tiny_encoder: Path) -> None:
    """A text of 100 kB costs max_length tokens."""
    encoder = load(tiny_encoder)
    assert len(encoder.tokenize(["chair " * 20_000], "item")[0]) == 16


def test_an_unknown_name_is_one_clear_sentence() -> None:
    """Neither a folder nor a name that the hub gives: the message says both."""
    with pytest.raises(EncoderError, match=r"no-such/encoder.*folder"):
        resolve_base(EncoderSettings(name="no-such/encoder"))
    with pytest.raises(EncoderError, match="neither a folder"):
        resolve_base(EncoderSettings(name="not a//name"))


def test_a_folder_without_weights_names_what_is_missing(tmp_path: Path) -> None:
    """config.json alone is no encoder."""
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match=r"model\.safetensors"):
        resolve_base(EncoderSettings(name=str(tmp_path)))


def test_damaged_weights_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    """A truncated safetensors file ends in an EncoderError, and a folder of others is not read as ours."""
    for part in tiny_encoder.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "no-such-model"}')
    with pytest.raises(EncoderError, match="no encoder"):
        load(tmp_path)
    with pytest.raises(EncoderError, match=r"encoder\.json"):
        TransformerEncoder.load_saved(tmp_path)


def test_changed_default_weights_are_refused(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default model's file must hash to its published digest."""
    monkeypatch.setattr(base, "_packaged_folder", lambda: tiny_encoder)
    with pytest.raises(EncoderError, match="SHA-256"):
        resolve_base(EncoderSettings())


def test_item_texts_join_the_fields_that_are_there() -> None:
    """Null and blank fields leave no gap; an unknown field is an error."""
    items = pl.DataFrame({"title": [" Oak chair", "Lamp", None], "brand": ["Nord", " ", None]})
    assert item_texts(items, ("title", "brand")) == ["Oak chair Nord", "Lamp", ""]
    with pytest.raises(ConfigError, match="colour"):
        item_texts(items, ("title", "colour"))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last_token"])
def test_a_catalogue_is_encoded_nearly_as_its_items_are(tiny_encoder: Path, pooling: str) -> None:
    """In bf16 where the CPU gains by it, which moves a vector by little; queries and single items
    stay in fp32, before and after."""
    encoder = load(tiny_encoder, pooling=pooling, item_prefix="for ")
    items = encoder.encode_items(TEXTS)
    catalogue = encoder.encode_catalogue(TEXTS)
    assert catalogue.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(catalogue, axis=1), 1, atol=1e-3)
    assert (items * catalogue).sum(axis=1).min() > 0.999
    np.testing.assert_array_equal(encoder.encode_items(TEXTS), items)


@pytest.mark.parametrize("gains", [True, False])
def test_a_catalogue_is_encoded_in_what_is_faster(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, gains: bool
) -> None:
    """In bf16 the catalogue's vectors are not those of fp32, else they are."""
    encoder = load(tiny_encoder)
    monkeypatch.setattr(transformer, "gains_by_bf16", lambda _device: gains)
    assert np.array_equal(encoder.encode_catalogue(TEXTS), encoder.encode_items(TEXTS)) is not gains


def test_bf16_is_asked_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a CPU has no instructions for it, it is not tried."""
    for name, there in (("avx512_bf16", True), ("amx_bf16", True), ("avx512_bf16", False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name, there=there: {name: there})
        assert has_bf16("cpu") is there
        gains_by_bf16.cache_clear()
        assert isinstance(gains_by_bf16("cpu"), bool)
        assert there or not gains_by_bf16("cpu")
    gains_by_bf16.cache_clear()


def test_vectors_of_padded_ids_are_those_of_the_texts(tiny_encoder: Path) -> None:
    """Ids and mask in, as an exported graph gets them: any padding, unit length."""
    encoder = load(tiny_encoder)
    rows = encoder.tokenize(["lamp", "small steel bracket"], "item")
    ids, mask = torch.full((2, 9), 77), torch.zeros((2, 9), dtype=torch.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
        mask[number, : len(row)] = 1
    with torch.inference_mode():
        vectors = encoder.model.eval() and encoder.vectors_of(ids, mask)
    np.testing.assert_allclose(vectors, encoder.encode_items(["lamp", "small steel bracket"]), atol=1e-5)
