"""The index that serves: a release's snapshot and the changes since, in memory.

One thread owns it: searches and changes run there one after the other. Shapes: n rows, m proposals, h past
items, d dimensions.

A row is an item as it was at one time. A change appends a row and marks the item's older row as dead; where
dead rows have become many (`wasteful`), `compacted` gives an index without them. A snapshot alone is a
Retriever like any other, and the judge ranks with it.

A search scans all vectors in 8 bits and adds the lexical scores; the best proposals are scored again from
the vectors themselves, in float64, so scores and their order depend neither on the batch nor on the CPU.
Where the release has a ranker for the entrance, that second stage then scores the proposals again
(components.ranking). Equal scores come in item_id order.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.errors import DataError
from components.contract.live import Change, LiveItem
from components.contract.ports import Encoder, Ranking, Request, Rows, Vectors
from components.contract.records import RetrievalPlan
from components.contract.settings import Language
from components.contract.task import Facet
from components.encoder.texts import item_text
from components.index.co_purchases import CoPurchases, CoPurchaseScores
from components.index.coded_vectors import CodedVectors
from components.index.columns import Columns, Filters, Mask
from components.index.facets import Facets
from components.index.growing import GrowingArray
from components.index.histories import Histories
from components.index.history_encoder import HistoryEncoder
from components.index.lexical import Lexical, LexicalSnapshot
from components.index.signals import LiveSignals, Signals
from components.index.topk import Scores, catalogue_rows, empty_ranking, top_columns
from components.index.vectors import check_finite
from components.ranking.features import Proposed, best, features
from components.ranking.model import Ranker
from components.ranking.ranker_files import Rankers
from components.understanding.implied import Implied
from components.understanding.understanding import Understanding

PROPOSALS = 200
"""Rows per request that the scan proposes, at least twice k."""
DEAD_ROWS, DEAD_SHARE = 1_000, 0.25
"""Both an index has to exceed, in appended dead rows and per item, before it is compacted."""
BATCH = 64
"""Requests that are scanned together: their scores take 14 MB at 54,667 items."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What a release's index folder holds."""

    items: pl.DataFrame
    """items.parquet, ascending item_id."""
    vectors: Vectors
    """(n, d) float32, unit length."""
    lexical: LexicalSnapshot
    co_purchases: CoPurchases | None = None
    signals: Signals | None = None
    history_encoder: HistoryEncoder | None = None
    """Not of the index folder: the candidate's, where the plan's history scoring is learned."""


@dataclass(frozen=True, eq=False)
class EncodedChange:
    """A change with the item's vector (d,) from this release's encoder; None for a deleted item."""

    change: Change
    vector: NDArray[np.float32] | None
    nearest: int = -1
    """The snapshot's row of the bought item with the most similar text, where the plan asks for it."""


class LiveIndex:
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
        if len(snapshot.items) != len(snapshot.vectors) or snapshot.lexical.items != len(snapshot.items):
            raise ValueError(f"{len(snapshot.items)} items, but vectors or postings of another catalogue")
        if (purchases := snapshot.co_purchases) is not None and purchases.items != len(snapshot.items):
            raise ValueError(f"{len(snapshot.items)} items, but co-purchases of {purchases.items}")
        if (signals := snapshot.signals) is not None and signals.items != len(snapshot.items):
            raise ValueError(f"{len(snapshot.items)} items, but signals of {signals.items}")
        self.rankers = rankers
        if rankers is not None and signals is None:
            raise DataError("A ranker needs signals.safetensors beside the vectors: build the index again.")
        self.name = name
        self.plan = plan
        self.encoder = encoder
        self.fields = tuple(fields)
        self._exact = exact
        self._snapshot = snapshot
        self._snapshot_ids: list[str] = snapshot.items.get_column("item_id").to_list()
        self._ids = list(self._snapshot_ids)
        self._row_of = catalogue_rows(self._ids)
        vectors = np.ascontiguousarray(snapshot.vectors, dtype=np.float32)
        check_finite(vectors, "item vectors")
        self._held_vectors = GrowingArray(vectors)
        self._held_alive = GrowingArray(np.ones(len(self._ids), dtype=bool))
        self._coded = CodedVectors(vectors)
        self._lexical = Lexical(snapshot.lexical, plan.grams_share)
        self._columns = Columns.of(snapshot.items)
        self.understanding = understanding
        self._facets = Facets.of(snapshot.items, plan.implied_weights.keys())
        self._histories = Histories(plan.history_scoring, vectors, snapshot.history_encoder)
        bought = self.co_purchases
        self._co_purchases = CoPurchaseScores(bought, vectors) if bought is not None else None
        self._signals = LiveSignals(signals, vectors, self._columns) if signals is not None else None
        self._changed: dict[int, LiveItem] = {}
        self._dead = 0
        """Appended rows that are dead."""
        self._seq: dict[str, int] = {}
        self._last_queries: tuple[list[str], Vectors] | None = None

    @property
    def _vectors(self) -> Vectors:
        return self._held_vectors.values

    @property
    def _alive(self) -> Mask:
        return self._held_alive.values

    @property
    def item_ids(self) -> Sequence[str]:
        """Per row; an item that was changed has an older row too, which no ranking holds."""
        return self._ids

    def __len__(self) -> int:
        """Items that can be found."""
        return len(self._row_of)

    @property
    def language(self) -> Language:
        """Of the lexical side."""
        return self._snapshot.lexical.language

    @property
    def co_purchases(self) -> CoPurchases | None:
        """The snapshot's, where the plan weighs them."""
        return self._snapshot.co_purchases if self.plan.co_purchase_weight else None

    @property
    def signals(self) -> Signals | None:
        """The snapshot's."""
        return self._snapshot.signals

    @property
    def snapshot_items(self) -> pl.DataFrame:
        return self._snapshot.items

    @property
    def wasteful(self) -> bool:
        """Whether the dead rows that `compacted` leaves out cost memory and time."""
        return self._dead > max(DEAD_ROWS, DEAD_SHARE * len(self))

    def compacted(self) -> Self:
        """The same index without dead rows, but for the snapshot's. Its rows have other numbers, so this one
        stays as it is for answers that name its own; the two share what the snapshot gave."""
        first, fresh = len(self._snapshot_ids), copy(self)
        live = [row for row in self._changed if self._alive[row]]
        kept = np.concatenate([np.arange(first), np.asarray(live, dtype=np.int64)])
        fresh._ids = self._snapshot_ids + [self._ids[row] for row in live]
        fresh._row_of = {self._ids[row]: new for new, row in enumerate(kept.tolist()) if self._alive[row]}
        fresh._held_vectors = self._held_vectors.first(first)
        fresh._held_vectors.append(self._vectors[live])
        fresh._held_alive = GrowingArray(self._alive[kept])
        fresh._coded = self._coded.as_built()
        fresh._coded.append(self._vectors[live])
        fresh._lexical, fresh._columns = self._lexical.kept(kept), self._columns.kept(kept)
        fresh._facets = self._facets.kept(kept)
        fresh._co_purchases = self._co_purchases and self._co_purchases.kept(kept)
        fresh._signals = self._signals and self._signals.kept(kept, fresh._columns)
        fresh._changed = {new: self._changed[row] for new, row in enumerate(live, start=first)}
        fresh._dead, fresh._seq = 0, dict(self._seq)
        return fresh

    def row(self, item_id: str) -> int | None:
        return self._row_of.get(item_id)

    def item(self, row: int) -> dict[str, Any]:
        """The item's columns, by name."""
        changed = self._changed.get(row)
        return changed.model_dump() if changed is not None else self._snapshot.items.row(row, named=True)

    def in_snapshot(self, item_id: str) -> bool:
        """Whether the release's snapshot has the item; `row` tells whether it can be found now."""
        return self._snapshot_row(item_id) >= 0

    def _snapshot_row(self, item_id: str) -> int:
        """-1 where the snapshot does not have the item."""
        place = bisect_left(self._snapshot_ids, item_id)
        found = place < len(self._snapshot_ids) and self._snapshot_ids[place] == item_id
        return place if found else -1

    def vector(self, row: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._vectors[row]
        return found

    def user_vector(self, history: Sequence[str]) -> NDArray[np.float32] | None:
        """Of a user with these past items; None where the index has none of them."""
        past = self._past(history)
        return self._histories.user_vector(self._vectors[past]) if past else None

    @property
    def history_encoder(self) -> HistoryEncoder | None:
        return self._snapshot.history_encoder

    def mask(self, filters: Filters) -> Mask | None:
        return self._columns.mask(filters)

    def encode(self, changes: Sequence[Change]) -> list[EncodedChange]:
        """The changes with their vectors; may run in another thread than searches. An item whose text is the
        snapshot's keeps its vector there: most changes are of price or stock. Raises EncoderError where a
        vector is not finite."""
        items = [change.item for change in changes if change.item is not None]
        vectors = self._item_vectors(items)
        encoded = iter(zip(vectors, self._nearest(items, vectors), strict=True))
        return [
            EncodedChange(change, None) if change.item is None else EncodedChange(change, *next(encoded))
            for change in changes
        ]

    def unknown(self, changes: Sequence[Change]) -> list[Change]:
        """Those that are newer than what is known of their items."""
        return [change for change in changes if change.seq > self._seq.get(change.item_id, 0)]

    def apply(self, changes: Sequence[EncodedChange]) -> int:
        """Makes the changes findable; one that is not newer than what is known of its item is left out.
        Returns how many were applied."""
        ascending = sorted(changes, key=lambda one: one.change.seq)
        newest = {one.change.item_id: one for one in ascending}  # of equal seq the last one holds
        fresh = [one for one in newest.values() if one.change.seq > self._seq.get(one.change.item_id, 0)]
        put = [one for one in fresh if one.change.item is not None]
        if put:
            self._append(put)
        for one in fresh:
            self._seq[one.change.item_id] = one.change.seq
            if one.vector is None:
                self._bury(self._row_of.pop(one.change.item_id, None))
        return len(fresh)

    def search(self, requests: Sequence[Request], k: int, among: Mask | None = None) -> Ranking:
        """Ranks all items, or only the rows where `among` is true; see ports.Retriever."""
        return self.search_each(requests, k, [among] * len(requests))

    def search_each(self, requests: Sequence[Request], k: int, among: Sequence[Mask | None]) -> Ranking:
        """The same with a mask per request."""
        ranking = empty_ranking(len(requests), k)
        for n, proposed in self.proposals(requests, k, among):
            ranker, scores = self.ranker_of(requests[n]), proposed.score
            if ranker is not None:
                proposed = self.scored_again(proposed, k)
                mean, spread = proposed.level  # a score stays on the first stage's scale
                scores = (mean + spread * ranker.scores(self.features(proposed))).astype(np.float32)
            self._place(ranking, n, proposed.rows, scores)
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

    def scored_again(self, proposed: Proposed, k: int) -> Proposed:
        """Those that a ranker gets to see: the best `candidates`, at least k."""
        return proposed if self.rankers is None else proposed.first(max(k, self.rankers.candidates))

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

    def _item_vectors(self, items: Sequence[LiveItem]) -> list[NDArray[np.float32]]:
        """Reads what no change changes."""
        texts = [item_text(item.model_dump(), self.fields) for item in items]
        known = [self._snapshot_vector(item.item_id, text) for item, text in zip(items, texts, strict=True)]
        wanted = [text for text, vector in zip(texts, known, strict=True) if vector is None]
        encoded = iter(check_finite(self.encoder.encode_items(wanted), "changed items") if wanted else ())
        return [next(encoded) if vector is None else vector for vector in known]

    def _snapshot_vector(self, item_id: str, text: str) -> NDArray[np.float32] | None:
        """Of the snapshot's item, where it has this text."""
        row = self._snapshot_row(item_id)
        if row < 0:
            return None
        same = item_text(self._snapshot.items.row(row, named=True), self.fields) == text
        return self._snapshot.vectors[row] if same else None

    def _nearest(self, items: Sequence[LiveItem], vectors: Sequence[NDArray[np.float32]]) -> list[int]:
        """Reads what no change changes."""
        if self._co_purchases is None or not items:
            return [-1] * len(items)
        found: list[int] = self._co_purchases.nearest(np.stack(vectors), self._own(items)).tolist()
        return found

    def _own(self, items: Sequence[LiveItem]) -> Rows:
        """(m,) the snapshot's rows of the same items, -1 where it has none."""
        return np.asarray([self._snapshot_row(item.item_id) for item in items], dtype=np.int64)

    def _append(self, encoded: Sequence[EncodedChange]) -> None:
        items = [one.change.item for one in encoded if one.change.item is not None]
        vectors = np.stack([one.vector for one in encoded if one.vector is not None])
        for row, item in enumerate(items, start=len(self._ids)):
            self._bury(self._row_of.get(item.item_id))
            self._changed[row] = item
            self._row_of[item.item_id] = row  # last: other threads ask for an item's row, then for the item
        self._ids.extend(item.item_id for item in items)
        self._held_vectors.append(vectors)
        self._held_alive.append(np.ones(len(items), dtype=bool))
        self._coded.append(vectors)
        self._lexical.append([item_text(item.model_dump(), self.fields) for item in items])
        self._columns.append(items)
        self._facets.append(items)
        if self._co_purchases is not None:
            nearest = np.asarray([one.nearest for one in encoded], dtype=np.int32)
            self._co_purchases.append(vectors, nearest, self._own(items))
        if self._signals is not None:
            self._signals.append(vectors, self._own(items))

    def _bury(self, row: int | None) -> None:
        """Marks a row as dead; its columns stay, for answers that name it."""
        if row is not None:
            self._alive[row] = False
            self._dead += row >= len(self._snapshot_ids)

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
