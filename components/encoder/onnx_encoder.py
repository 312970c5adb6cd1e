"""The ONNX Runtime adapter: an exported encoder as an `Encoder`, without torch and transformers.

Shapes: n texts, t tokens, d dimensions.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from components.contract.digests import sha256_file, sha256_json
from components.contract.errors import EncoderError
from components.contract.learning import EncoderSettings
from components.contract.ports import Vectors
from components.encoder.base import QUERY_MAP_FILE, SETTINGS_FILE
from components.encoder.batches import TextKind, encode_distinct
from components.encoder.query_map import QueryMap, mapped, read_query_map

DEFAULT_THREADS = 1
"""Per process: on shared cores a second thread waits for the first (p99 500 ms instead of 3, measured)."""


class OnnxEncoder:
    """Runs an exported graph on the CPU. Implements the `Encoder` port."""

    def __init__(
        self,
        session: Any,
        tokenizer: Tokenizer,
        settings: EncoderSettings,
        pad_id: int,
        digest: str,
        threads: int = DEFAULT_THREADS,
        query_map: QueryMap | None = None,
    ) -> None:
        """threads: texts that are encoded side by side, one core each: two cores on one short text would wait
        for each other more than they compute."""
        self.settings = settings
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "encoder") if threads > 1 else None
        self._session = session
        self._dimensions = int(session.get_outputs()[0].shape[-1])
        self._tokenizer = tokenizer
        self._pad_id = pad_id
        self._digest = digest
        self._query_map = query_map

    @classmethod
    def load(cls, graph: Path, encoder: Path, threads: int = DEFAULT_THREADS) -> Self:
        """graph: what `onnx_export` wrote; encoder: the folder of the same encoder, for its tokenizer and
        settings. Raises EncoderError where either cannot be read."""
        with _readable(encoder):
            settings = EncoderSettings.model_validate(json.loads((encoder / SETTINGS_FILE).read_text()))
            tokenizer = Tokenizer.from_file(str(encoder / "tokenizer.json"))
            named = json.loads((encoder / "tokenizer_config.json").read_text())
        with _readable(graph):
            session = onnxruntime.InferenceSession(
                graph.read_bytes(), _options(), providers=["CPUExecutionProvider"]
            )
        tokenizer.no_padding()
        tokenizer.enable_truncation(settings.max_length, direction=named.get("truncation_side", "right"))
        query_map = read_query_map(encoder, int(session.get_outputs()[0].shape[-1]))
        files = [graph, encoder / QUERY_MAP_FILE] if query_map is not None else [graph]
        digest = sha256_json([*map(sha256_file, files), settings.model_dump(mode="json")])
        return cls(session, tokenizer, settings, _pad_id(tokenizer, named), digest, threads, query_map)

    @property
    def digest(self) -> str:
        return self._digest

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return mapped(self._encode(texts, "query"), self._query_map)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts, "item")

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[list[int]]:
        """Token ids with prefix and special tokens, cut at `max_length`."""
        prefix = self.settings.query_prefix if kind == "query" else self.settings.item_prefix
        encoded = self._tokenizer.encode_batch([prefix + text for text in texts])
        return [one.ids or [self._pad_id] for one in encoded]

    def _encode(self, texts: Sequence[str], kind: TextKind) -> Vectors:
        return encode_distinct(
            texts, lambda distinct: self.tokenize(distinct, kind), self._run, self._dimensions
        )

    def _run(self, batch: list[list[int]]) -> Vectors:
        """Text by text: an 8-bit graph takes one scale for all numbers of a call, so that a vector would
        depend on the texts beside it (cosines down to 0.96, measured), and the judge would rank by other
        vectors than the service. It costs a third of the time."""
        vectors = np.empty((len(batch), self._dimensions), dtype=np.float32)

        def encode(first: int) -> None:  # lengths are in order: all threads get alike
            for row in range(first, len(batch), self._threads):
                vectors[row] = self._vector(batch[row])

        each = map if self._pool is None else self._pool.map
        list(each(encode, range(self._threads)))  # a list: it raises what a thread raised
        return vectors

    def _vector(self, ids: list[int]) -> Vectors:
        """(1, d)"""
        tokens = np.asarray([ids], dtype=np.int64)
        inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        vectors: Vectors = self._session.run(None, inputs)[0]
        return vectors


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # both libraries raise bare Exception for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise EncoderError(f"{path}: no encoder that ONNX Runtime can load ({reason}).") from error


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return options


def _pad_id(tokenizer: Tokenizer, named: dict[str, Any]) -> int:
    """As TransformerEncoder has it: the padding token, else the end of sequence, else 0."""
    for name in ("pad_token", "eos_token"):
        token = named.get(name)
        text = token.get("content") if isinstance(token, dict) else token
        found = tokenizer.token_to_id(text) if text else None
        if found is not None:
            return int(found)
    return 0
