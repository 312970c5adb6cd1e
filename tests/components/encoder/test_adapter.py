"""An encoder that is saved as its adapter alone: the same weights wherever its base is found again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder import base as base_module
from components.encoder.base import BASES, base_of_adapter, folder_digest, items_digest, saved_settings
from components.encoder.transformer import TransformerEncoder
from components.training.module import prepare_model

TEXTS = ["red oak chair", "blue table lamp for the garden"]
FILES = ("adapter_model.safetensors", "adapter_config.json", "adapter_base.json")


@pytest.fixture
def bases(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bases with the tiny encoder as "small"."""
    shutil.copytree(tiny_encoder, tmp_path / "bases" / "small")
    monkeypatch.setenv(BASES, str(tmp_path / "bases"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path / "bases"


def _saved(base: Path, folder: Path, method: Any = "lora") -> TransformerEncoder:
    """With adapters that were moved away from where they begin."""
    encoder = TransformerEncoder.load(base, EncoderSettings(name=str(base), max_length=24))
    prepare_model(encoder, TrainingSettings(method=method, dropout=0.0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    encoder.save(folder, encoder.settings)
    return encoder


@pytest.mark.parametrize(("method", "tolerance"), [("lora", 1e-2), ("ia3", 1e-5)])
def test_it_is_small_and_gives_the_trained_encoders_vectors(
    bases: Path, tmp_path: Path, method: str, tolerance: float
) -> None:
    """LoRA's factors are cut to bf16."""
    encoder = _saved(bases / "small", tmp_path / "saved", method)
    trained = encoder.encode_items(TEXTS)
    base = TransformerEncoder.load(bases / "small", EncoderSettings(max_length=24)).encode_items(TEXTS)
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert {*FILES, "encoder.json"} <= names
    assert not {"model.safetensors", "README.md"} & names
    loaded = TransformerEncoder.load_saved(tmp_path / "saved")
    assert np.abs(trained - base).max() > 3e-4
    assert np.abs(loaded.encode_items(TEXTS) - trained).max() < min(
        tolerance, np.abs(trained - base).max() / 5
    )
    assert loaded.digest == encoder.digest == items_digest(tmp_path / "saved")
    assert not isinstance(loaded.model, PeftModel)


def test_peft_reads_it(bases: Path, tmp_path: Path) -> None:
    encoder = _saved(bases / "small", tmp_path / "saved")
    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(bases / "small"), tmp_path / "saved")
    ids = torch.tensor([encoder.tokenize(TEXTS[:1], "item")[0]])
    with torch.inference_mode():
        theirs = loaded(input_ids=ids).last_hidden_state
        ours = TransformerEncoder.load_saved(tmp_path / "saved").model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_order_of_summation_does_not_change_a_bit(bases: Path, tmp_path: Path) -> None:
    """Machines sum a product of matrices in other orders; so does this one when the rank is turned round, and
    in fp32 it gets other sums. Factors in bf16 are what makes those of float64 exact."""
    _saved(bases / "small", tmp_path / "saved")
    weights = load_file(tmp_path / "saved" / FILES[0])
    assert {of.dtype for of in weights.values()} == {torch.bfloat16}
    turned = {
        name: (of.flip(0) if "lora_A" in name else of.flip(1)).contiguous() for name, of in weights.items()
    }
    shutil.copytree(tmp_path / "saved", tmp_path / "turned")
    save_file(turned, tmp_path / "turned" / FILES[0])
    name = "base_model.model.encoder.layer.0.intermediate.dense.lora_{}.weight"
    sums = [of[name.format("B")].float() @ of[name.format("A")].float() for of in (weights, turned)]
    assert not torch.equal(*sums)
    loaded = [TransformerEncoder.load_saved(tmp_path / folder).model for folder in ("saved", "turned")]
    assert all(map(torch.equal, *(model.state_dict().values() for model in loaded)))


def test_equal_trainings_give_equal_files_without_a_path(bases: Path, tmp_path: Path) -> None:
    """peft keeps the adapted layers as a set; a path of this machine would be another digest elsewhere."""
    digests = set()
    for name in ("one", "two"):
        shutil.copytree(bases / "small", tmp_path / name / "small")
        digests.add(_saved(tmp_path / name / "small", tmp_path / name / "saved").digest)
    assert len(digests) == 1
    told = json.loads((tmp_path / "two" / "saved" / FILES[1]).read_text())
    assert told["base_model_name_or_path"] == "small"
    assert told["target_modules"] == sorted(told["target_modules"])


def test_its_digest_covers_adapter_and_base(bases: Path, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    digest = _saved(bases / "small", folder).digest
    for name in (*FILES, "tokenizer.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept + b" ")
        assert folder_digest(folder, saved_settings(folder)) != digest
        (folder / name).write_bytes(kept)


def test_another_base_and_none_are_sentences(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base is looked for in DEBUT_BASES alone: neither in the folder that a command happens to run in, nor
    on the hub, where a stranger's may bear its name."""
    _saved(bases / "small", tmp_path / "saved")
    monkeypatch.chdir(bases)
    for place in (None, ".", str(tmp_path / "elsewhere")):
        monkeypatch.delenv(BASES, raising=False) if place is None else monkeypatch.setenv(BASES, place)
        with pytest.raises(EncoderError, match=r"needs its base small on every machine: .*DEBUT_BASES"):
            TransformerEncoder.load_saved(tmp_path / "saved")
    monkeypatch.setenv(BASES, str(bases))
    path = bases / "small" / "model.safetensors"
    other = {name: of + 1 for name, of in load_file(path).items()}
    save_file(other, path, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"with the weights of SHA-256 \w{12}…, but those in .*small have"):
        TransformerEncoder.load_saved(tmp_path / "saved")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (FILES[0], b"{", r"adapter_model\.safetensors: no adapter of its base"),
        (FILES[1], b"{", r"adapter_config\.json describes no adapter"),
        (FILES[2], b"{", r"adapter_base\.json does not name the adapter's base"),
        (
            FILES[2],
            b'{"weights": null, "local": true}',
            r"adapter_base\.json does not name the adapter's base",
        ),
    ],
)
def test_a_damaged_one_is_a_sentence(
    bases: Path, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    _saved(bases / "small", tmp_path / "saved")
    (tmp_path / "saved" / name).write_bytes(content)
    with pytest.raises(EncoderError, match=said):
        TransformerEncoder.load_saved(tmp_path / "saved")


def test_tensors_that_are_not_the_adapters_do_not_load_as_the_base(bases: Path, tmp_path: Path) -> None:
    """peft would take what it misses for untrained and only warn."""
    _saved(bases / "small", tmp_path / "saved")
    path = tmp_path / "saved" / FILES[0]
    weights = load_file(path)
    renamed = {name.replace("layer.0", "block.0"): of for name, of in weights.items()}
    for tensors in ({}, renamed):
        save_file(tensors, path)
        with pytest.raises(EncoderError, match="it holds other tensors than that one has"):
            TransformerEncoder.load_saved(tmp_path / "saved")


def test_a_base_that_releases_would_not_find_is_refused(bases: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the hub's those that are not pinned: the next retrain of such a base takes another."""
    settings = EncoderSettings(name=str(bases / "small"))
    assert base_of_adapter(settings).local
    assert not base_of_adapter(EncoderSettings()).local
    monkeypatch.delenv(BASES)
    with pytest.raises(EncoderError, match="needs its base small on every machine: set DEBUT_BASES"):
        base_of_adapter(settings)
    monkeypatch.setattr(base_module, "resolve_base", lambda _: bases / "small")
    assert not base_of_adapter(EncoderSettings(name="some/model", revision="0a" * 20)).local
    for revision in (None, "main", "0a1b2c3"):
        with pytest.raises(EncoderError, match=r"some/model may change on the hub, .* as encoder\.revision"):
            base_of_adapter(EncoderSettings(name="some/model", revision=revision))


def test_trained_further_it_is_trained_whole_and_saved_whole(bases: Path, tmp_path: Path) -> None:
    """A warm start from such a champion. peft had frozen the base's weights."""
    _saved(bases / "small", tmp_path / "saved")
    loaded = TransformerEncoder.load_saved(tmp_path / "saved")
    prepare_model(loaded, TrainingSettings(dropout=0.0))
    assert all(weight.requires_grad for weight in loaded.model.parameters())
    before = loaded.encode_items(TEXTS)
    loaded.forward_ids(loaded.tokenize(TEXTS, "item")).sum().backward()
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight -= 0.1 * weight.grad
    loaded.save(tmp_path / "whole")
    again = TransformerEncoder.load_saved(tmp_path / "whole")
    np.testing.assert_allclose(again.encode_items(TEXTS), loaded.encode_items(TEXTS), atol=1e-6)
    assert np.abs(loaded.encode_items(TEXTS) - before).max() > 1e-3
