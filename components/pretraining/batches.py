"""The steps of a pretraining run: which texts and which titles each reads, by seed and step alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from transformers import DataCollatorForLanguageModeling

Tokens = list[list[int]]
POOL_BATCHES = 16
"""Batches whose texts are sorted by length together."""


@dataclass(frozen=True)
class Batch:
    """One rank's share of a step."""

    masked: dict[str, Tensor]
    """input_ids, attention_mask and labels, each (texts, tokens); label -100: not asked."""
    titles: Tokens
    descriptions: Tokens
    """As many; description n belongs to title n."""

    @property
    def pairs(self) -> int:
        """Texts: what the metrics count."""
        return len(self.masked["input_ids"])


class Masking:
    """Hides tokens as BERT was trained (80 % [MASK], 10 % another word, 10 % as they are), by seed."""

    def __init__(self, tokenizer: Any, share: float) -> None:
        self._tokenizer, self._share = tokenizer, share

    def __call__(self, texts: Sequence[list[int]], seed: int) -> dict[str, Tensor]:
        collate = DataCollatorForLanguageModeling(self._tokenizer, mlm_probability=self._share, seed=seed)
        collate.create_rng()
        batch = collate([{"input_ids": tokens} for tokens in texts])
        return {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}


class TextLoader:
    """All steps of a run for one rank; its state is the number of steps handed out."""

    def __init__(
        self,
        texts: Tokens,
        pairs: tuple[Tokens, Tokens],
        masking: Masking,
        *,
        batch_size: int,
        epochs: int,
        seed: int,
        rank: int,
        ranks: int,
    ) -> None:
        self._texts, self._pairs, self._masking = texts, pairs, masking
        self._size, self._seed, self._rank, self._ranks = batch_size, seed, rank, ranks
        self.steps_per_epoch = max(1, len(texts) // batch_size)
        self._steps = epochs * self.steps_per_epoch
        # All titles are asked as often as all texts are read, a full batch at a time.
        self._steps_per_pairs = max(1, round(len(texts) / max(1, len(pairs[0]))))
        self._position = 0
        self._plans: dict[int, tuple[int, list[list[int]]]] = {}

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        while self._position < self._steps:
            step = self._position
            self._position += 1
            yield self._batch(step)

    def state_dict(self) -> dict[str, int]:
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._position = state["position"]

    def _batch(self, step: int) -> Batch:
        texts = self._share(self._rows(self._texts, step, 0))
        titles, descriptions = self._pairs
        asked = len(titles) > 1 and step % self._steps_per_pairs == 0
        pairs = self._share(self._rows(titles, step // self._steps_per_pairs, 1)) if asked else []
        seed = np.random.SeedSequence((self._seed, step, self._rank)).generate_state(1)
        return Batch(
            masked=self._masking([self._texts[row] for row in texts], int(seed[0])),
            titles=[titles[row] for row in pairs],
            descriptions=[descriptions[row] for row in pairs],
        )

    def _share(self, rows: Sequence[int]) -> Sequence[int]:
        return rows[self._rank :: self._ranks]

    def _rows(self, texts: Tokens, step: int, task: int) -> list[int]:
        """A step's rows of the task's texts."""
        passed, place = divmod(step, len(texts) // min(self._size, len(texts)))
        if self._plans.get(task, (-1, []))[0] != passed:
            rng = np.random.default_rng((self._seed, task, passed))
            self._plans[task] = passed, _pass(texts, min(self._size, len(texts)), rng)
        return self._plans[task][1][place]


def _pass(texts: Tokens, size: int, rng: np.random.Generator) -> list[list[int]]:
    """All batches of one pass over the texts: drawn, sorted by length within pools of batches, so that little
    of a batch is padding, and drawn again. A rest smaller than a batch waits for another pass."""
    batches = len(texts) // size
    order = rng.permutation(len(texts))[: batches * size]
    lengths = np.asarray([len(tokens) for tokens in texts])
    pools = [order[start:][: size * POOL_BATCHES] for start in range(0, len(order), size * POOL_BATCHES)]
    rows = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    return [rows[batch * size :][:size].tolist() for batch in rng.permutation(batches)]
