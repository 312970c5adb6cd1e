"""The model that pretraining begins with: a base encoder with a prediction head, or one from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedTokenizerFast,
)

from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.contract.pretraining import PretrainingSettings
from components.encoder.base import folder_digest
from components.encoder.loading import loading
from components.encoder.transformer import TransformerEncoder

HEAD_WIDTH = 32
"""Dimensions of an attention head of a model from scratch."""
_SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
            "mask_token": "[MASK]"}  # fmt: skip


@dataclass(frozen=True)
class Start:
    """A masked language model and its tokenizer."""

    model: Any
    tokenizer: Any
    fresh_head: bool
    """Whether the prediction head has random weights, because the base brought none."""

    def encoder(self, settings: EncoderSettings, folder: Path) -> TransformerEncoder:
        """The model without its head, as text → unit vector; shares the weights."""
        return TransformerEncoder(
            self.model.base_model, self.tokenizer, settings, folder_digest(folder, settings)
        )


def load_start(folder: Path, seed: int = 0) -> Start:
    """A masked language model from a base's folder.

    A base without a prediction head, such as a sentence encoder, gets transformers' own: its dense layer is
    drawn from N(0, initializer_range), its output matrix is the word embeddings (tied), its biases are zero.
    Raises EncoderError for a model that guesses no hidden words (a decoder) or has no mask token.
    """
    try:
        torch.manual_seed(seed)  # of a new head
        with loading():
            model, loaded = AutoModelForMaskedLM.from_pretrained(
                folder,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, use_fast=True)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EncoderError(
            f"{folder}: no model that learns by guessing hidden words ({str(error).splitlines()[0][:200]}). "
            f"Name an encoder-type model, or set pretraining.start to scratch."
        ) from error
    if tokenizer.mask_token is None:
        raise EncoderError(f"{folder}: its tokenizer has no mask token; set pretraining.start to scratch.")
    return Start(model, tokenizer, fresh_head=bool(loaded["missing_keys"]))


def save_scratch(texts: Sequence[str], settings: PretrainingSettings, max_length: int, out: Path) -> None:
    """Writes a BERT with random weights and a WordPiece tokenizer learned from the texts.

    max_length: the longest text, in tokens, that it will be asked for.
    """
    tokenizer = _learned_tokenizer(texts, settings.vocabulary)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **_SPECIAL)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.width // HEAD_WIDTH,
        intermediate_size=4 * settings.width,
        max_position_embeddings=max(settings.max_length, max_length),
        pad_token_id=wrapped.pad_token_id,
    )
    torch.manual_seed(settings.seed)
    BertForMaskedLM(config).save_pretrained(out)
    wrapped.save_pretrained(out)


def _learned_tokenizer(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """The same from the same texts: inner letters get their numbers here, because the trainer numbers them by
    hash, another in each process, and by these numbers it settles ties."""
    normalizer, words = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    inner = {
        letter
        for text in texts
        for word, _ in words.pre_tokenize_str(normalizer.normalize_str(text))
        for letter in word[1:]
    }
    given = [*_SPECIAL.values(), *(f"##{letter}" for letter in sorted(inner))]
    learning = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learning.normalizer, learning.pre_tokenizer = normalizer, words
    learning.train_from_iterator(
        texts, trainers.WordPieceTrainer(vocab_size=vocabulary, special_tokens=given, show_progress=False)
    )
    # Anew, so that an inner letter is no special token.
    tokenizer = Tokenizer(models.WordPiece(learning.get_vocab(), unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, words
    tokenizer.add_special_tokens(list(_SPECIAL.values()))
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer
