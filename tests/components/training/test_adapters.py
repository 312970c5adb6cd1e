"""Parameter-efficient tuning: little is trained, all of it is merged, and the result is a plain encoder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

from components.contract.errors import ConfigError, EncoderError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.encoder.base import BASES
from components.encoder.onnx_export import export_onnx, reweight
from components.encoder.prompt import add_prompt
from components.encoder.transformer import TransformerEncoder
from components.training import callbacks
from components.training.adapters import merge_adapters
from components.training.attempts import begin_attempt
from components.training.fit import run_rank
from components.training.module import prepare_model
from components.training.validation import read_validation, stopping_recall, validation_recall

PREFIX = TrainingSettings(method="prefix", adapter_only=True, prompt_tokens=8)
TEXTS = ["red oak chair", "blue table lamp for the garden"]


def _loaded(folder: Path, **settings: Any) -> TransformerEncoder:
    return TransformerEncoder.load(folder, EncoderSettings(name="tiny", max_length=24, **settings))


@pytest.mark.parametrize(("method", "parameters"), [("ia3", 2 * (3 * 32 + 64)), ("prompt", 5 * 32)])
def test_little_is_trained_and_it_merges_exactly(
    tiny_encoder: Path, tmp_path: Path, method: Any, parameters: int
) -> None:
    """The merged encoder, saved and loaded without peft, gives the adapted one's vectors. IA³ has factors
    for keys, values and the inputs of both output layers, in two layers; a prompt has its tokens."""
    encoder = _loaded(tiny_encoder)
    base = encoder.encode_items(TEXTS)
    prepare_model(encoder, TrainingSettings(method=method, prompt_tokens=5, dropout=0.0))
    trained = [p for p in encoder.model.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == parameters
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    adapted = encoder.encode_items(TEXTS)
    assert np.abs(adapted - base).max() > 1e-3
    merge_adapters(encoder)
    encoder.save(tmp_path)
    assert "peft" not in str(type(TransformerEncoder.load_saved(tmp_path).model))
    assert TransformerEncoder.load_saved(tmp_path).encode_items(TEXTS) == pytest.approx(adapted, abs=1e-5)


def test_a_prompt_stands_before_queries_and_items_and_costs_them_no_words(tiny_encoder: Path) -> None:
    encoder = _loaded(tiny_encoder, query_prefix="for ")
    before = {kind: encoder.tokenize(TEXTS, kind) for kind in ("query", "item")}
    words = len(encoder.tokenizer)
    add_prompt(encoder, 3, seed=0)
    add_prompt(encoder, 3, seed=1)  # it is there already
    new = [words, words + 1, words + 2]
    for kind in ("query", "item"):
        assert encoder.tokenize(TEXTS, kind) == [[row[0], *new, *row[1:]] for row in before[kind]]
    assert encoder.settings.max_length == 27
    for count in (2, 4):
        with pytest.raises(ConfigError, match=rf"prompt_tokens is {count}, but the encoder"):
            add_prompt(encoder, count, seed=0)


@pytest.mark.parametrize(("method", "rate"), [("ia3", 0.05), ("prompt", 0.1)])
def test_it_learns_on_a_shop(
    make_spec: Any, tmp_path: Path, method: str, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss falls; weights that are not adapted are the base's, to the last bit; a prompt's examples were
    cut with it."""
    monkeypatch.setattr(callbacks, "SECONDS_BETWEEN_LINES", 0.0)
    spec = make_spec(method=method, prompt_tokens=4, learning_rate=rate, epochs=3, validation=True, noise=0.0,
                     patience=3)  # fmt: skip
    attempt = begin_attempt(tmp_path / "work", spec)
    run_rank(attempt.folder)
    losses = [
        line["loss"]
        for line in map(json.loads, attempt.metrics.read_text().splitlines())
        if line["kind"] == "step"
    ]
    assert np.mean(losses[-4:]) < 0.95 * np.mean(losses[:4])
    base, trained = (
        load_file(Path(spec.base) / "model.safetensors"),
        load_file(attempt.model / "model.safetensors"),
    )
    name = "encoder.layer.0.attention.self.query.weight"
    assert torch.equal(base[name], trained[name])
    saved = TransformerEncoder.load_saved(attempt.model)
    assert saved.settings.item_prefix == (
        "[PROMPT0][PROMPT1][PROMPT2][PROMPT3]" if method == "prompt" else ""
    )


def test_a_prefix_learns_and_is_saved_beside_its_base(
    make_spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and values of two layers before every text: the loss falls; what was saved, loaded again, finds as
    much on validation as the run itself measured, and not what the base finds."""
    monkeypatch.setattr(callbacks, "SECONDS_BETWEEN_LINES", 0.0)
    spec = make_spec(method="prefix", adapter_only=True, prompt_tokens=4, learning_rate=0.1, epochs=3,
                     validation=True, noise=0.0, patience=3)  # fmt: skip
    monkeypatch.setenv(BASES, str(Path(spec.base).parent))
    attempt = begin_attempt(tmp_path / "work", spec)
    run_rank(attempt.folder)
    lines = [json.loads(line) for line in attempt.metrics.read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "step"]
    assert np.mean(losses[-4:]) < 0.95 * np.mean(losses[:4])
    saved = load_file(attempt.model / "adapter_model.safetensors")
    assert {name: tuple(of.shape) for name, of in saved.items()} == {"prompt_embeddings": (4, 2 * 2 * 32)}
    loaded = TransformerEncoder.load_saved(attempt.model)
    with pytest.raises(EncoderError, match="an encoder with a prefix cannot be saved as a whole one"):
        loaded.save(tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    base = TransformerEncoder.load(Path(spec.base), spec.encoder)
    assert np.abs(loaded.encode_items(TEXTS) - base.encode_items(TEXTS)).max() > 1e-2
    validation = read_validation(Path(spec.validation or ""), spec.encoder, spec.training)
    measured = [line["recall"] for line in lines if line["kind"] == "epoch"]
    found = validation_recall(validation, loaded.encode_items(validation.texts), loaded)
    assert stopping_recall(found, spec.primary) == pytest.approx(max(measured), abs=1e-6)


def test_a_prefix_begins_near_the_base(tiny_encoder: Path) -> None:
    """peft draws it with deviation 1."""
    encoder = _loaded(tiny_encoder)
    base = encoder.encode_items(TEXTS)
    prepare_model(encoder, PREFIX)
    [prefix] = [weight for weight in encoder.model.parameters() if weight.requires_grad]
    assert 0.015 < float(prefix.detach().std()) < 0.025
    assert (encoder.encode_items(TEXTS) * base).sum(axis=1).min() > 0.8


def test_a_prefix_that_does_not_fit_is_a_sentence(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a prefix of 120 leaves positions for texts of 8 tokens"):
        prepare_model(_loaded(tiny_encoder), PREFIX.model_copy(update={"prompt_tokens": 120}))
    config = DistilBertConfig(vocab_size=100, dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    DistilBertModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="a model of type distilbert takes no keys and values"):
        prepare_model(_loaded(tmp_path), PREFIX)


def test_a_prompted_encoder_is_exported_as_any_other(
    tiny_encoder: Path, tiny_exported: Path, tmp_path: Path
) -> None:
    """The graph's vectors are the model's. It is not the base's graph with other weights."""
    import onnxruntime

    encoder = _loaded(tiny_encoder)
    add_prompt(encoder, 3, seed=0)
    base = TransformerEncoder.load_saved(tiny_exported / "encoder")
    assert not reweight(tiny_exported / "onnx.onnx", base, encoder, tmp_path / "onnx.onnx")
    export_onnx(encoder, tmp_path / "onnx.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "onnx.onnx")
    [tokens] = encoder.tokenize(TEXTS[:1], "item")
    feed = {"input_ids": np.array([tokens]), "attention_mask": np.ones((1, len(tokens)), dtype=np.int64)}
    [vectors] = session.run(None, feed)
    assert vectors == pytest.approx(encoder.encode_items(TEXTS[:1]), abs=1e-5)


def test_what_peft_does_not_know_is_a_sentence(tiny_encoder: Path, tmp_path: Path) -> None:
    config = DistilBertConfig(vocab_size=100, dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    DistilBertModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_encoder).save_pretrained(tmp_path)
    encoder = _loaded(tmp_path)
    with pytest.raises(ConfigError, match=r"method ia3: peft has none for a model of type distilbert"):
        prepare_model(encoder, TrainingSettings(method="ia3"))


def test_a_prompt_is_not_averaged_with_a_base_that_has_none() -> None:
    with pytest.raises(ValidationError, match="set fine_tuned_share to 1"):
        TrainingSettings(method="prompt", fine_tuned_share=0.5)
