"""The transformers adapter: any encoder- or decoder-type model as text → unit vector.

Shapes: n texts, t tokens (padded to the longest of a batch), d dimensions.
"""

import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.models.auto.modeling_auto import MODEL_MAPPING

from components.contract.errors import EncoderError
from components.contract.files import disk_errors, write_json
from components.contract.learning import EncoderSettings
from components.contract.ports import Vectors
from components.encoder.adapter import with_adapter, write_adapter
from components.encoder.base import (
    SETTINGS_FILE,
    adapted_base,
    folder_digest,
    has_adapter,
    saved_settings,
    write_adapter_base,
)
from components.encoder.batches import TextKind, encode_distinct, padded
from components.encoder.loading import loading
from components.encoder.query_map import QueryMap, mapped, read_query_map, write_query_map

_ROUNDS = 3
_OFFSET = ("roberta", "xlm-roberta", "camembert", "mpnet")
_CPU_BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # the last is Arm's


class TransformerEncoder:
    """A transformers model, its tokenizer and the settings that turn token states into a unit vector.

    Implements the `Encoder` port. Code from a hub repository is never executed.
    """

    def __init__(self, model: Any, tokenizer: Any, settings: EncoderSettings, digest: str) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.settings = settings
        self.query_map: QueryMap | None = None
        """Only what is searched by has it: training and the exported graph see the vectors before it."""
        self._digest = digest

    @classmethod
    def load(cls, folder: Path, settings: EncoderSettings) -> Self:
        """Loads safetensors weights from `folder`, or merges the adapter there with its base.

        Raises EncoderError where they do not fit, give fewer numbers than `settings.dimensions`, or have no
        positions for `settings.max_length` tokens, and where the adapter's base is not found.
        """
        weights = adapted_base(folder) if has_adapter(folder) else folder
        try:
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            with loading():
                model = AutoModel.from_pretrained(
                    weights,
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
        if settings.dimensions is not None and settings.dimensions > config.hidden_size:
            raise EncoderError(
                f"encoder.dimensions is {settings.dimensions}, but {settings.name} gives "
                f"{config.hidden_size} numbers per text: set so many or fewer."
            )
        longest = longest_text(config)
        if settings.max_length > longest:
            raise EncoderError(
                f"encoder.max_length is {settings.max_length}, but {settings.name} reads at most {longest} "
                f"tokens: set so many or fewer."
            )
        return cls(with_adapter(model, folder).eval(), tokenizer, settings, folder_digest(folder, settings))

    @classmethod
    def load_saved(cls, folder: Path) -> Self:
        """Loads what `save` wrote, with its own settings and its query map."""
        encoder = cls.load(folder, saved_settings(folder))
        encoder.query_map = read_query_map(folder, encoder.dimensions)
        return encoder

    def save(self, folder: Path, adapter_of: EncoderSettings | None = None) -> str:
        """Writes safetensors, tokenizer and settings; returns the digest under which `load` finds them.

        adapter_of: settings of the base that the model's adapters were added to: they alone are written.
        Raises EncoderError for a model whose prefix would be left out.
        """
        if adapter_of is None and hasattr(self.model, "peft_config"):
            raise EncoderError(f"{folder}: an encoder with a prefix cannot be saved as a whole one.")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if adapter_of is None:
                self.model.save_pretrained(folder)
            else:
                self.model.config.save_pretrained(folder)
                write_adapter(self.model, folder, self.settings.without_place().name)
                write_adapter_base(adapter_of, folder)
            self.tokenizer.save_pretrained(folder)
        write_json(folder / SETTINGS_FILE, self.settings.without_place().model_dump(mode="json"))
        if self.query_map is not None:
            write_query_map(self.query_map, folder)
        self._digest = folder_digest(folder, self.settings)
        return self._digest

    @property
    def digest(self) -> str:
        return self._digest

    @property
    def dimensions(self) -> int:
        return self.settings.dimensions or int(self.model.config.hidden_size)

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
        ids, mask = (torch.from_numpy(part).to(self.device) for part in padded(batch, self._pad_id))
        return self.vectors_of(ids, mask)

    def vectors_of(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(n, t) token ids and mask → (n, d) unit vectors."""
        states = self.model(input_ids=ids, attention_mask=mask).last_hidden_state  # (n, t, d)
        return self.unit(self._pool(states, mask))

    def unit(self, pooled: Tensor) -> Tensor:
        """(n, hidden size) → (n, d) of length 1."""
        if self.settings.dimensions is not None:
            pooled = pooled[:, : self.settings.dimensions]
        return torch.nn.functional.normalize(pooled.float(), dim=-1)

    def as_query(self, vectors: Tensor) -> Tensor:
        """(n, d) unit vectors of queries as they are searched by; gradients flow."""
        if self.query_map is None:
            return vectors
        turned = vectors @ torch.from_numpy(self.query_map).to(vectors.device).T
        return torch.nn.functional.normalize(turned, dim=-1)

    def encode_catalogue(self, texts: Sequence[str]) -> Vectors:
        """As `encode_items`, on a GPU where there is one, and in bf16 where the device gains by it:
        cosines to the fp32 vectors above 0.9999 (measured)."""
        home, device = self.device, "cuda" if torch.cuda.is_available() else "cpu"
        self.model.to(device)
        try:
            with torch.autocast(device, torch.bfloat16, enabled=gains_by_bf16(device)):
                return self._encode(texts, "item")
        finally:
            self.model.to(home)

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return mapped(self._encode(texts, "query"), self.query_map)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts, "item")

    @property
    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id or 0)

    def _pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """(n, t, d) token states → (n, d)."""
        if self.settings.pooling == "cls":
            return states[:, 0]
        if self.settings.pooling == "last_token":
            last = mask.sum(dim=1) - 1
            # Not len(states): an exported graph would hold the example's number of texts.
            return states[torch.arange(states.shape[0], device=states.device), last]
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1)

    def _encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        """Each distinct text once, without gradients, fp32: (n, d)."""
        training = self.model.training
        self.model.eval()
        with torch.inference_mode():
            vectors = encode_distinct(
                texts,
                lambda distinct: self.tokenize(distinct, kind),
                lambda batch: self.forward_ids(batch).cpu().numpy(),
                self.dimensions,
            )
        self.model.train(training)
        return vectors


def longest_text(config: Any) -> int:
    """Tokens that a model has positions for; without end where it has no table of them."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or not getattr(config, "position_biased_input", True):  # the latter: DeBERTa's kind
        return sys.maxsize
    # Some models (RoBERTa's kind) number positions from behind the padding token's.
    return int(positions - (config.pad_token_id + 1 if config.model_type in _OFFSET else 0))


def has_bf16(device: str) -> bool:
    """Whether a device, "cpu" or "cuda", computes in bf16 natively."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _CPU_BF16)


@cache
def gains_by_bf16(device: str) -> bool:
    """Whether a device encodes faster in bf16. A CPU that has instructions for it may still be slower by them
    (AVX-512 without matrix units), so MiniLM's widest product is tried on 1,024 tokens, once a process."""
    if device == "cuda" or not has_bf16(device):
        return has_bf16(device)
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        layer, states = torch.nn.Linear(384, 1536), torch.randn(1024, 384)
        fp32, bf16 = seconds_in_turns(lambda: layer(states))
    return bf16 < fp32


def seconds_in_turns(
    forward: Callable[[], Tensor], after: Callable[[Tensor], object] = id
) -> tuple[float, float]:
    """Seconds on the CPU in fp32 and in bf16 autocast: the least of three each, taken in turns after one that
    does not count. after: what follows outside of autocast, such as a gradient."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(1 + _ROUNDS):
        for half, of in seconds.items():
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                result = forward()
            after(result)
            of.append(time.perf_counter() - start)
    return min(seconds[False][1:]), min(seconds[True][1:])


def _without_pooler(config: Any) -> dict[str, bool]:
    """Leaves out a pooler that we never use: its parameters get no gradient, which DDP refuses."""
    model_class = MODEL_MAPPING.get(type(config), None)
    arguments = getattr(getattr(model_class, "__init__", None), "__code__", None)
    names = arguments.co_varnames if arguments is not None else ()
    return {"add_pooling_layer": False} if "add_pooling_layer" in names else {}
