"""The model that pretraining begins with."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.contract.pretraining import PretrainingSettings
from components.encoder.transformer import TransformerEncoder
from components.pretraining.start import load_start, save_scratch


def test_a_base_without_a_head_gets_one_that_is_tied_to_its_words(tiny_encoder: Path) -> None:
    """The encoder below is the base, to the last bit; a second load draws the same head."""
    start = load_start(tiny_encoder)
    assert start.fresh_head
    head = start.model.get_output_embeddings().weight
    assert head is start.model.get_input_embeddings().weight
    settings = EncoderSettings(name="tiny", max_length=16)
    ours = start.encoder(settings, tiny_encoder).encode_items(["red oak chair", "a lamp"])
    base = TransformerEncoder.load(tiny_encoder, settings).encode_items(["red oak chair", "a lamp"])
    assert (ours == base).all()
    again = load_start(tiny_encoder).model.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in start.model.state_dict().items())


def test_a_saved_head_is_taken_up(tiny_encoder: Path, tmp_path: Path) -> None:
    start = load_start(tiny_encoder)
    start.model.save_pretrained(tmp_path)
    start.tokenizer.save_pretrained(tmp_path)
    assert not load_start(tmp_path, seed=1).fresh_head


def test_from_scratch_the_vocabulary_is_the_texts_own(tmp_path: Path) -> None:
    """Words of the shop are one token each, though no other vocabulary has them; it is an encoder's."""
    texts = [f"tindrel {word} halven" for word in ("chair", "table", "lamp", "mug")] * 20
    settings = PretrainingSettings(start="scratch", vocabulary=200, layers=1, width=64)
    save_scratch(texts, settings, 32, tmp_path)
    start = load_start(tmp_path)
    assert start.tokenizer.tokenize("a Tindrel chair") == ["a", "tindrel", "chair"]
    encoder = TransformerEncoder.load(tmp_path, EncoderSettings(name="scratch", max_length=32))
    assert encoder.encode_items(["tindrel chair"]).shape == (1, 64)


def test_the_same_texts_give_the_same_vocabulary_in_every_process(tmp_path: Path) -> None:
    """Else a seed would not say which weights."""
    program = """
import sys
from pathlib import Path
from components.contract.pretraining import PretrainingSettings
from components.pretraining.start import save_scratch
texts = [f"{a}{b}{c} {c}{a}{b}{b}" for a in "abcdefg" for b in "hijklm" for c in "nopqr"]
settings = PretrainingSettings(start="scratch", vocabulary=120, layers=1, width=32)
save_scratch(texts, settings, 32, Path(sys.argv[1]))
"""
    found = []
    for name in ("one", "two", "three"):
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], check=True, timeout=120)
        found.append((tmp_path / name / "tokenizer.json").read_bytes())
    assert found[0] == found[1] == found[2]


def test_a_decoder_is_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
    )
    LlamaModel(config).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match=r"no model that learns by guessing hidden words.*scratch"):
        load_start(tmp_path)
