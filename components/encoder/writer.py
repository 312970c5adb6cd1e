"""A writer of queries: an encoder–decoder that reads an item's text and writes what people might ask for it.

doc2query (Nogueira et al. 2019) with drawn instead of likeliest words, as docTTTTTquery has them. The encoder
is the base encoder, the decoder its first layers with cross-attention (Rothe et al., TACL 2020), so both have
its words. What is written for a text depends on the text alone, not on what else is written for.

Shapes: n texts, t their tokens, q queries' tokens, v words of the vocabulary, d dimensions.
"""

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    EncoderDecoderModel,
    LogitsProcessor,
    LogitsProcessorList,
)
from transformers.modeling_outputs import BaseModelOutput

from components.contract.digests import sha256_bytes
from components.contract.errors import EncoderError
from components.contract.files import disk_errors, write_json
from components.encoder.batches import padded, token_batches
from components.encoder.loading import loading

QUERY_TOKENS = 16
"""At most in a written query, its ends included."""
LIKELIEST = 10
"""Each word is drawn from so many, in proportion to what the decoder thinks of them (docTTTTTquery)."""
SETTINGS = "writer.json"


class QueryWriter:
    def __init__(self, model: Any, tokenizer: Any, words: Sequence[int], max_length: int) -> None:
        """words: ids, ascending, of the tokens that the decoder knows; it numbers them by their places."""
        self.model = model
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._words = np.asarray(words, dtype=np.int64)
        self._first, self._last, self._pad = self._numbers(
            [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
        )

    @classmethod
    def begin(cls, base: Path, texts: Sequence[str], *, layers: int, max_length: int, seed: int) -> Self:
        """Untrained, from a base encoder; it will write with the tokens that occur in `texts`: a third of
        MiniLM's are enough for a shop, and most of the time goes into weighing every one of them.

        Raises EncoderError where the base's kind has no decoder with cross-attention, it has fewer layers, or
        its tokenizer no ends.
        """
        try:
            with loading(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)  # cross-attention and the last layer begin with random weights
                encoder = AutoModel.from_pretrained(base, dtype=torch.float32, add_pooling_layer=False)
                decoder = AutoModelForCausalLM.from_pretrained(
                    base,
                    dtype=torch.float32,
                    num_hidden_layers=layers,
                    is_decoder=True,
                    add_cross_attention=True,
                )
            tokenizer = AutoTokenizer.from_pretrained(base, use_fast=True)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise EncoderError(
                f"{base}: no query writer can be made from it ({reason}); it has to be of BERT's kind."
            ) from error
        ends = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
        if None in ends:
            raise EncoderError(
                f"{base}: its tokenizer has no tokens for a text's ends, which a writer needs."
            )
        if layers > encoder.config.num_hidden_layers:
            raise EncoderError(
                f"augment.writer.layers is {layers}, but {base} has {encoder.config.num_hidden_layers}."
            )
        words = sorted({*ends, *chain.from_iterable(tokenizer(list(texts))["input_ids"])})
        known = decoder.get_input_embeddings().weight[words].detach()
        decoder.resize_token_embeddings(len(words))
        with torch.no_grad():
            decoder.get_input_embeddings().weight.copy_(known)
        model = EncoderDecoderModel(encoder=encoder, decoder=decoder)
        return cls(model.eval(), tokenizer, words, max_length)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote."""
        with disk_errors(folder / SETTINGS):
            settings = json.loads((folder / SETTINGS).read_bytes())
        try:
            with loading():
                model = EncoderDecoderModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise EncoderError(f"{folder}: no query writer that can be loaded ({reason}).") from error
        return cls(model.eval(), tokenizer, settings["words"], settings["max_length"])

    def save(self, folder: Path) -> None:
        """Weights as safetensors, tokenizer, settings."""
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
        words = {"words": self._words.tolist(), "max_length": self.max_length}
        write_json(folder / SETTINGS, words)

    def text_tokens(self, texts: Sequence[str]) -> list[list[int]]:
        return self._tokens(texts, self.max_length)

    def query_tokens(self, queries: Sequence[str]) -> list[list[int]]:
        """The decoder's numbers of the words of queries that `begin` was given."""
        return [self._numbers(query) for query in self._tokens(queries, QUERY_TOKENS)]

    def _tokens(self, texts: Sequence[str], length: int) -> list[list[int]]:
        encoded: list[list[int]] = self.tokenizer(list(texts), truncation=True, max_length=length)[
            "input_ids"
        ]
        return encoded

    def _numbers(self, tokens: Sequence[int]) -> list[int]:
        numbers: list[int] = np.searchsorted(self._words, tokens).tolist()
        return numbers

    def encode(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """(n, t, d) states and (n, t) mask, without gradients: the encoder learns nothing. It knows what the
        words mean, and the few pairs of a shop would make it forget."""
        ids, mask = (torch.from_numpy(part) for part in padded(texts, self.tokenizer.pad_token_id))
        with torch.no_grad():
            return self.model.encoder(input_ids=ids, attention_mask=mask).last_hidden_state, mask

    def loss(self, encoded: tuple[Tensor, Tensor], queries: Sequence[Sequence[int]]) -> Tensor:
        """Mean cross entropy of the queries' tokens, each after those before it."""
        states, mask = encoded
        ids, seen = (torch.from_numpy(part) for part in padded(queries, self._pad))
        scores = self.model.decoder(
            input_ids=ids[:, :-1],
            attention_mask=seen[:, :-1],
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).logits  # (n, q − 1, v)
        wanted = ids[:, 1:].masked_fill(seen[:, 1:] == 0, -100)
        return torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten())

    def write(self, texts: Sequence[str], count: int, seed: int = 0) -> list[list[str]]:
        """Per text up to `count` distinct queries, in the order drawn; fewer where some came out alike or
        empty."""
        if not texts:
            return []  # a tokenizer refuses none
        distinct = sorted(set(texts))
        tokens = self.text_tokens(distinct)
        order = sorted(range(len(tokens)), key=lambda row: len(tokens[row]))
        written: dict[str, list[str]] = {}
        with torch.inference_mode():
            for batch in token_batches(order, tokens):
                found = self._write(
                    [distinct[row] for row in batch], [tokens[row] for row in batch], count, seed
                )
                written |= {distinct[row]: queries for row, queries in zip(batch, found, strict=True)}
        return [written[text] for text in texts]

    def _write(self, texts: list[str], tokens: list[list[int]], count: int, seed: int) -> list[list[str]]:
        states, mask = self.encode(tokens)
        noise = np.concatenate([_noise(text, count, seed) for text in texts])
        drawn = self.model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=states.repeat_interleave(count, dim=0)),
            attention_mask=mask.repeat_interleave(count, dim=0),
            decoder_start_token_id=self._first,
            eos_token_id=self._last,
            pad_token_id=self._pad,
            max_new_tokens=QUERY_TOKENS - 1,
            do_sample=False,
            logits_processor=LogitsProcessorList([_Drawn(torch.from_numpy(noise))]),
        )
        queries = self.tokenizer.batch_decode(self._words[drawn.numpy()], skip_special_tokens=True)
        return [
            [query for query in dict.fromkeys(queries[first : first + count]) if query.strip()]
            for first in range(0, len(queries), count)
        ]


class _Drawn(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """Draws one of the likeliest words: the highest score after Gumbel noise was added is a draw in
    proportion to the softmax (Gumbel 1954)."""

    def __init__(self, noise: Tensor) -> None:
        """noise: (n, steps, LIKELIEST)."""
        self._noise = noise

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        best, words = scores.topk(LIKELIEST, dim=-1)
        chosen = (best + self._noise[:, input_ids.shape[1] - 1]).argmax(dim=-1, keepdim=True)
        return torch.full_like(scores, -torch.inf).scatter(1, words.gather(1, chosen), 0.0)


def _noise(text: str, count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(count, steps, LIKELIEST) by the text and the seed alone."""
    rng = np.random.default_rng([seed, int(sha256_bytes(text.encode())[:15], 16)])
    return rng.gumbel(size=(count, QUERY_TOKENS, LIKELIEST)).astype(np.float32)
