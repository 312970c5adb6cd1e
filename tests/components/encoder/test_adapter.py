"""An encoder that is saved as its adapter alone: the same weights wherever its base is found again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModel

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder import adapter
from components.encoder.base import BASES, check_found_again, folder_digest, items_digest, saved_settings
from components.encoder.transformer import TransformerEncoder
from components.training.module import prepare_model

TEXTS = ["red oak chair", "blue table lamp for the garden"]


@pytest.fixture
def bases(tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bases with the tiny encoder as "small"."""
    shutil.copytree(tiny_encoder, tmp_path / "bases" / "small")
    monkeypatch.setenv(BASES, str(tmp_path / "bases"))
    return tmp_path / "bases"


def _adapted(base: Path, method: Any = "lora") -> TransformerEncoder:
    """With adapters that were moved away from where they begin."""
    encoder = TransformerEncoder.load(base, EncoderSettings(name=str(base), max_length=24))
    prepare_model(encoder, TrainingSettings(method=method, dropout=0.0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return encoder


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_it_is_small_and_gives_the_trained_encoders_vectors(bases: Path, tmp_path: Path, method: str) -> None:
    encoder = _adapted(bases / "small", method)
    trained = encoder.encode_items(TEXTS)
    base = TransformerEncoder.load(bases / "small", EncoderSettings(max_length=24)).encode_items(TEXTS)
    assert np.abs(trained - base).max() > 0.05
    digest = encoder.save(tmp_path / "saved", bases / "small")
    names = {path.name for path in (tmp_path / "saved").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "base.json", "encoder.json"} <= names
    assert not {"model.safetensors", "README.md"} & names
    loaded = TransformerEncoder.load_saved(tmp_path / "saved")
    assert loaded.encode_items(TEXTS) == pytest.approx(trained, abs=2e-3)  # LoRA's factors are cut to bf16
    assert loaded.digest == digest == items_digest(tmp_path / "saved")
    assert not isinstance(loaded.model, PeftModel)


def test_peft_reads_it(bases: Path, tmp_path: Path) -> None:
    encoder = _adapted(bases / "small")
    encoder.save(tmp_path / "saved", bases / "small")
    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(bases / "small"), tmp_path / "saved")
    ids = torch.tensor([encoder.tokenize(TEXTS[:1], "item")[0]])
    with torch.inference_mode():
        theirs = loaded(input_ids=ids).last_hidden_state
        ours = TransformerEncoder.load_saved(tmp_path / "saved").model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_order_of_summation_does_not_change_a_bit(bases: Path, tmp_path: Path) -> None:
    """Machines sum a product of matrices in other orders; so does this one when the rank is turned round."""
    encoder = _adapted(bases / "small")
    encoder.save(tmp_path / "saved", bases / "small")
    weights = load_file(tmp_path / "saved" / "adapter_model.safetensors")
    turned = {
        name: of.flip(0) if "lora_A" in name else of.flip(1) if "lora_B" in name else of
        for name, of in weights.items()
    }
    shutil.copytree(tmp_path / "saved", tmp_path / "turned")
    adapter.save_file(turned, tmp_path / "turned" / "adapter_model.safetensors")
    assert not any(torch.equal(weights[name], turned[name]) for name in weights)
    loaded = [TransformerEncoder.load_saved(tmp_path / name).model for name in ("saved", "turned")]
    assert all(map(torch.equal, *(model.state_dict().values() for model in loaded)))


def test_equal_trainings_give_equal_files_without_a_path(bases: Path, tmp_path: Path) -> None:
    """peft keeps the adapted layers as a set; a path of this machine would be another digest elsewhere."""
    digests = set()
    for name in ("one", "two"):
        shutil.copytree(bases / "small", tmp_path / name / "small")
        digests.add(
            _adapted(tmp_path / name / "small").save(tmp_path / name / "saved", tmp_path / name / "small")
        )
    assert len(digests) == 1
    told = json.loads((tmp_path / "two" / "saved" / "adapter_config.json").read_text())
    assert told["base_model_name_or_path"] == "small"
    assert told["target_modules"] == sorted(told["target_modules"])


def test_its_digest_covers_adapter_and_base(bases: Path, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    digest = _adapted(bases / "small").save(folder, bases / "small")
    for name in ("adapter_model.safetensors", "adapter_config.json", "base.json", "tokenizer.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept + b" ")
        assert folder_digest(folder, saved_settings(folder)) != digest
        (folder / name).write_bytes(kept)


def test_another_base_and_none_are_sentences(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _adapted(bases / "small").save(tmp_path / "saved", bases / "small")
    path = bases / "small" / "model.safetensors"
    other = {name: of + 1 for name, of in load_file(path).items()}
    adapter.save_file(other, path)
    with pytest.raises(
        EncoderError, match=r"is an adapter of weights with SHA-256 \w{12}…, but those in .*small"
    ):
        TransformerEncoder.load_saved(tmp_path / "saved")
    monkeypatch.delenv(BASES)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        EncoderError, match=r"its base is not found: .* set DEBUT_BASES to a folder that holds small"
    ):
        TransformerEncoder.load_saved(tmp_path / "saved")


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json", "base.json"])
def test_a_damaged_one_is_a_sentence(bases: Path, tmp_path: Path, name: str) -> None:
    _adapted(bases / "small").save(tmp_path / "saved", bases / "small")
    (tmp_path / "saved" / name).write_bytes(b"{")
    with pytest.raises(EncoderError, match=name.split("_")[0].split(".")[0]):
        TransformerEncoder.load_saved(tmp_path / "saved")


def test_a_base_that_releases_would_not_find_is_refused_before_training(
    bases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EncoderSettings(name=str(bases / "small"))
    check_found_again(settings)
    check_found_again(EncoderSettings())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv(BASES, str(tmp_path))
    with pytest.raises(
        EncoderError, match=r"adapter_only: every machine .* set DEBUT_BASES to .* holds small"
    ):
        check_found_again(settings)


def test_trained_further_it_is_saved_whole(bases: Path, tmp_path: Path) -> None:
    """A warm start from such a champion: its weights are all there once it is loaded."""
    _adapted(bases / "small").save(tmp_path / "saved", bases / "small")
    loaded = TransformerEncoder.load_saved(tmp_path / "saved")
    loaded.save(tmp_path / "whole")
    again = TransformerEncoder.load_saved(tmp_path / "whole")
    np.testing.assert_array_equal(again.encode_items(TEXTS), loaded.encode_items(TEXTS))
