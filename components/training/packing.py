"""Encoding texts of different lengths as one row of tokens, without padding.

All layers but attention work on tokens alone, so the texts of a batch lie one behind the other in one row:
one large matrix product instead of one per group of like length, and one dense gradient of the embedding
table instead of one per group (with it, and without a token of padding, a step of MiniLM on two AVX-512
cores takes four fifths of the time). Attention is computed per block of texts of one length, which needs no
mask. transformers hands the row to it by the name under which it is registered (AttentionInterface).

On a GPU the blocks would be too many and too small; there texts are padded in groups (`length_groups.py`).

Legend of shapes: n texts, t tokens of all texts together, l tokens of each text of a block, d dimensions, a
attention heads.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from components.encoder.transformer import TransformerEncoder
from components.training.dropout import dropped
from components.training.ragged import Integers

logger = logging.getLogger(__name__)
ATTENTION = "packed_blocks"
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Packing:
    """How the texts lie in the row: shortest first."""

    order: Integers
    """(n,) which text comes first, second, …"""
    blocks: tuple[tuple[int, int], ...]
    """Texts and l of each block."""

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> "Packing":
        lengths = np.asarray([len(tokens) for tokens in texts])
        blocks = zip(*np.unique(lengths, return_counts=True), strict=True)
        return cls(
            np.argsort(lengths, kind="stable"), tuple((int(count), int(length)) for length, count in blocks)
        )

    @property
    def sizes(self) -> list[int]:
        """Tokens of each block; their sum is t."""
        return [texts * length for texts, length in self.blocks]


def packed_vectors(encoder: TransformerEncoder, texts: Sequence[Sequence[int]]) -> Tensor:
    """Token ids of n texts → (n, d) unit vectors, as `encoder.forward_ids` gives them; gradients flow.

    Only for an encoder that `packs`.
    """
    packing = Packing.of(texts)
    return pooled(encoder, packed_states(encoder, texts, packing), packing)


def packed_states(encoder: TransformerEncoder, texts: Sequence[Sequence[int]], packing: Packing) -> Tensor:
    """Token ids of n texts → (t, d) states behind the last layer, in the packing's order."""
    ids = np.concatenate([np.asarray(texts[text], dtype=np.int64) for text in packing.order])
    positions = np.concatenate([np.tile(np.arange(length), count) for count, length in packing.blocks])
    with _attention(encoder.model.config):
        output = encoder.model(
            input_ids=torch.from_numpy(ids)[None].to(encoder.device),
            position_ids=torch.from_numpy(positions)[None].to(encoder.device),
            packed_blocks=packing.blocks,
            use_cache=False,
        )
    states: Tensor = output.last_hidden_state[0]
    return states


def pooled(encoder: TransformerEncoder, states: Tensor, packing: Packing) -> Tensor:
    """(t, d) states in the packing's order → (n, d) unit vectors of the texts in theirs."""
    blocks = torch.split(states, packing.sizes)  # per block (texts · l, d)
    parts = [
        _pool(block.view(count, length, -1), encoder.settings.pooling)
        for block, (count, length) in zip(blocks, packing.blocks, strict=True)
    ]
    back = torch.from_numpy(np.argsort(packing.order)).to(encoder.device)
    return encoder.unit(torch.cat(parts))[back]


def packs(encoder: TransformerEncoder) -> bool:
    """Whether this model gives packed texts the vectors that it gives padded ones.

    Tried out, on texts of four lengths up to the longest, because a model's code may count positions itself
    (RoBERTa), look through a window (ModernBERT) or know no attention interface: its texts are padded.
    """
    rng = np.random.default_rng(0)
    config = encoder.model.config
    longest = min(encoder.settings.max_length, getattr(config, "max_position_embeddings", 512))
    texts = [rng.integers(0, config.vocab_size, length).tolist() for length in (2, 3, 3, longest)]
    training = encoder.model.training
    encoder.model.eval()
    try:
        with torch.inference_mode(), torch.autocast(encoder.device.type, enabled=False):
            packed, padded = packed_vectors(encoder, texts), encoder.forward_ids(texts)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        logger.info("texts are padded: %s takes no packed ones (%s)", config.model_type, error)
        return False
    finally:
        encoder.model.train(training)
    if not torch.allclose(packed, padded, atol=TOLERANCE, rtol=0):
        logger.info("texts are padded: %s gives packed ones other vectors", config.model_type)
        return False
    return True


@contextmanager
def _attention(config: Any) -> Iterator[None]:
    """Makes the model attend within blocks; what it did before comes back, for padded texts."""
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, _attend_in_blocks)
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend_in_blocks(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    packed_blocks: tuple[tuple[int, int], ...],
    **options: Any,
) -> tuple[Tensor, None]:
    """(1, a, t, d / a) of the row → (1, t, a, d / a), block by block: transformers' own SDPA attention, or
    with dropout the same with a faster one."""
    attend: Any = _attend_dropping if _drops(module, query, key, options) else ALL_ATTENTION_FUNCTIONS["sdpa"]
    sizes = [count * length for count, length in packed_blocks]
    # split, not slices: its gradient is one concatenation instead of a row of zeros per block.
    rows = zip(*(torch.split(part[0].transpose(0, 1), sizes) for part in (query, key, value)), strict=True)
    blocks = []
    for (count, length), parts in zip(packed_blocks, rows, strict=True):
        split = [part.view(count, length, *part.shape[1:]).transpose(1, 2) for part in parts]
        states, _ = attend(module, *split, None, **options)  # (texts, l, a, d / a)
        blocks.append(states.flatten(0, 1))
    return torch.cat(blocks)[None], None


def _drops(module: torch.nn.Module, query: Tensor, key: Tensor, options: dict[str, Any]) -> bool:
    """Whether there is dropout, and nothing that SDPA does and `_attend_dropping` does not: to hide what
    comes later, to share keys. (Biases of positions do not fit blocks: `packs` refuses them.)"""
    causal = options.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    return bool(options.get("dropout")) and not causal and query.shape[1] == key.shape[1]


def _attend_dropping(
    _module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None,
    *,
    dropout: float,
    scaling: float | None = None,
    **_options: Any,
) -> tuple[Tensor, None]:
    """SDPA attention with dropout of its weights, of which torch's is the slow one on a CPU: of MiniLM's
    packed blocks this takes four fifths of its time (measured). In fp32 under autocast, too, as SDPA's."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    with torch.autocast(query.device.type, enabled=False):
        weights = torch.softmax((query.float() * scale) @ key.float().transpose(2, 3), dim=-1)
        states = dropped(weights, dropout) @ value.float()
    return states.to(value.dtype).transpose(1, 2), None


def _pool(block: Tensor, pooling: str) -> Tensor:
    """(texts, l, d) of texts of one length → (texts, d)."""
    if pooling == "cls":
        return block[:, 0]
    return block[:, -1] if pooling == "last_token" else block.mean(dim=1)
