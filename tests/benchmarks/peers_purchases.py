"""Peers that recommend to users with a history: popularity, collaborative filtering, content, a hybrid.

Shapes: u users, n items. All but content kNN learn from purchases before the cut-off; the settings of all are
chosen on the validation window with what was bought before it. An item that nobody bought before has no
collaborative score, so it is no candidate: its places stay empty.
"""

import sys
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

import hybrid
import numpy as np
import peers_search
import polars as pl
import rankings
import sentence_trainer
from peer import FusedPeer, Peer, Run
from peers_search import encoder_of, recall, recipe_of, say, searched, trained, tuned_bm25
from rankings import ScoredIndex
from scipy.sparse import csr_array, diags_array
from sentence_trainer import Texts

from components.contract.learning import EncoderSettings
from components.contract.ports import Request, Retriever
from components.contract.retrieving import HistoryScoring
from components.encoder.base import resolve_base
from components.index import exact, histories, postings, topk
from components.index.exact import ExactIndex
from components.index.topk import Scores, catalogue_rows

NEIGHBOURS = (10, 20, 50, 100, 200, 1_000_000)
FACTORS, REGULARISATIONS, ALPHAS = (32, 64, 128), (0.01, 0.1, 1.0), (1.0, 10.0, 40.0)
DIMENSIONS, EPOCHS = (32, 64), (10, 30)
PAIRS = 10_000
"""Of purchases, drawn once, that sentence-transformers is trained on."""
SCORINGS: tuple[HistoryScoring, ...] = ("mean", "top3", "top10")

Build = Callable[..., Callable[[Request], Scores | None]]
"""Purchases, seed and settings → the scores of all items for a request."""


class Purchases:
    """Who bought what, each pair once: `matrix` (u, n) of ones."""

    def __init__(self, frame: pl.DataFrame, item_ids: list[str], texts: list[str]) -> None:
        self.item_ids, self.texts = item_ids, texts
        self.row_of = catalogue_rows(item_ids)
        frame = frame.filter(pl.col("item_id").is_in(item_ids)).unique().sort("user_id", "item_id")
        users = frame.get_column("user_id").unique().sort().to_list()
        self.user_of = {user: number for number, user in enumerate(users)}
        rows = [self.user_of[user] for user in frame.get_column("user_id")]
        columns = [self.row_of[item] for item in frame.get_column("item_id")]
        shape = (len(users), len(item_ids))
        self.matrix = csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
        self.bought = np.asarray(self.matrix.sum(axis=0)).ravel()

    def history(self, request: Request) -> list[int]:
        return sorted({self.row_of[item] for item in request.history if item in self.row_of})

    def seen(self, scores: Any) -> Scores:
        """-inf for items that nobody bought."""
        return np.where(self.bought > 0, scores, -np.inf).astype(np.float32)


def popularity(purchases: Purchases, seed: int) -> Callable[[Request], Scores | None]:
    return lambda request: purchases.seen(purchases.bought)


def item_knn(purchases: Purchases, seed: int, neighbours: int) -> Callable[[Request], Scores | None]:
    """Sum over the history of the cosines of the items' buyers, each item with its nearest only (Deshpande
    and Karypis, TOIS 2004)."""
    lengths = diags_array(1 / np.sqrt(np.maximum(purchases.bought, 1)))
    unit = purchases.matrix @ lengths
    cosines = np.asarray((unit.T @ unit).todense(), dtype=np.float32)
    np.fill_diagonal(cosines, 0)
    if neighbours < len(cosines):
        nearest = np.partition(cosines, -neighbours, axis=1)[:, -neighbours]
        cosines[cosines < nearest[:, None]] = 0

    def score(request: Request) -> Scores | None:
        sums = cosines[purchases.history(request)].sum(axis=0)
        return np.where(sums > 0, sums, -np.inf).astype(np.float32)

    return score


def als(
    purchases: Purchases, seed: int, factors: int, regularisation: float, alpha: float
) -> Callable[[Request], Scores | None]:
    """Hu, Koren and Volinsky, ICDM 2008, by the package implicit."""
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    model = AlternatingLeastSquares(
        factors=factors, regularization=regularisation, alpha=alpha, random_state=seed, num_threads=1
    )
    model.fit(csr_matrix(purchases.matrix), show_progress=False)
    return _by_user(purchases, model.user_factors @ model.item_factors.T, purchases.seen)


def light_fm(
    purchases: Purchases, seed: int, dimensions: int, epochs: int
) -> Callable[[Request], Scores | None]:
    """New items too: their words have vectors."""
    scores = hybrid.scores(purchases.matrix, purchases.texts, dimensions=dimensions, epochs=epochs, seed=seed)
    return _by_user(purchases, scores, lambda row: row)


def _by_user(purchases: Purchases, scores: Any, seen: Callable[[Any], Scores]) -> Any:
    def score(request: Request) -> Scores | None:
        user = purchases.user_of.get(request.request_id)
        return None if user is None else seen(scores[user])

    return score


def _tuned(name: str, build: Build, grid: Iterable[tuple[Any, ...]]) -> Callable[[Run], Retriever]:
    """The settings of the grid with the best recall@10 on validation, on seed 0; then all purchases before
    the cut-off."""

    def peer(run: Run) -> Retriever:
        bench, settings = run.bench, list(grid)
        best = settings[0]
        if len(settings) > 1:
            validation = bench.validation
            earlier = Purchases(bench.purchases("train"), list(validation.item_ids), list(validation.texts))
            found = {
                one: recall(
                    ScoredIndex("validation", validation.item_ids, build(earlier, 0, *one)), validation
                )
                for one in settings
            }
            best = max(found, key=lambda one: found[one])
            say(f"{name}: recall@10 {found[best]:.4f} on validation with {best}")
        purchases = Purchases(bench.purchases("refit"), bench.item_ids, bench.texts)
        return ScoredIndex(name, bench.item_ids, build(purchases, run.seed, *best))

    return peer


def _content_knn(run: Run) -> Retriever:
    encoder, validation = encoder_of(run, resolve_base(EncoderSettings())), run.bench.validation
    earlier = encoder.encode_items(validation.texts)
    found = {
        scoring: recall(ExactIndex("validation", validation.item_ids, earlier, encoder, scoring), validation)
        for scoring in SCORINGS
    }
    best = max(found, key=lambda one: found[one])
    say(f"content_knn: recall@10 {found[best]:.4f} on validation with {best}")
    vectors = encoder.encode_items(run.bench.texts)
    return ExactIndex("content_knn", run.bench.item_ids, vectors, encoder, best)


def _sentence_transformers(run: Run) -> Retriever:
    """Trained on what users bought one after the other, as its documentation trains similar texts; without
    mined negatives, because what was not bought is none."""
    bench = run.bench
    before, refit = (_bought_in_turn(run, part) for part in ("train", "refit"))
    rate, count, scoring = searched(run, before, SCORINGS)
    encoder = encoder_of(run, trained(run, recipe_of(rate, count), run.seed, refit))
    vectors = encoder.encode_items(bench.texts)
    return ExactIndex("sentence_transformers_best", bench.item_ids, vectors, encoder, scoring)


def _bought_in_turn(run: Run, part: str) -> Texts:
    """Titles of a user's purchase and of the next one; part: as of `BenchShop.purchases`."""
    titles = dict(zip(run.bench.item_ids, run.bench.texts, strict=True))
    pairs = (
        run.bench.purchases(part, "at")
        .sort("user_id", "at", "item_id")
        .with_columns(next=pl.col("item_id").shift(-1).over("user_id"))
        .drop_nulls("next")
        .filter(pl.col("item_id") != pl.col("next"))
        .select(pl.col("item_id", "next").replace_strict(titles))
    )
    pairs = pairs.sample(min(len(pairs), run.pairs or PAIRS), shuffle=True, seed=0)
    return Texts(pairs.get_column("item_id").to_list(), pairs.get_column("next").to_list(), [])


_CODE = (sys.modules[__name__], rankings, topk)

PEERS: tuple[Peer | FusedPeer, ...] = (
    Peer(
        "popularity",
        "number of buyers before the cut-off",
        _tuned("popularity", popularity, [()]),
        modules=_CODE,
    ),
    Peer(
        "item_knn",
        "cosine of the items' buyers, summed over the history; neighbours by validation",
        _tuned("item_knn", item_knn, [(count,) for count in NEIGHBOURS]),
        packages=("scipy",),
        modules=_CODE,
    ),
    Peer(
        "als",
        "implicit's AlternatingLeastSquares; factors, regularisation and alpha by validation",
        _tuned("als", als, list(product(FACTORS, REGULARISATIONS, ALPHAS))),
        seeded=True,
        packages=("implicit", "scipy"),
        modules=_CODE,
    ),
    Peer(
        "bm25",
        "bm25s over the titles of the history; stemmer, k1 and b by validation",
        tuned_bm25,
        packages=("bm25s", "PyStemmer"),
        modules=(peers_search, rankings, postings, topk),
    ),
    Peer(
        "content_knn",
        "all-MiniLM-L6-v2, untrained; mean of the highest cosines to the history, or cosine to its mean, by "
        "validation",
        _content_knn,
        packages=("torch", "transformers"),
        modules=(*_CODE, peers_search, exact, histories),
    ),
    Peer(
        "hybrid",
        "LightFM's model and WARP loss (its package does not build): an item is the sum of its id's and its "
        "words' vectors; dimensions and epochs by validation",
        _tuned("hybrid", light_fm, list(product(DIMENSIONS, EPOCHS))),
        seeded=True,
        packages=("torch",),
        modules=(*_CODE, hybrid),
    ),
    Peer(
        "sentence_transformers_best",
        f"all-MiniLM-L6-v2 trained on {PAIRS:,} pairs of titles that a user bought one after the other: "
        "CachedMultipleNegativesRankingLoss, no duplicates in a batch of 128, 1 epoch; learning rate and "
        "scoring of the history by validation",
        _sentence_transformers,
        seeded=True,
        packages=sentence_trainer.PACKAGES,
        modules=(*_CODE, peers_search, exact, histories, sentence_trainer),
    ),
    FusedPeer("rrf_bm25_popularity", ("bm25", "popularity")),
    FusedPeer("rrf_bm25_als", ("bm25", "als")),
    FusedPeer("rrf_bm25_content_knn", ("bm25", "content_knn")),
    FusedPeer("rrf_bm25_sentence_transformers_best", ("bm25", "sentence_transformers_best")),
    FusedPeer("rrf_bm25_item_knn", ("bm25", "item_knn")),
    FusedPeer("rrf_bm25_hybrid", ("bm25", "hybrid")),
)
