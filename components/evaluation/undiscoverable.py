"""New items that none of their own likely queries finds in the top k, each with the reason and a fix.

The queries go through the retriever as a shopper's would, over the full catalogue: nothing in the ranking
knows which items are new. They do not depend on the retriever (likely_queries), so the number of
undiscoverable items of two releases over one catalogue compares like with like.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.errors import JudgeError
from components.contract.files import disk_errors
from components.contract.ports import Request, Retriever, Rows, Vectors
from components.encoder.word_pieces import Pieces
from components.evaluation.likely_queries import LikelyQueries, LikelyQuery, likely_queries
from components.evaluation.undiscoverable_reasons import (
    Attempt,
    Explainer,
    Explanation,
    Filtered,
)
from components.evaluation.undiscoverable_report import (
    DEPTH,
    REASONS,
    UndiscoverableItem,
    UndiscoverableReport,
)

MAX_ITEMS = 2_000
SECONDS_PER_DAY = 86_400
Mask = NDArray[np.bool_]


def check_split(
    retriever: Retriever,
    split: Path,
    *,
    fields: Sequence[str],
    k: int = 10,
    max_items: int | None = MAX_ITEMS,
    seed: int = 0,
    vectors: Vectors | None = None,
    unknown_words: Pieces | None = None,
    filtered: Filtered | None = None,
    catalogue: pl.DataFrame | None = None,
) -> UndiscoverableReport:
    """`find_undiscoverable` on the new items of a split folder (docs/layout.md), aged at the end of its judge
    window.

    catalogue: its items.parquet with later changes, in the retriever's row order; None: as it is. fields: the
    columns that the encoder reads. max_items: how many new items are checked at most (None: all of them).
    Reads neither validation nor test rows. Raises StorageError and JudgeError.
    """
    with disk_errors(split):
        items = pl.read_parquet(split / "items.parquet") if catalogue is None else catalogue
        search = split / "train" / "search.parquet"
        training_queries = pl.read_parquet(search) if search.exists() else None
        judged_until = json.loads((split / "split.json").read_bytes())["judged_until"]
    new = items.get_column("is_new").to_numpy()
    rows = sampled_rows(items.get_column("item_id").to_list(), new, max_items, seed)
    return find_undiscoverable(
        retriever,
        items,
        new=new,
        queries=likely_queries(items, rows, fields, training_queries, new=new),
        k=k,
        fields=fields,
        vectors=vectors,
        unknown_words=unknown_words,
        filtered=filtered,
        at=datetime.fromisoformat(judged_until) if judged_until else None,
    )


def sampled_rows(item_ids: Sequence[str], new: Mask, max_items: int | None, seed: int) -> list[int]:
    """Catalogue rows of the new items, ascending; at most `max_items` of them, chosen by the hash of seed
    and item_id. So an item that comes or goes changes the sample by one item, and releases share it."""
    rows: list[int] = np.flatnonzero(new).tolist()
    if max_items is None or len(rows) <= max_items:
        return rows
    digest = {row: hashlib.sha256(f"{seed} {item_ids[row]}".encode()).digest() for row in rows}
    return sorted(sorted(rows, key=lambda row: digest[row])[:max_items])


def find_undiscoverable(
    retriever: Retriever,
    items: pl.DataFrame,
    *,
    new: Mask,
    queries: LikelyQueries,
    k: int = 10,
    fields: Sequence[str] = ("title",),
    vectors: Vectors | None = None,
    unknown_words: Pieces | None = None,
    filtered: Filtered | None = None,
    at: datetime | None = None,
) -> UndiscoverableReport:
    """Searches the likely queries and reports the new items that are in the top k of none.

    Args:
        retriever: the released path over this catalogue.
        items: the catalogue in the retriever's row order.
        new: (items,) which are new.
        queries: catalogue row → likely queries; these rows are checked.
        fields: the columns that the encoder reads.
        vectors: (items, d) of the release, for near-duplicates.
        unknown_words, filtered: what the reasons of these names need. They explain only: an item in the
            top k is discoverable, because the retriever has applied the default filters there are.
        at: when ages are counted.

    Raises JudgeError where the retriever ranks another catalogue.
    """
    _check(retriever, items, new, queries, k)
    line_of = {text: line for line, text in enumerate(sorted(_texts(queries)))}
    ranked = _ranked(retriever, list(line_of), max(DEPTH, k))
    explainer = Explainer(items, fields, vectors=vectors, unknown_words=unknown_words, filtered=filtered)
    found = []
    for row, tried in queries.items():
        attempt = _best_attempt(row, tried, line_of, ranked, k)
        if attempt.place is None or attempt.place > k:
            columns = items.row(row, named=True)
            found.append(_item(columns, attempt, tried, explainer.explain(attempt), retriever.item_ids, at))
    found.sort(key=lambda item: (REASONS.index(item.reason), item.item_id))
    return UndiscoverableReport(
        retriever=retriever.name,
        k=k,
        new_items=int(new.sum()),
        checked=len(queries),
        queries=len(line_of),
        items=tuple(found),
    )


def _check(retriever: Retriever, items: pl.DataFrame, new: Mask, queries: LikelyQueries, k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if new.shape != (len(items),):
        raise ValueError(f"new has shape {new.shape}, the catalogue has {len(items)} items")
    if established := [row for row in queries if not new[row]]:
        raise ValueError(f"queries were made for row {established[0]}, which is not new")
    if list(retriever.item_ids) != items.get_column("item_id").to_list():
        raise JudgeError(
            f"{retriever.name} ranks {len(retriever.item_ids)} items, which are not the {len(items)} of the "
            "catalogue to check: build its index from this catalogue."
        )


def _texts(queries: LikelyQueries) -> set[str]:
    return {query.text for tried in queries.values() for query in tried}


def _ranked(retriever: Retriever, texts: Sequence[str], depth: int) -> Rows:
    """(texts, depth) catalogue rows, -1 = empty place."""
    if not texts:
        return np.empty((0, depth), dtype=np.int64)
    return retriever.search([Request(text, text=text) for text in texts], depth).rows


def _best_attempt(
    row: int, tried: Sequence[LikelyQuery], line_of: dict[str, int], ranked: Rows, k: int
) -> Attempt:
    """The query that puts the item highest; of equal ones, and where none has it, the first."""
    if not tried:
        return Attempt(row, None, None, ())
    lines = ranked[[line_of[query.text] for query in tried]]
    is_item = lines == row
    places = np.where(is_item.any(axis=1), is_item.argmax(axis=1), ranked.shape[1])
    best = int(places.argmin())
    place = int(places[best]) + 1 if places[best] < ranked.shape[1] else None
    top = lines[best, :k]
    return Attempt(row, tried[best].text, place, tuple(top[top >= 0].tolist()))


def _item(
    columns: dict[str, Any],
    attempt: Attempt,
    tried: Sequence[LikelyQuery],
    explanation: Explanation,
    item_ids: Sequence[str],
    at: datetime | None,
) -> UndiscoverableItem:
    """columns: the item's row of the catalogue."""
    return UndiscoverableItem(
        item_id=columns["item_id"],
        title=columns["title"] or "",
        category=columns.get("category"),
        brand=columns.get("brand"),
        listed_at=columns.get("listed_at"),
        first_seen=columns.get("first_seen"),
        age_days=_age_days(columns.get("first_seen"), at),
        reason=explanation.reason,
        fix=explanation.fix,
        best_query=attempt.query,
        best_place=attempt.place,
        queries=tuple(tried),
        crowding=tuple(item_ids[row] for row in explanation.crowding),
    )


def _age_days(first_seen: datetime | None, at: datetime | None) -> float | None:
    if first_seen is None or at is None or first_seen > at:
        return None
    return (at - first_seen).total_seconds() / SECONDS_PER_DAY
