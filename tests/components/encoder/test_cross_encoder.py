"""The cross-encoder: pairs in, numbers out, whatever stands beside them; and models that are none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, Qwen2Config, Qwen2Model

from components.contract.errors import EncoderError
from components.encoder.cross_encoder import CrossEncoder

QUERIES = ["oak chair", "lamp", "", "chair oak for the garden with steel", "lamp"]
TEXTS = ["red folding oak chair", "small blue lamp for the kitchen", "towel", "oak " * 200, "mug"]


def test_a_pairs_score_does_not_depend_on_the_pairs_beside_it(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order given, and as transformers scores one pair; long texts are cut. In fp32: random weights
    score all pairs nearly alike, so that bf16, where a CPU gains by it, would not tell them apart."""
    monkeypatch.setattr("components.encoder.cross_encoder.gains_by_bf16", lambda _: False)
    cross = CrossEncoder.load(tiny_encoder, 24)
    scores = cross.score(QUERIES, TEXTS)
    for query, text, score in zip(QUERIES, TEXTS, scores, strict=True):
        one = cross.tokenizer([query], [text], truncation=True, max_length=56, return_tensors="pt")
        with torch.no_grad():
            assert float(cross.model(**one).logits) == pytest.approx(float(score), abs=1e-2)
    assert len(set(scores.tolist())) == 5
    assert cross.score([], []).shape == (0,)


def test_a_pair_is_cut_to_the_positions_that_the_model_has(tiny_encoder: Path) -> None:
    """128 here, all of which an item's text may have taken already."""
    scores = CrossEncoder.load(tiny_encoder, 128).score(["oak chair"], ["oak " * 400])
    assert np.isfinite(scores).all()


def test_a_model_that_names_no_padding_token_gets_its_tokenizers(tiny_encoder: Path, tmp_path: Path) -> None:
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    config = Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=1, **shape)
    assert config.pad_token_id is None
    Qwen2Model(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert np.isfinite(CrossEncoder.load(tmp_path, 24).score(QUERIES, TEXTS)).all()


def test_saved_and_loaded_it_gives_the_same_scores(tiny_encoder: Path, tmp_path: Path) -> None:
    """The untrained output is drawn by seed; a saved one is kept."""
    first, again, other = (CrossEncoder.load(tiny_encoder, 24, seed) for seed in (1, 1, 2))
    scores = first.score(QUERIES, TEXTS)
    assert np.array_equal(scores, again.score(QUERIES, TEXTS))
    assert not np.array_equal(scores, other.score(QUERIES, TEXTS))
    first.save(tmp_path)
    assert np.array_equal(scores, CrossEncoder.load(tmp_path, 24, 2).score(QUERIES, TEXTS))


def test_what_is_no_model_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no cross-encoder can be made from it .*; set training"):
        CrossEncoder.load(tmp_path, 24)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=200, **shape)).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="no padding token"):
        CrossEncoder.load(tmp_path, 24)
