"""The transformers adapter: any encoder- or decoder-type model as text → unit vector.

Shapes: n texts, t tokens (padded to the longest of a batch), d dimensions.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils import logging as transformers_logging

from components.contract.errors import EncoderError
from components.contract.files import disk_errors, write_json
from components.contract.ports import Vectors
from components.contract.settings import EncoderSettings
from components.encoder.base import folder_digest

TextKind = Literal["query", "item"]
SETTINGS_FILE = "encoder.json"
# Tokens of one inference batch, padding included: large enough to keep two cores busy, small enough
# to stay in their caches (measured: 2,048–8,192 within 5 % of each other on titles of 20 tokens).
TOKENS_PER_BATCH = 4_096


class TransformerEncoder:
    """A transformers model, its tokenizer and the settings that turn token states into a unit vector.

    Implements the `Encoder` port. Code from a hub repository is never executed.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: EncoderSettings, digest: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings
        self._digest = digest

    @classmethod
    def load(cls, folder: Path, settings: EncoderSettings) -> Self:
        """Loads safetensors weights from `folder`; raises EncoderError where they do not fit."""
        transformers_logging.set_verbosity_error()  # its load report calls an unused pooler UNEXPECTED
        transformers_logging.disable_progress_bar()
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            model = AutoModel.from_pretrained(
                folder,
                config=config,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                **_without_pooler(config),
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, use_fast=True)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise EncoderError(f"{folder}: no encoder that transformers can load ({reason}).") from error
        return cls(model.eval(), tokenizer, settings, folder_digest(folder, settings))

    @classmethod
    def load_saved(cls, folder: Path) -> Self:
        """Loads what `save` wrote, with its own settings."""
        path = folder / SETTINGS_FILE
        if not path.is_file():
            raise EncoderError(f"{path} is missing: {folder} was not written by Debut's encoder.")
        return cls.load(folder, EncoderSettings.model_validate(json.loads(path.read_text())))

    def save(self, folder: Path) -> str:
        """Writes safetensors, tokenizer and settings; returns the digest under which `load` finds them."""
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        write_json(folder / SETTINGS_FILE, self.settings.model_dump(mode="json"))
        self._digest = folder_digest(folder, self.settings)
        return self._digest

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def dimensions(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[list[int]]:
        """Token ids with prefix and special tokens, cut at `max_length`."""
        prefix = self.settings.query_prefix if kind == "query" else self.settings.item_prefix
        if not texts:
            return []
        encoded = self.tokenizer(
            [prefix + text for text in texts], truncation=True, max_length=self.settings.max_length
        )
        ids: list[list[int]] = encoded["input_ids"]
        # A tokenizer without special tokens gives no token for an empty text; one is needed to pool.
        return [row or [self._pad_id] for row in ids]

    def forward_ids(self, batch: Sequence[Sequence[int]]) -> Tensor:
        """Token ids of n texts → (n, d) unit vectors; pads inside; gradients flow."""
        ids, mask = self._pad(batch)
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (n, t, d)
        return torch.nn.functional.normalize(self._pool(states, mask).float(), dim=-1)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts, "query")

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts, "item")

    @property
    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id or 0)

    def _pad(self, batch: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        longest = max(len(row) for row in batch)
        ids = np.full((len(batch), longest), self._pad_id, dtype=np.int64)
        mask = np.zeros((len(batch), longest), dtype=np.int64)
        for number, row in enumerate(batch):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        return torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)

    def _pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(n, t, d) token states → (n, d)."""
        if self.settings.pooling == "cls":
            return states[:, 0]
        if self.settings.pooling == "last_token":
            last = mask.sum(dim=1) - 1
            return states[torch.arange(len(states), device=states.device), last]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

    def _encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Each distinct text once, in batches of like length, without gradients, fp32: (n, d)."""
        distinct = sorted(set(texts))
        tokens = self.tokenize(distinct, kind)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        vectors = np.zeros((len(distinct), self.dimensions), dtype=np.float32)
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            for batch in _batches(order, tokens):
                vectors[batch] = self.forward_ids([tokens[row] for row in batch]).cpu().numpy()
        self.model.train(training)
        position = {text: row for row, text in enumerate(distinct)}
        rows = np.fromiter((position[text] for text in texts), dtype=np.int64, count=len(texts))
        return vectors[rows]


def _without_pooler(config: Any) -> dict[str, bool]:
    """Leaves out a pooler that we never use: its parameters get no gradient, which DDP refuses."""
    model_class = MODEL_MAPPING.get(type(config), None)
    arguments = getattr(getattr(model_class, "__init__", None), "__code__", None)
    names = arguments.co_varnames if arguments is not None else ()
    return {"add_pooling_layer": False} if "add_pooling_layer" in names else {}


def _batches(order: list[int], tokens: list[list[int]]) -> list[list[int]]:
    """Cuts rows, shortest first, into batches of at most TOKENS_PER_BATCH tokens, padding included."""
    batches: list[list[int]] = []
    current: list[int] = []
    for row in order:
        if current and (len(current) + 1) * len(tokens[row]) > TOKENS_PER_BATCH:
            batches.append(current)
            current = []
        current.append(row)
    return [*batches, current] if current else batches
