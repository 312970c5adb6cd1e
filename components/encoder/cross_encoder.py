"""A cross-encoder: it reads a query and an item's text together, and gives one number of how well they fit.

Too slow to search by, since every pair is read anew; nearer to what people judge than two vectors are
(Nogueira & Cho 2019, "Passage re-ranking with BERT"). What fits it is learnt: components.training.teacher.

Shapes: n pairs of a query and a text, t tokens (padded to the longest of a batch).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from components.contract.errors import EncoderError
from components.contract.files import disk_errors
from components.encoder.batches import token_batches
from components.encoder.loading import loading
from components.encoder.transformer import gains_by_bf16, longest_text

QUERY_TOKENS = 32
"""Room for the query, beside the text's `max_length`."""
Tokens = Mapping[str, list[list[int]]]
"""Per kind of input of the model its numbers of each pair."""


class CrossEncoder:
    def __init__(self, model: Any, tokenizer: Any, max_length: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._length = min(max_length + QUERY_TOKENS, longest_text(model.config))

    @classmethod
    def load(cls, folder: Path, max_length: int, seed: int = 0) -> Self:
        """What `save` wrote; or an encoder, which then gets an untrained output, drawn by seed.

        max_length: tokens of an item's text. Raises EncoderError where there is no such model.
        """
        try:
            with loading(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                model = AutoModelForSequenceClassification.from_pretrained(
                    folder, num_labels=1, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
                )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, use_fast=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise EncoderError(
                f"{folder}: no cross-encoder can be made from it ({reason}); set "
                f"training.distillation.weight to 0."
            ) from error
        if tokenizer.pad_token_id is None:
            raise EncoderError(
                f"{folder}: its tokenizer has no padding token, which a cross-encoder needs; set "
                f"training.distillation.weight to 0."
            )
        model.config.pad_token_id = tokenizer.pad_token_id  # it looks there for where a text ends
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(model.eval().to(device), tokenizer, max_length)

    def save(self, folder: Path) -> None:
        """Weights as safetensors, and the tokenizer."""
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    def tokenize(self, queries: Sequence[str], texts: Sequence[str]) -> Tokens:
        """The longer of query and text is cut first, to what the model has positions for."""
        encoded: Tokens = self.tokenizer(
            list(queries), list(texts), truncation=True, max_length=self._length
        ).data
        return encoded

    def logits(self, tokens: Tokens, rows: Sequence[int]) -> Tensor:
        """(n,) of the rows of `tokens`; gradients flow; in bf16 where the device gains by it."""
        part = {name: [of[row] for row in rows] for name, of in tokens.items()}
        inputs = self.tokenizer.pad(part, return_tensors="pt").to(self.model.device)
        device = self.model.device.type
        with torch.autocast(device, torch.bfloat16, enabled=gains_by_bf16(device)):
            found: Tensor = self.model(**inputs).logits[:, 0]
        return found.float()

    def score(self, queries: Sequence[str], texts: Sequence[str]) -> NDArray[np.float32]:
        """(n,), higher fits better: the log odds of the best grade."""
        scores = np.zeros(len(queries), dtype=np.float32)
        if not len(queries):
            return scores
        tokens = self.tokenize(queries, texts)
        ids = tokens["input_ids"]
        with torch.inference_mode():
            for batch in token_batches(sorted(range(len(ids)), key=lambda row: len(ids[row])), ids):
                scores[batch] = self.logits(tokens, batch).cpu().numpy()
        return scores
