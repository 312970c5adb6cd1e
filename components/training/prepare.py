"""From a split folder to training examples: pairs, mined negatives, tokens."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.augment.negatives import NONE, Flags, Mined, mine
from components.augment.noise import drop_attributes
from components.contract.digests import sha256_tree
from components.contract.knowledge import KnowledgeSettings
from components.contract.learning import AugmentSettings, TrainingSettings
from components.contract.ports import Encoder, Rows, Vectors
from components.contract.task import Task
from components.contract.tuning import Parameter
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.index.analysis import Analyzer
from components.split.catalogue import plain_query
from components.split.judged import judged_queries
from components.training.adapters import with_prompt
from components.training.examples import Examples, PreparedExamples, write_description
from components.training.pairs import (
    RECOMMENDATION,
    SEARCH,
    Pairs,
    TrainingPart,
    duplicate_groups,
    read_pairs,
    trainable,
)
from components.training.ragged import Ragged
from components.training.task_examples import prepare_task_examples
from components.training.taught import Taught, read_taught
from components.understanding.knowledge import Knowledge

logger = logging.getLogger(__name__)
SEARCHED: frozenset[Parameter] = frozenset({"hard_negatives", "mining_depth", "positive_ceiling"})
"""The searched parameters that decide the examples; trials that differ in others share them."""


def prepare_examples(
    split: Path,
    out: Path,
    *,
    part: TrainingPart = "train",
    base: TransformerEncoder,
    training: TrainingSettings,
    augment: AugmentSettings,
    champion: Encoder | None = None,
    item_vectors: Vectors | None = None,
    tasks: Sequence[Task] = (),
    task_rows: Path | None = None,
    learned_until: datetime | None = None,
    knowledge: KnowledgeSettings | None = None,
    written: Path | None = None,
    taught: Path | None = None,
) -> PreparedExamples:
    """Writes the examples of a split's training rows into the folder `out`.

    Args:
        base: the encoder that is fine-tuned; its tokenizer cuts the texts.
        champion: encoder that the hard negatives are mined with; None: no hard negatives.
        item_vectors: the champion's vectors of the whole catalogue, (items, d), where they are at hand;
            None: the items that may be trained on are encoded here.
        tasks: trained beside the pairs; task_rows: the folder of their rows.
        learned_until, written: see `read_pairs`.
        knowledge: its synonyms say training queries in other words.
        taught: folder of the teacher's scores (taught.py); None: there is no teacher.

    Raises LeakageError (an item that may not be trained on), DataError (no pair).
    """
    items = pl.read_parquet(split / "items.parquet")
    pairs = read_pairs(split, part, training, learned_until, written)
    mined = Mined(np.empty((len(pairs), 0), dtype=np.int64), {})
    if champion is not None and augment.hard_negatives:
        eligible = trainable(items, part).to_numpy()
        texts = item_texts(items, base.settings.item_fields)
        vectors = encode_eligible(champion, texts, eligible) if item_vectors is None else item_vectors
        mined = _mine(pairs, duplicate_groups(items), eligible, champion, vectors, augment, training.seed)
        logger.info("mined negatives: %s", mined.counts)
    base = with_prompt(base, training)
    scored = Taught.nothing(len(pairs))
    if taught is not None:
        scored = read_taught(taught, pairs, items, part, training.distillation.candidates)
    weights = grade_weights(pairs.grades, training.lowest_grade_weight)
    variants = _variants(pairs.queries, knowledge, base, set().union(*judged_queries(split).values()))
    _tokenised(pairs, weights, mined.rows, scored, items, base, variants).write(out)
    if task_rows is not None:
        prepare_task_examples(tasks, task_rows, base, out)
    prepared = PreparedExamples(
        path=out.name,
        digest=sha256_tree(out),
        pairs={
            "search": int((pairs.kinds == SEARCH).sum()),
            "recommendation": int((pairs.kinds == RECOMMENDATION).sum()),
        },
        available_pairs=pairs.available,
        mined=mined.counts,
    )
    write_description(out, prepared)
    return prepared


def encode_eligible(champion: Encoder, texts: list[str], eligible: Flags) -> Vectors:
    """(n, d); zeros where an item may not be trained on, which no draw looks at."""
    rows = np.flatnonzero(eligible)
    found = champion.encode_items([texts[row] for row in rows])
    vectors = np.zeros((len(texts), found.shape[1]), dtype=np.float32)
    vectors[rows] = found
    return vectors


def _mine(
    pairs: Pairs,
    groups: Rows,
    eligible: Flags,
    champion: Encoder,
    item_vectors: Vectors,
    augment: AugmentSettings,
    seed: int,
) -> Mined:
    if len(item_vectors) != len(groups):
        raise ValueError(f"item_vectors: {len(item_vectors)} rows for {len(groups)} items")
    anchors, requests = np.unique(pairs.anchors, return_inverse=True)
    return mine(
        _anchor_vectors(pairs, anchors, champion, item_vectors),
        item_vectors,
        (requests, pairs.positives),
        [pairs.known[pairs.owners[anchor]] for anchor in anchors],
        groups,
        eligible,
        depth=augment.mining_depth,
        per_pair=augment.hard_negatives,
        ceiling=augment.positive_ceiling,
        seed=seed,
    )


def _anchor_vectors(pairs: Pairs, anchors: Rows, champion: Encoder, item_vectors: Vectors) -> Vectors:
    """(anchors, d): a query's vector, or the normalised mean of a history's items."""
    vectors = np.zeros((len(anchors), item_vectors.shape[1]), dtype=np.float32)
    queries = anchors[anchors < len(pairs.queries)]
    if len(queries):
        vectors[: len(queries)] = champion.encode_queries([pairs.queries[query] for query in queries])
    for line, anchor in enumerate(anchors[len(queries) :], start=len(queries)):
        mean = item_vectors[pairs.histories[anchor - len(pairs.queries)]].mean(axis=0)
        vectors[line] = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return vectors


def _variants(
    queries: Sequence[str],
    knowledge: KnowledgeSettings | None,
    base: TransformerEncoder,
    judged: Collection[str],
) -> tuple[tuple[str, ...], ...]:
    """Of each query, by the shop's synonyms; none where it has none, and none that is judged: it would come
    with its answer."""
    known = Knowledge(knowledge or KnowledgeSettings(), (), Analyzer(base.settings.language).words)
    return tuple(tuple(v for v in known.variants(query) if plain_query(v) not in judged) for query in queries)


def grade_weights(grades: NDArray[np.float64], lowest: float) -> NDArray[np.float32]:
    """(p,) weights of pairs in the loss by their grades: `lowest` of the lowest, 1 of the highest."""
    known = grades[np.isfinite(grades)]
    least, most = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    if most > least:
        weights = lowest + (1.0 - lowest) * (np.nan_to_num(grades, nan=most) - least) / (most - least)
        return weights.astype(np.float32)
    return np.ones(len(grades), dtype=np.float32)


def _tokenised(
    pairs: Pairs,
    weights: NDArray[np.float32],
    negatives: Rows,
    taught: Taught,
    items: pl.DataFrame,
    base: TransformerEncoder,
    variants: tuple[tuple[str, ...], ...],
) -> Examples:
    """Renumbers the items that occur and cuts their texts, and the queries, into tokens."""
    histories = Ragged.of(pairs.histories)
    used = np.unique(np.concatenate([pairs.positives, histories.values, negatives, taught.candidates], None))
    used = used[used != NONE]
    number = np.full(len(items), NONE, dtype=np.int64)
    number[used] = np.arange(len(used))
    groups, fields = duplicate_groups(items), base.settings.item_fields
    texts = items[used]
    return Examples(
        kinds=pairs.kinds,
        anchors=pairs.anchors,
        positives=number[pairs.positives],
        negatives=np.where(negatives == NONE, NONE, number[negatives]),
        owners=pairs.owners,
        weights=weights,
        candidates=np.where(taught.candidates == NONE, NONE, number[taught.candidates]),
        taught=taught.scores,
        groups=groups[used],
        item_tokens=Ragged.of(base.tokenize(item_texts(texts, fields), "item")),
        short_tokens=Ragged.of(base.tokenize(item_texts(texts, drop_attributes(fields)), "item")),
        query_tokens=Ragged.of(base.tokenize(pairs.queries, "query")),
        histories=Ragged(number[histories.values], histories.offsets),
        known_groups=Ragged.of(np.unique(groups[rows]) for rows in pairs.known),
        queries=pairs.queries,
        variants=variants,
    )
