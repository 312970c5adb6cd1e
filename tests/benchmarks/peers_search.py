"""Peers that answer queries: BM25, the untrained encoder, and sentence-transformers' trainings of it."""

import json
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import rankings
import sentence_trainer
import Stemmer
from peer import FusedPeer, Peer, Run
from peer_cache import key_of
from rankings import ScoredIndex
from sentence_trainer import BEST, DEFAULTS, PACKAGES, Texts

from components.contract.digests import sha256_json
from components.contract.files import write_json
from components.contract.learning import EncoderSettings
from components.contract.ports import Request, Retriever
from components.contract.retrieving import HistoryScoring
from components.encoder.base import base_digest, resolve_base
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.index import exact, postings, topk
from components.index.exact import ExactIndex
from components.index.postings import Postings
from components.index.topk import catalogue_rows
from components.training.pairs import SEARCH, read_pairs
from components.training.validation import Validation, recall_of, stopping_recall
from flows.fingerprint import code_digest

K1 = (0.4, 0.6, 0.9, 1.2, 1.5, 2.0)
B = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9)
MAX_LENGTH = 256
"""Tokens, as sentence-transformers cuts texts for this encoder."""
RATES = (2e-5, 1e-4, 3e-4)
"""Learning rates between which validation chooses for the best recipe, on the first seed."""


def bm25(
    name: str, item_ids: Sequence[str], cut: list[list[str]], stem: bool, k1: float, b: float
) -> Retriever:
    """A query is its text, a history the words of all its items."""
    index, row_of = Postings.build(cut, k1, b), catalogue_rows(item_ids)

    def score(request: Request) -> Any:
        if request.text is not None:
            (words,) = _words([request.text], stem)
        else:
            words = [word for item in request.history if item in row_of for word in cut[row_of[item]]]
        scores = index.scores(words)
        return None if scores is None else np.where(scores > 0, scores, -np.inf)

    return ScoredIndex(name, item_ids, score)


def _words(texts: Sequence[str], stem: bool) -> list[list[str]]:
    """bm25s's own words, as its documentation cuts them: English stop words left out."""
    stemmer = Stemmer.Stemmer("english") if stem else None
    found = bm25s.tokenize(
        list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
    )
    return [list(words) for words in found]


def _default_bm25(run: Run) -> Retriever:
    return bm25("bm25_defaults", run.bench.item_ids, _words(run.bench.texts, False), False, 1.5, 0.75)


def tuned_bm25(run: Run) -> Retriever:
    """By recall@10 on validation: the stemmer with bm25s's own k1 and b, then k1 and b."""
    validation = run.bench.validation
    cut = {stem: _words(validation.texts, stem) for stem in (False, True)}

    def found(stem: bool, k1: float, b: float) -> float:
        return recall(bm25("validation", validation.item_ids, cut[stem], stem, k1, b), validation)

    stem = max(cut, key=lambda stem: found(stem, 1.5, 0.75))
    recalls = {(k1, b): found(stem, k1, b) for k1, b in product(K1, B)}
    k1, b = max(recalls, key=lambda one: recalls[one])
    say(f"bm25: recall@10 {recalls[k1, b]:.4f} on validation with stemmer {stem}, k1 {k1}, b {b}")
    return bm25("bm25", run.bench.item_ids, _words(run.bench.texts, stem), stem, k1, b)


def recall(retriever: Retriever, validation: Validation) -> float:
    """Mean of new and established recall@10 of the validation's requests, as our own settings are chosen."""
    (entrance,) = validation.judged
    return stopping_recall(recall_of(retriever, validation), entrance) or 0.0


def encoder_of(run: Run, folder: Path) -> TransformerEncoder:
    """A sentence-transformers model, ours to run: the same weights, pooling and length of texts."""
    fields = run.bench.settings.encoder.item_fields
    return TransformerEncoder.load(folder, EncoderSettings(max_length=MAX_LENGTH, item_fields=fields))


def _untrained(run: Run) -> Retriever:
    return _index("minilm", run, encoder_of(run, _base()))


def _base() -> Path:
    return resolve_base(EncoderSettings())


def _index(name: str, run: Run, encoder: TransformerEncoder) -> Retriever:
    return ExactIndex(name, run.bench.item_ids, encoder.encode_items(run.bench.texts), encoder)


def _defaults(run: Run) -> Retriever:
    folder = trained(run, DEFAULTS, run.seed, _searches(run))
    return _index("sentence_transformers", run, encoder_of(run, folder))


def _best(run: Run) -> Retriever:
    texts = _searches(run)
    rate, count = run.recipe or searched(run, texts, negatives=(0, 1))[:2]
    folder = trained(run, recipe_of(rate, count), run.seed, texts)
    return _index("sentence_transformers_best", run, encoder_of(run, folder))


def recipe_of(rate: float, count: int) -> dict[str, Any]:
    return BEST | {"learning_rate": rate, "negatives": count}


def searched(
    run: Run,
    texts: Texts,
    scorings: Sequence[HistoryScoring] = ("mean",),
    negatives: Sequence[int] = (0,),
) -> tuple[float, int, HistoryScoring]:
    """The best recipe's learning rate, mined negatives a pair, and how a history is scored, on validation and
    on seed 0: the rate and the scoring with the first of `negatives`, then whether another number of them is
    better. Kept in the cache, for all seeds."""
    validation, found = run.bench.validation, dict[tuple[float, int, HistoryScoring], float]()

    def try_out(rate: float, count: int) -> None:
        folder = trained(run, recipe_of(rate, count), 0, texts)
        encoder = encoder_of(run, folder)
        vectors = encoder.encode_items(validation.texts)
        for scoring in scorings:
            index = ExactIndex("validation", validation.item_ids, vectors, encoder, scoring)
            found[rate, count, scoring] = recall(index, validation)
        pairs = json.loads((folder / sentence_trainer.PAIRS).read_bytes())
        say(f"sentence_transformers_best: learning rate {rate}, {count} negatives, {pairs}")

    def search(out: Path) -> None:
        for rate in RATES:
            try_out(rate, negatives[0])
        rate = max(found, key=lambda one: found[one])[0]
        for count in negatives[1:]:
            try_out(rate, count)
        say(f"sentence_transformers_best: recall@10 on validation {found}")
        best = max(found, key=lambda one: found[one])
        write_json(out / "best.json", [*best, [[*one, value] for one, value in found.items()]])

    modules = [sys.modules[__name__], sentence_trainer, rankings, exact, topk]
    tried = {"rates": RATES, "scorings": list(scorings), "negatives": list(negatives)}
    judged = run.bench.prepared.digest
    key = key_of(PACKAGES, modules, _digest(texts), 0, code=code_digest(), judged=judged, **tried)
    folder, _ = run.cache.made("sentence-transformers-search", key, search)
    rate, count, scoring, _ = json.loads((folder / "best.json").read_bytes())
    return rate, count, scoring


def _searches(run: Run) -> Texts:
    """Queries and texts of their items."""
    bench = run.bench
    training = bench.settings.training.model_copy(update={"max_pairs": run.pairs, "seed": 0})
    pairs = read_pairs(bench.split, "train", training)
    of_search = np.flatnonzero(pairs.kinds == SEARCH)
    anchors = [pairs.queries[anchor] for anchor in pairs.anchors[of_search]]
    positives = [bench.texts[row] for row in pairs.positives[of_search]]
    old = bench.catalogue.filter("trainable")
    return Texts(anchors, positives, item_texts(old, bench.settings.encoder.item_fields))


def trained(run: Run, recipe: dict[str, Any], seed: int, texts: Texts) -> Path:
    """Folder of the model, from the cache where this training was done before."""
    key = key_of(PACKAGES, [sentence_trainer], _digest(texts), seed, **recipe)
    work = run.cache.folder / f"{recipe['name']}-{sha256_json(key)[:16]}.checkpoints"
    name = str(recipe["name"])
    make = partial(sentence_trainer.train, _base(), texts, recipe, seed, work)
    folder, _ = run.cache.made(name, key, lambda out: make(out / "model"))
    return folder / "model"


def _digest(texts: Texts) -> str:
    return sha256_json([texts.anchors, texts.positives, texts.corpus, base_digest(EncoderSettings())])


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


_INDEX = (sys.modules[__name__], rankings, postings, topk)
_ENCODED = (sys.modules[__name__], rankings, exact, topk)

PEERS: tuple[Peer | FusedPeer, ...] = (
    Peer("bm25_defaults", "bm25s, its defaults", _default_bm25, packages=("bm25s",), modules=_INDEX),
    Peer(
        "bm25",
        "bm25s; stemmer, k1 and b by validation",
        tuned_bm25,
        packages=("bm25s", "PyStemmer"),
        modules=_INDEX,
    ),
    Peer(
        "minilm",
        "all-MiniLM-L6-v2, untrained",
        _untrained,
        packages=("torch", "transformers"),
        modules=_ENCODED,
    ),
    Peer(
        "sentence_transformers",
        "MultipleNegativesRankingLoss, the trainer's defaults (3 epochs, batch 8, 5e-5)",
        _defaults,
        seeded=True,
        packages=PACKAGES,
        modules=(*_ENCODED, sentence_trainer),
    ),
    Peer(
        "sentence_transformers_best",
        "CachedMultipleNegativesRankingLoss, no duplicates in a batch of 128, 1 epoch, 10 % warm-up; by "
        "validation the learning rate, and no or one mined negative a pair (NV-Retriever's settings)",
        _best,
        seeded=True,
        packages=PACKAGES,
        modules=(*_ENCODED, sentence_trainer),
    ),
    FusedPeer("rrf_bm25_minilm", ("bm25", "minilm")),
    FusedPeer("rrf_bm25_sentence_transformers", ("bm25", "sentence_transformers")),
    FusedPeer("rrf_bm25_sentence_transformers_best", ("bm25", "sentence_transformers_best")),
)
