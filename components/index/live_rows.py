"""The rows of a live index: a release's snapshot and the changes since, in memory.

Shapes: n rows, m items, d dimensions. A row is an item as it was at one time. A change appends a row and
marks the item's older row as dead; where dead rows have become many (`wasteful`), `compacted` gives an index
without them.
"""

from bisect import bisect_left
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.learning import Language
from components.contract.live import Change, LiveItem
from components.contract.ports import Encoder, Rows, Vectors
from components.contract.records import RetrievalPlan
from components.encoder.texts import item_text
from components.index.co_purchases import CoPurchases, CoPurchaseScores
from components.index.coded_vectors import CodedVectors
from components.index.columns import Columns, Filters, Mask
from components.index.facets import Facets
from components.index.growing import GrowingArray
from components.index.history_encoder import HistoryEncoder
from components.index.lexical import Lexical, LexicalSnapshot
from components.index.signals import LiveSignals, Signals
from components.index.topk import catalogue_rows
from components.index.vectors import check_finite

DEAD_ROWS, DEAD_SHARE = 1_000, 0.25
"""Both an index has to exceed, in appended dead rows and per item, before it is compacted."""


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


class LiveRows:
    def __init__(
        self, snapshot: Snapshot, encoder: Encoder, plan: RetrievalPlan, fields: Sequence[str]
    ) -> None:
        """As given to LiveIndex."""
        if len(snapshot.items) != len(snapshot.vectors) or snapshot.lexical.items != len(snapshot.items):
            raise ValueError(f"{len(snapshot.items)} items, but vectors or postings of another catalogue")
        if (purchases := snapshot.co_purchases) is not None and purchases.items != len(snapshot.items):
            raise ValueError(f"{len(snapshot.items)} items, but co-purchases of {purchases.items}")
        if (signals := snapshot.signals) is not None and signals.items != len(snapshot.items):
            raise ValueError(f"{len(snapshot.items)} items, but signals of {signals.items}")
        self.plan = plan
        self.encoder = encoder
        self.fields = tuple(fields)
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
        self._facets = Facets.of(snapshot.items, plan.implied_weights.keys())
        bought = self.co_purchases
        self._co_purchases = CoPurchaseScores(bought, vectors) if bought is not None else None
        self._signals = LiveSignals(signals, vectors, self._columns) if signals is not None else None
        self._changed: dict[int, LiveItem] = {}
        self._dead = 0
        """Appended rows that are dead."""
        self._seq: dict[str, int] = {}

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
