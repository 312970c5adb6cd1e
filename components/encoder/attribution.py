"""Which words of a query and of an item's text made them match: their cosine, split over the words.

Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365) over the word embeddings, by captum: a
token's contribution is the cosine's gradient along the straight path from the padding token's embedding to
its own. Special tokens stay what they are along the path, as usual for BERT-like models. Each side is
explained by itself, while the other side's vector is held fixed.

Shapes: t tokens of one text, d dimensions, s points of the path.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from components.contract.errors import EncoderError
from components.contract.records import Record
from components.encoder.batches import TOKENS_PER_BATCH
from components.encoder.transformer import TransformerEncoder
from components.encoder.words import TokenWords, token_words

# Points of the path, by the midpoint rule. With the default encoder, on 40 random pairs of shop words, the
# parts miss the whole by 0.0007 of a cosine (median; at most 0.0043); 10 points: at most 0.0095; 8: 0.0224.
STEPS = 12


class MatchExplanation(Record):
    """A cosine and what each word added to it; the words are in the order of their text."""

    score: float
    """Cosine of the two texts' vectors, as the encoder gives them."""
    query: tuple[tuple[str, float], ...]
    """Words of the query that the encoder read, each with its contribution to the cosine (any sign)."""
    item: tuple[tuple[str, float], ...]
    """The same for the item's text."""
    query_rest: float
    """Contribution of the query's tokens that belong to no word: the encoder's prefix, spaces."""
    item_rest: float
    query_baseline: float
    """Cosine with padding in place of the query's words and prefix: where its contributions start from."""
    item_baseline: float
    completeness: float
    """How far the contributions miss what they should add up to, score − baseline: |difference|, of the two
    sides the larger. Near 0 is good; more steps make it smaller."""


@dataclass(frozen=True)
class _Parts:
    words: tuple[tuple[str, float], ...]
    rest: float
    baseline: float

    @property
    def end(self) -> float:
        """The score that baseline and contributions add up to."""
        return self.baseline + self.rest + sum(part for _, part in self.words)


def explain_match(
    encoder: TransformerEncoder, query: str, item_text: str, steps: int = STEPS
) -> MatchExplanation:
    """What each word of `query` and of `item_text` adds to the cosine of the two.

    A word is what stands between spaces, read to where the encoder cuts the text (`max_length`). steps:
    points of the path, at least 1; cost and exactness grow with them. Other threads may use the encoder
    meanwhile. Raises EncoderError where a text has no word that the encoder reads, or its model takes no
    embeddings.
    """
    if steps < 1:
        raise EncoderError(f"An explanation needs at least one step of the path; it was asked for {steps}.")
    _check_model(encoder)
    sides = token_words(encoder, query, "query"), token_words(encoder, item_text, "item")
    with _evaluating(encoder.model):
        with torch.no_grad():
            vectors = [encoder.forward_ids([side.ids]) for side in sides]
            vectors[0] = encoder.as_query(vectors[0])
        of_query = _parts(encoder, sides[0], vectors[1], steps, encoder.as_query)
        of_item = _parts(encoder, sides[1], vectors[0], steps, _unchanged)
    score = float((vectors[0] * vectors[1]).sum())
    return MatchExplanation(
        score=score,
        query=of_query.words,
        item=of_item.words,
        query_rest=of_query.rest,
        item_rest=of_item.rest,
        query_baseline=of_query.baseline,
        item_baseline=of_item.baseline,
        completeness=max(abs(side.end - score) for side in (of_query, of_item)),
    )


def _check_model(encoder: TransformerEncoder) -> None:
    if "inputs_embeds" not in inspect.signature(encoder.model.forward).parameters:
        name = type(encoder.model).__name__
        raise EncoderError(f"Matches of this encoder cannot be explained: {name} takes no word embeddings.")


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Without dropout; afterwards in the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _unchanged(vectors: Tensor) -> Tensor:
    return vectors


def _parts(
    encoder: TransformerEncoder,
    side: TokenWords,
    other: Tensor,
    steps: int,
    as_searched: Callable[[Tensor], Tensor],
) -> _Parts:
    """Contributions of one side's words; other: (1, d), the other side's vector; as_searched: what becomes of
    this side's vectors before they are compared."""
    ids = torch.tensor([side.ids], device=encoder.device)
    padded = [
        id_ if special else encoder._pad_id for id_, special in zip(side.ids, side.special, strict=True)
    ]
    embed = encoder.model.get_input_embeddings()
    cosine = _cosine_with(encoder, other, as_searched)
    with torch.no_grad():
        inputs, baselines = embed(ids), embed(torch.tensor([padded], device=encoder.device))
        baseline = float(cosine(baselines))
    per_token = _integrate(cosine, inputs, baselines, steps)
    sums = [0.0] * len(side.words)
    rest = 0.0
    for word, part in zip(side.word_of, per_token, strict=True):
        if word is None:
            rest += part
        else:
            sums[word] += part
    return _Parts(tuple(zip(side.words, sums, strict=True)), rest, baseline)


def _cosine_with(
    encoder: TransformerEncoder, other: Tensor, as_searched: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    """(s, t, d) word embeddings → (s,) cosines with `other`, (1, d)."""

    def cosine(embeddings: Tensor) -> Tensor:
        mask = torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device)
        states = encoder.model(inputs_embeds=embeddings, attention_mask=mask).last_hidden_state
        vectors = encoder.unit(encoder._pool(states, mask))
        return (as_searched(vectors) * other).sum(dim=-1)

    return cosine


def _integrate(
    cosine: Callable[[Tensor], Tensor], inputs: Tensor, baselines: Tensor, steps: int
) -> list[float]:
    """Contribution of each of t tokens; inputs, baselines: (1, t, d) word embeddings.

    captum gets the embeddings themselves: its LayerIntegratedGradients gives the same numbers, but by a hook
    on the embedding layer, which would replace the words of whatever other threads encode meanwhile.
    """
    from captum.attr import IntegratedGradients  # imports matplotlib: only where an explanation is asked for

    at_once = max(1, TOKENS_PER_BATCH // inputs.shape[1])
    contributions: Tensor = IntegratedGradients(cosine).attribute(
        inputs,
        baselines=baselines,
        n_steps=steps,
        method="riemann_middle",
        internal_batch_size=at_once if at_once < steps else None,
    )
    per_token: list[float] = contributions.sum(dim=-1)[0].tolist()
    return per_token
