"""Which pairs make up a step, and what one rank computes of it.

Everything here is a pure function of (seed, epoch, step) and of the rank's number: a run that is resumed
sees what the uninterrupted one would have seen.

Batches are drawn at random and are homogeneous in kind (all queries or all histories): in-batch negatives
then come from the distribution of their kind, and no anchor can be told from another by its kind. Pairs
that share an anchor or an item are not kept apart: the loss masks them, and a popular item that may come
but once a step would pile up in the last ones. Lengths are bucketed inside a batch (`length_groups.py`):
queries, titles and negatives of like length share a forward pass. Batches sorted by the length of their
pairs would save nothing more, since a title and its query or negative differ in length anyway (measured on
home_depot, groups of at most 1,024 tokens: 15 % padding instead of 16 %).

Legend of shapes: b pairs of this rank, B pairs of the step, H hard negatives per pair, C = B + B · H
candidates, h items of the longest history (1 for queries), K candidates of a teacher per pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from components.augment.noise import typos
from components.contract.learning import AugmentSettings, TrainingSettings
from components.training.examples import Examples
from components.training.ragged import Integers
from components.training.task_examples import TaskBatch

Flags = NDArray[np.bool_]
# First entries of the seeds of independent random streams.
_ORDER, _ATTRIBUTES, _TYPO_SHARE, _TYPO = range(4)
_SYNONYM_SHARE, _SYNONYM = 5, 6
Tokenizer = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True)
class Batch:
    """One rank's part of a step; positions point into `texts`, -1 where there is none."""

    step: int
    """Optimizer steps before this one."""
    pairs: int
    """B"""
    texts: list[list[int]]
    """Token ids of each distinct text that this rank encodes."""
    anchors: Integers
    """(b, h) positions of an anchor's texts: one query, or the items of a history."""
    positives: Integers
    """(b,)"""
    negatives: Integers
    """(b, H); an absent negative points to the pair's positive and is masked."""
    not_negatives: Flags
    """(b, C) candidates that are no negative of an anchor."""
    not_anchors: Flags
    """(b, B) anchors that are no negative of an item."""
    log_expected: NDArray[np.float32] | None
    """(C,) log of how often a candidate is expected in a step of this kind."""
    first: int
    """Column of this rank's first pair."""
    weights: NDArray[np.float32]
    """(b,) of the pairs in the loss; their mean over the step is 1."""
    candidates: Integers
    """(b, K) that the teacher scored; an absent one points to the pair's positive."""
    taught: NDArray[np.float32]
    """(b, 1 + K) the teacher's scores of positive and candidates, −inf for an absent one."""
    tasks: tuple[TaskBatch, ...] = ()
    """Rows of each task that trains the encoder; their texts stand behind the pairs'."""


def steps_per_epoch(examples: Examples, settings: TrainingSettings, ranks: int) -> int:
    kinds, pairs = np.unique(examples.kinds, return_counts=True)
    return sum(len(_step_sizes(int(count), settings, ranks)) for _, count in zip(kinds, pairs, strict=True))


def epoch_plan(examples: Examples, settings: TrainingSettings, epoch: int, ranks: int) -> list[Integers]:
    """The pair numbers of each step of an epoch, in the order in which they are trained on.

    A step has `batch_size` pairs or fewer, and as many for each rank, with about as many tokens; steps
    differ by at most `ranks` pairs. Fewer than `ranks` pairs of each kind are left out of an epoch, others
    each time.
    """
    rng = np.random.default_rng((_ORDER, settings.seed, epoch))
    steps: list[Integers] = []
    for kind in np.unique(examples.kinds):
        order = rng.permutation(np.flatnonzero(examples.kinds == kind))
        bounds = np.cumsum([0, *_step_sizes(len(order), settings, ranks)])
        steps += [_dealt(examples, order[start:end], ranks) for start, end in pairwise(bounds)]
    return [steps[number] for number in rng.permutation(len(steps))]


def _dealt(examples: Examples, pairs: Integers, ranks: int) -> Integers:
    """A step's pairs in an order whose equal shards have about as many tokens, since a step takes as long as
    its longest shard: from the longest pair on, dealt to the ranks there and back."""
    if ranks == 1:
        return pairs
    table = pairs[np.argsort(-_tokens(examples, pairs), kind="stable")].reshape(-1, ranks)
    table[1::2] = table[1::2, ::-1]
    return table.T.ravel()


def _tokens(examples: Examples, pairs: Integers) -> Integers:
    """(b,) of all that is encoded for each pair: a text that two of them share counts twice."""
    of_item, of_query = examples.item_tokens.lengths, examples.query_tokens.lengths
    anchors = examples.anchors[pairs]
    if anchors.max(initial=-1) < len(of_query):
        asked = of_query[anchors]
    else:
        histories = examples.histories.take(anchors - len(of_query))
        before = np.concatenate([[0], np.cumsum(of_item[histories.values])])
        asked = np.diff(before[histories.offsets])
    items = np.column_stack(
        [getattr(examples, name)[pairs] for name in ("positives", "negatives", "candidates")]
    )
    return np.asarray(asked + np.where(items < 0, 0, of_item[items]).sum(axis=1), dtype=np.int64)


def _step_sizes(pairs: int, settings: TrainingSettings, ranks: int) -> list[int]:
    """Sizes of the steps that `pairs` pairs make: multiples of `ranks`, as equal as can be."""
    shards = pairs // ranks
    if not shards:
        return []
    steps = -(-shards // max(1, settings.batch_size // ranks))
    return [ranks * (shards // steps + (number < shards % steps)) for number in range(steps)]


@dataclass(frozen=True)
class EpochNoise:
    """What is corrupted in one epoch."""

    typos: Flags
    """(p,) pairs whose query gets a typing error."""
    synonyms: Flags
    """(p,) pairs whose query is said in other words, where the shop knows some."""
    short: Flags
    """(n,) items that are read without brand, category and attributes, wherever they occur."""


def epoch_noise(examples: Examples, augment: AugmentSettings, seed: int, epoch: int) -> EpochNoise:
    """Decided by (seed, epoch) and the pair's or item's number alone."""
    typo = np.random.default_rng((_TYPO_SHARE, seed, epoch)).random(len(examples))
    synonym = np.random.default_rng((_SYNONYM_SHARE, seed, epoch)).random(len(examples))
    short = np.random.default_rng((_ATTRIBUTES, seed, epoch)).random(len(examples.groups))
    return EpochNoise(
        typos=typo < augment.typo_share,
        synonyms=synonym < augment.synonym_share,
        short=short < augment.attribute_dropout,
    )


def log_expected(examples: Examples, kind: int, floor: float) -> NDArray[np.float32]:
    """Log of the share of an item among the candidates of the steps of one kind: (n,).

    A step's candidates are its pairs' positives and hard negatives. How many candidates a step has is left
    out, since a constant does not change a softmax. `floor`: lowest share assumed.
    """
    own = examples.kinds == kind
    seen = np.concatenate([examples.positives[own], examples.negatives[own].ravel()])
    counts = np.bincount(seen[seen >= 0], minlength=len(examples.groups))
    shares = np.maximum(counts / counts.sum(), floor)
    return np.asarray(np.log(shares), dtype=np.float32)


@dataclass(frozen=True)
class Step:
    """Where a step stands, and its pairs over all ranks."""

    number: int
    """Optimizer steps before this one, over all epochs."""
    epoch: int
    pairs: Integers


def rank_batch(
    examples: Examples,
    step: Step,
    noise: EpochNoise,
    share: NDArray[np.float32] | None,
    tokenize: Tokenizer,
    *,
    seed: int,
    rank: int,
    ranks: int,
) -> Batch:
    """What rank `rank` of `ranks` computes of a step: its contiguous, equal shard against all candidates.

    `share`: (n,) log of each item's share among candidates, None without logQ correction.
    """
    shard = len(step.pairs) // ranks
    first = rank * shard
    own = step.pairs[first : first + shard]
    positives, negatives = examples.positives[step.pairs], examples.negatives[step.pairs]
    candidates = np.concatenate([positives, negatives.ravel()])
    owners = examples.owners[examples.anchors[step.pairs]]
    not_negatives = _known(examples, owners[first : first + shard], candidates) | (candidates < 0)
    not_anchors = _known(examples, owners, positives[first : first + shard]).T.copy()
    lines = np.arange(shard)
    not_negatives[lines, first + lines] = False
    not_anchors[lines, first + lines] = False
    texts = _Texts(examples, noise, tokenize, seed, step.epoch)
    return Batch(
        step=step.number,
        pairs=len(step.pairs),
        anchors=texts.anchors(own),
        positives=texts.items(positives[first : first + shard]),
        negatives=texts.items(_filled(negatives, positives)[first : first + shard]),
        not_negatives=not_negatives,
        not_anchors=not_anchors,
        log_expected=None if share is None else share[np.maximum(candidates, 0)],
        first=first,
        weights=_weights(examples.weights[step.pairs])[first : first + shard],
        candidates=texts.items(_filled(examples.candidates[own], examples.positives[own])),
        taught=examples.taught[own],
        texts=texts.tokens,
    )


def _weights(of_step: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scaled so that a step moves the encoder as far as one whose pairs all weigh 1; pairs that all weigh
    nothing stay so."""
    mean = float(of_step.mean())
    return of_step / mean if mean else of_step


def _filled(negatives: Integers, positives: Integers) -> Integers:
    """Absent negatives replaced by the pair's positive, so that every pair has H vectors to gather."""
    return np.where(negatives < 0, positives[:, None], negatives)


def _known(examples: Examples, owners: Integers, items: Integers) -> Flags:
    """(owners, items) true where an item is in the duplicate group of one of the owner's known positives."""
    known = examples.known_groups.take(owners)
    groups = np.where(items < 0, -1, examples.groups[items])
    order = np.argsort(groups, kind="stable")
    start = np.searchsorted(groups[order], known.values, side="left")
    end = np.searchsorted(groups[order], known.values, side="right")
    lines = np.repeat(np.repeat(np.arange(len(owners)), known.lengths), end - start)
    flags = np.zeros((len(owners), len(items)), dtype=np.bool_)
    flags[lines, _ranges(order, start, end)] = True
    return flags


def _ranges(values: Integers, start: Integers, end: Integers) -> Integers:
    """values[start[0]:end[0]], values[start[1]:end[1]], … one after another."""
    lengths = end - start
    shift = np.repeat(start - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
    places = np.arange(lengths.sum()) + shift
    return np.asarray(values[places])


class _Texts:
    """The distinct token lists of a batch, in the order of their first use."""

    def __init__(
        self, examples: Examples, noise: EpochNoise, tokenize: Tokenizer, seed: int, epoch: int
    ) -> None:
        self.tokens: list[list[int]] = []
        self._position: dict[bytes, int] = {}
        self._examples, self._noise, self._tokenize = examples, noise, tokenize
        self._seed, self._epoch = seed, epoch

    def items(self, numbers: Integers) -> Integers:
        """Positions of the items' texts, in the shape of `numbers`; -1 stays -1."""
        flat = [self._item(number) for number in numbers.ravel().tolist()]
        return np.asarray(flat, dtype=np.int64).reshape(numbers.shape)

    def anchors(self, pairs: Integers) -> Integers:
        """(b, h)"""
        anchors, queries = self._examples.anchors[pairs], len(self._examples.query_tokens)
        if anchors.max(initial=-1) < queries:
            found = [self._query(pair, anchor) for pair, anchor in zip(pairs, anchors, strict=True)]
            return np.asarray(found, dtype=np.int64)[:, None]
        histories = self._examples.histories.take(anchors - queries)
        places = np.arange(histories.lengths.max()) < histories.lengths[:, None]  # (b, h)
        numbers = np.full(places.shape, -1, dtype=np.int64)
        numbers[places] = histories.values
        return self.items(numbers)

    def _item(self, number: int) -> int:
        if number < 0:
            return -1
        examples = self._examples
        tokens = examples.short_tokens if self._noise.short[number] else examples.item_tokens
        return self._add(tokens[number])

    def _query(self, pair: int, anchor: int) -> int:
        said = query = self._examples.queries[anchor]
        if self._noise.synonyms[pair] and (variants := self._examples.variants[anchor]):
            rng = np.random.default_rng((_SYNONYM, self._seed, self._epoch, pair))
            said = variants[int(rng.integers(len(variants)))]
        if self._noise.typos[pair]:
            said = typos(said, np.random.default_rng((_TYPO, self._seed, self._epoch, pair)))
        if said == query:
            return self._add(self._examples.query_tokens[anchor])
        (tokens,) = self._tokenize([said])
        return self._add(np.asarray(tokens, dtype=np.int64))

    def _add(self, tokens: Integers) -> int:
        position = self._position.setdefault(tokens.tobytes(), len(self.tokens))
        if position == len(self.tokens):
            self.tokens.append(tokens.tolist())
        return position
