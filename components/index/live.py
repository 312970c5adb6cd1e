"""The index that serves: a release's snapshot and the changes since (live_rows.py), searched.

One thread owns it: searches and changes run there one after the other. Shapes: n rows, m proposals, h past
items, d dimensions. A snapshot alone is a Retriever like any other, and the judge ranks with it.

A search scans all vectors in 8 bits and adds the lexical scores; the best proposals are scored again from
the vectors themselves, in float64, so scores and their order depend neither on the batch nor on the CPU.
Where the release has a ranker for the entrance, that second stage then scores the proposals again
(components.ranking). Equal scores come in item_id order.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import DataError
from components.contract.ports import Encoder, Ranking, Request, Rows, Vectors
from components.contract.records import RetrievalPlan
from components.contract.task import Facet
from components.index.columns import Mask
from components.index.histories import Histories
from components.index.live_rows import LiveRows, Snapshot
from components.index.topk import Scores, empty_ranking, top_columns
from components.index.vectors import check_finite
from components.ranking.features import Proposed, best, features
from components.ranking.model import Ranker
from components.ranking.ranker_files import Rankers
from components.understanding.implied import Implied
from components.understanding.understanding import Understanding

PROPOSALS = 200
"""Rows per request that the scan proposes, at least twice k."""
BATCH = 64
"""Requests that are scanned together: their scores take 14 MB at 54,667 items."""


class LiveIndex(LiveRows):
    def __init__(
        self,
        name: str,
        snapshot: Snapshot,
        encoder: Encoder,
        plan: RetrievalPlan,
        fields: Sequence[str],
        exact: bool = False,
        understanding: Understanding | None = None,
        rankers: Rankers | None = None,
    ) -> None:
        """fields: the columns that make up an item's text; exact: scan in float64 instead of 8 bits, as the
        reference that the fast scan is measured against; understanding: what the plan's weights of implied
        facets and synonyms are about; rankers: the second stage. Raises ValueError where the parts do not
        fit, EncoderError where a vector is not finite."""
        super().__init__(snapshot, encoder, plan, fields)
        if rankers is not None and snapshot.signals is None:
            raise DataError("A ranker needs signals.safetensors beside the vectors: build the index again.")
        self.name = name
        self.rankers = rankers
        self.understanding = understanding
        self._exact = exact
        self._histories = Histories(plan.history_scoring, self._vectors, snapshot.history_encoder)
        self._last_queries: tuple[list[str], Vectors] | None = None

    def user_vector(self, history: Sequence[str]) -> NDArray[np.float32] | None:
        """Of a user with these past items; None where the index has none of them."""
        past = self._past(history)
        return self._histories.user_vector(self._vectors[past]) if past else None

    def search(self, requests: Sequence[Request], k: int, among: Mask | None = None) -> Ranking:
        """Ranks all items, or only the rows where `among` is true; see ports.Retriever."""
        return self.search_each(requests, k, [among] * len(requests))

    def search_each(self, requests: Sequence[Request], k: int, among: Sequence[Mask | None]) -> Ranking:
        """The same with a mask per request."""
        ranking = empty_ranking(len(requests), k)
        for n, proposed in self.proposals(requests, k, among):
            ranker = self.ranker_of(requests[n])
            if ranker is None or not len(proposed.rows):
                self._place(ranking, n, proposed.rows, proposed.score)
            else:
                self._place(ranking, n, *self._scored(ranker, proposed))
        return ranking

    def without_rankers(self) -> Self:
        """The same index by the first stage alone; the two share everything else."""
        plain = copy(self)
        plain.rankers = None
        return plain

    def proposals(
        self, requests: Sequence[Request], k: int, among: Sequence[Mask | None]
    ) -> Iterator[tuple[int, Proposed]]:
        """Per request that has any, its number and what the first stage proposes; texts first."""
        texts = [n for n, request in enumerate(requests) if _has_text(request)]
        vectors = self._query_vectors([str(requests[n].text) for n in texts])
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            scanned = self._scan(vectors[start : start + BATCH])
            for n, vector, cosines in zip(part, vectors[start : start + BATCH], scanned, strict=True):
                yield n, self._propose_for_text(requests[n], vector, cosines, among[n], k)
        for n in sorted(set(range(len(requests))) - set(texts)):
            proposed = self._propose_for_history(requests[n], among[n], k)
            if proposed is not None:
                yield n, proposed

    def ranker_of(self, request: Request) -> Ranker | None:
        """What scores this request's proposals again."""
        if self.rankers is None or request.by_text:
            return None
        return self.rankers.by_entrance.get("search" if _has_text(request) else "recommendation")

    def scored_again(self, proposed: Proposed) -> Proposed:
        """Those that a ranker gets to see: the best `candidates`, whatever k is, because what it reads of an
        item depends on the others."""
        return proposed if self.rankers is None else proposed.first(self.rankers.candidates)

    def features(self, proposed: Proposed) -> NDArray[np.float32]:
        """(m, F) of ranking.features; needs the snapshot's signals."""
        assert self._signals is not None
        return features(proposed, self._signals.items)

    def query_vector(self, text: str | None) -> NDArray[np.float32] | None:
        """Of a query of the last search, in the thread that searched; None for other texts."""
        texts, vectors = self._last_queries or ([], ())
        return vectors[texts.index(text)] if text in texts else None

    def implied(self, query: str) -> Implied:
        """What a query implies, also of facets that the plan does not weigh."""
        known = self.understanding
        return () if known is None else known.imply(query, self._query_vectors([query])[0])

    def parts(self, query: str, row: int) -> dict[str, float]:
        """What a query's score of an item is made of; "implied <facet>" with its weight in it."""
        vector = self._query_vectors([query])[0]
        cosine = float(self._vectors[row].astype(np.float64) @ vector)
        lexical = self._lexical_scores(query)
        shared = 0.0 if lexical is None else float(lexical[row])
        weight = self.plan.lexical_weight
        matches = self._matches(query, vector, np.asarray([row]))
        implied = {f"implied {facet}": float(added[0]) for facet, added in matches.items()}
        score = cosine + weight * shared + sum(implied.values())
        return {"cosine": cosine, "lexical": shared, "lexical_weight": weight} | implied | {"score": score}

    def _scored(self, ranker: Ranker, proposed: Proposed) -> tuple[Rows, Scores]:
        """Ascending rows and their scores, on the first stage's scale: by the ranker, and behind those in the
        first stage's order what it does not see."""
        again = self.scored_again(proposed)
        mean, spread = again.level
        top = (mean + spread * ranker.scores(self.features(again))).astype(np.float32)
        left = ~np.isin(proposed.rows, again.rows)
        rest, lowest = proposed.score[left], np.nextafter(top.min(), np.float32(-np.inf))
        if len(rest) and rest.max() > lowest:
            rest = lowest - (rest.max() - rest)  # exact for the best of them
        rows, scores = np.append(again.rows, proposed.rows[left]), np.append(top, rest)
        order = np.argsort(rows)
        return rows[order], scores[order]

    def _scan(self, queries: Vectors) -> Scores:
        """(b, d) → (b, n) cosines."""
        if not self._exact:
            return self._coded.cosines(queries)
        exact: Scores = (queries.astype(np.float64) @ self._vectors.T.astype(np.float64)).astype(np.float32)
        return exact

    def _query_vectors(self, texts: list[str]) -> Vectors:
        """The judge ranks the same queries among all items and among the new ones: encoded once."""
        if not texts:
            return np.empty((0, self._vectors.shape[1]), dtype=np.float32)
        if self._last_queries is None or self._last_queries[0] != texts:
            self._last_queries = texts, check_finite(self.encoder.encode_queries(texts), "queries")
        return self._last_queries[1]

    def _propose_for_text(
        self, request: Request, vector: NDArray[np.float32], cosines: Scores, among: Mask | None, k: int
    ) -> Proposed:
        lexical, implied = self._added(str(request.text), vector)
        added = [part for part in (lexical, implied) if part is not None]
        scanned = cosines + sum(added[1:], start=added[0]) if added else cosines
        rows = self._proposed(scanned, request, among, k)
        exact = self._vectors[rows].astype(np.float64) @ vector.astype(np.float64)
        shared, matched = (
            np.zeros(len(rows), dtype=np.float32) if part is None else part[rows]
            for part in (lexical, implied)
        )
        score = (exact + shared + matched).astype(np.float32)
        return Proposed(rows, score, exact.astype(np.float32), shared, matched, best(score, rows))

    def _added(self, query: str, vector: NDArray[np.float32]) -> tuple[Scores | None, Scores | None]:
        """(n,) what a query's cosines are added to: by its words, and by what it implies; None: nothing."""
        weight = np.float32(self.plan.lexical_weight)
        lexical = self._lexical_scores(query) if weight else None
        matches = list(self._matches(query, vector).values())
        implied = sum(matches[1:], start=matches[0]) if matches else None
        return None if lexical is None else weight * lexical, implied

    def _lexical_scores(self, query: str) -> Scores | None:
        """As `Lexical.scores`; by the query's own words or by a synonym, whichever an item has more of."""
        best, share = self._lexical.scores(query), np.float32(self.plan.synonym_share)
        for variant in self.understanding.variants(query) if self.understanding and share else ():
            scores = self._lexical.scores(variant)
            if scores is not None:
                best = share * scores if best is None else np.maximum(best, share * scores)
        return best

    def _matches(
        self, query: str, vector: NDArray[np.float32], rows: Rows | None = None
    ) -> dict[Facet, Scores]:
        """Per facet that the plan weighs and the query implies what it adds to each row's score."""
        weights = self.plan.implied_weights
        if not weights or self.understanding is None:
            return {}
        found = self._facets.match(self.understanding.imply(query, vector, weights), rows)
        return {facet: np.float32(weights[facet]) * scores for facet, scores in found.items()}

    def _propose_for_history(self, request: Request, among: Mask | None, k: int) -> Proposed | None:
        past = self._past(request.history)
        if not past:
            return None
        histories = self._histories.of_texts if request.by_text else self._histories
        scanned, bought = self._scan_history(histories, past), None
        if self._co_purchases is not None and not request.by_text:
            bought = self._co_purchases.scores(past)
            scanned += np.float32(self.plan.co_purchase_weight) * bought
        rows = self._proposed(scanned, request, among, k)
        exact = histories.exact(self._vectors[rows], self._vectors[past])
        shared = np.zeros(len(rows), dtype=np.float32) if bought is None else bought[rows]
        score = exact if bought is None else exact + np.float32(self.plan.co_purchase_weight) * shared
        matched = np.zeros(len(rows), dtype=np.float32)
        return Proposed(rows, score, exact, shared, matched, np.asarray(past, dtype=np.int64))

    def _past(self, history: Sequence[str]) -> list[int]:
        """Rows of the past items that the index has, each once, oldest first."""
        return list(dict.fromkeys(self._row_of[item] for item in history if item in self._row_of))

    def _scan_history(self, histories: Histories, past: list[int]) -> Scores:
        if self._exact:
            return histories.exact(self._vectors, self._vectors[past])
        return histories.scan(self._vectors, self._coded, past)

    def _proposed(self, scores: Scores, request: Request, among: Mask | None, k: int) -> Rows:
        """Ascending rows of the best scores among those that may be shown. Changes `scores`."""
        if among is not None:
            scores[~among] = -np.inf
        if len(self._row_of) < len(self._ids):
            scores[~self._alive] = -np.inf
        scores[[self._row_of[item] for item in request.exclude if item in self._row_of]] = -np.inf
        return np.sort(top_columns(scores, max(PROPOSALS, 2 * k)))

    def _place(self, ranking: Ranking, n: int, rows: Rows, scores: Scores) -> None:
        """Writes the best of the proposed rows, ties by item_id; the snapshot's rows are in its order."""
        if len(rows) and rows[-1] >= len(self._snapshot.items):
            order = np.asarray(sorted(range(len(rows)), key=lambda i: (-scores[i], self._ids[rows[i]])))
        else:
            order = np.argsort(-scores, kind="stable")
        order = order[: ranking.rows.shape[1]]
        ranking.rows[n, : len(order)] = rows[order]
        ranking.scores[n, : len(order)] = scores[order]


def _has_text(request: Request) -> bool:
    return bool(request.text and request.text.strip())
