"""Training pairs of both kinds: a query and an item that answers it, a history and the item bought next.

Item numbers are catalogue rows (row numbers of the split's items.parquet).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.augment.negatives import Flags
from components.contract.errors import DataError, LeakageError
from components.contract.learning import TrainingSettings
from components.contract.ports import Rows

TrainingPart = Literal["train", "refit"]
SEARCH, RECOMMENDATION = 0, 1
"""Kinds of a pair, in the order in which pairs are numbered."""
DRAWN_BY = ("seed", "max_pairs", "replay_share")
"""Settings that decide which of all pairs are trained on."""


@dataclass(frozen=True)
class Pairs:
    """p pairs. Anchors are numbered: first the queries, then one per history.

    An owner is who knows what is relevant: the query itself, or the user of a history. All that an owner
    is known to like is never a negative of its anchors, the history's own items included.
    """

    kinds: Rows
    """(p,) SEARCH or RECOMMENDATION."""
    anchors: Rows
    """(p,)"""
    positives: Rows
    """(p,) item rows."""
    grades: NDArray[np.float64]
    """(p,) of the judgements; NaN where there is none, as of purchases and of written queries."""
    queries: tuple[str, ...]
    histories: tuple[Rows, ...]
    """Per history anchor up to `history_length` past items, oldest first."""
    owners: Rows
    """(anchors,) owner of each anchor."""
    known: tuple[Rows, ...]
    """Per owner all its known positive items."""
    available: int
    """Pairs there were before `max_pairs` was applied."""

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class _Targets:
    """Candidate pairs of one kind before the draw: owner number, target item and its place in the owner's
    purchases (-1 for a query)."""

    owners: Rows
    items: Rows
    grades: NDArray[np.float64]
    places: Rows
    names: tuple[str, ...]
    known: tuple[Rows, ...]
    fresh: Flags
    """Whether a pair is dated at or after `learned_until`, or not at all."""
    written: Flags
    """Whether its query was written for its item, and nobody asked it of that item."""


def read_pairs(
    split: Path,
    part: TrainingPart,
    settings: TrainingSettings,
    learned_until: datetime | None = None,
    written: Path | None = None,
    *,
    searches_only: bool = False,
) -> Pairs:
    """The pairs of a split folder's training rows, at most `max_pairs`, drawn by seed over both kinds.

    written: folder with search.parquet of written queries (written.py), which are further searches. They
    change nothing in the draw of the shop's own pairs, are no more than these, and no more than these leave
    of `max_pairs`. searches_only: no purchases.

    learned_until: until when the encoder that is fine-tuned knows the pairs; of older ones so many are drawn
    that they are `replay_share` of all. None: it knows none.

    A history is a seeded draw of up to `history_length` of the items that the user bought strictly before
    the target, because the served vector is the mean over all of a history, not over its last items; items
    bought at the same moment (one basket) are no past of each other.

    Raises LeakageError where a row names an item that may not be trained on, DataError where there is no
    pair at all.
    """
    items = pl.read_parquet(split / "items.parquet")
    searched = [training_rows(split, part, "search", items)]
    if written is not None:
        found = rows_of(written / "search.parquet", part, items)
        searched.append(found if found is None else found.with_columns(written=True))
    rows = [frame for frame in searched if frame is not None]
    searches = _search_targets(pl.concat(rows, how="diagonal") if rows else None, learned_until)
    bought = None if searches_only else training_rows(split, part, "purchases", items)
    purchases = _purchase_targets(bought, learned_until)
    kept = _draw(
        np.concatenate([searches.fresh, purchases.fresh]),
        np.concatenate([searches.written, purchases.written]),
        settings,
    )
    if not len(kept):
        raise DataError(
            f"{split / part}: there is no training pair (no query with a relevant item, and no user with an "
            f"item bought after another); set split.cutoff later or add judgements."
        )
    of_search, of_purchase = kept[kept < len(searches.items)], kept[kept >= len(searches.items)]
    return _joined(searches, of_search, purchases, of_purchase - len(searches.items), settings)


def duplicate_groups(items: pl.DataFrame) -> Rows:
    """(n,) number of each item's duplicate group."""
    return items.get_column("group").rank("dense").cast(pl.Int64).to_numpy()


def trainable(items: pl.DataFrame, part: TrainingPart) -> pl.Series:
    """Which items of the catalogue may appear in this part's training."""
    refit = part == "refit" and "refit_trainable" in items.columns
    return items.get_column("refit_trainable" if refit else "trainable")


def training_rows(split: Path, part: TrainingPart, name: str, items: pl.DataFrame) -> pl.DataFrame | None:
    """The rows of "search" or "purchases" with the column `row`, the item's catalogue row; None where there
    are none. Raises LeakageError where one names an item that may not be trained on."""
    return rows_of(split / part / f"{name}.parquet", part, items)


def rows_of(path: Path, part: TrainingPart, items: pl.DataFrame) -> pl.DataFrame | None:
    """The same of any file with the column item_id."""
    if not path.is_file():
        return None
    catalogue = items.select("item_id", trainable=trainable(items, part)).with_row_index("row")
    rows = pl.read_parquet(path).join(catalogue, on="item_id", how="left", maintain_order="left")
    forbidden = rows.filter(~pl.col("trainable").fill_null(False))
    if len(forbidden):
        raise LeakageError(
            f"{path}: {len(forbidden)} rows name items that may not be trained on, first "
            f"{forbidden.item(0, 'item_id')!r}. Nothing was trained; mend the split."
        )
    return rows.with_columns(pl.col("row").cast(pl.Int64))


def _search_targets(rows: pl.DataFrame | None, learned_until: datetime | None) -> _Targets:
    if rows is None or not len(rows):
        return _no_targets()
    written = pl.col("written").fill_null(False) if "written" in rows.columns else pl.lit(False)
    rows = rows.with_columns(written=written, fresh=_fresh(rows, learned_until))
    grade = pl.col("grade").max() if "grade" in rows.columns else pl.lit(None, pl.Float64).alias("grade")
    pairs = rows.group_by("query", "row").agg(pl.col("fresh").any(), pl.col("written").all(), grade)
    pairs = pairs.sort("query", "row")
    known = pairs.group_by("query", maintain_order=True).agg("row")
    owners = pairs.get_column("query").rle_id().cast(pl.Int64).to_numpy()
    return _Targets(
        owners=owners,
        items=pairs.get_column("row").to_numpy(),
        grades=_grades(pairs.get_column("grade")),
        places=np.full(len(pairs), -1, dtype=np.int64),
        names=tuple(known.get_column("query")),
        known=_arrays(known.get_column("row")),
        fresh=pairs.get_column("fresh").to_numpy(),
        written=pairs.get_column("written").to_numpy(),
    )


def _fresh(rows: pl.DataFrame, learned_until: datetime | None) -> pl.Expr:
    if learned_until is None or "at" not in rows.columns:
        return pl.lit(True)
    return (pl.col("at") >= learned_until).fill_null(True)


def _purchase_targets(rows: pl.DataFrame | None, learned_until: datetime | None) -> _Targets:
    """Every purchase of a user that has an earlier one; `places` counts the purchases strictly before it."""
    if rows is None or not len(rows):
        return _no_targets()
    acts = rows.sort("user_id", "at", "row").with_columns(
        # rank("min") − 1 = how many of the user's purchases are strictly earlier, whatever the basket.
        earlier=pl.col("at").rank("min").over("user_id").cast(pl.Int64) - 1,
        fresh=_fresh(rows, learned_until),
    )
    known = acts.group_by("user_id", maintain_order=True).agg("row")
    acts = acts.with_columns(owner=pl.col("user_id").rle_id().cast(pl.Int64)).filter(pl.col("earlier") > 0)
    return _Targets(
        owners=acts.get_column("owner").to_numpy(),
        items=acts.get_column("row").to_numpy(),
        grades=np.full(len(acts), np.nan),
        places=acts.get_column("earlier").to_numpy(),
        names=tuple(known.get_column("user_id")),
        known=_arrays(known.get_column("row")),
        fresh=acts.get_column("fresh").to_numpy(),
        written=np.zeros(len(acts), dtype=np.bool_),
    )


def _no_targets() -> _Targets:
    empty, none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_)
    return _Targets(empty, empty, np.empty(0), empty, (), (), none, none)


def _grades(grades: pl.Series) -> NDArray[np.float64]:
    return grades.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)


def _draw(fresh: Flags, written: Flags, settings: TrainingSettings) -> Rows:
    """Ascending numbers of the pairs to train on: `_draw_own` of the shop's own, and beside them a draw of
    the written ones; of those alone where the shop has none."""
    own, beside = np.flatnonzero(~written), np.flatnonzero(written)
    drawn = own[_draw_own(fresh[own], settings)]
    room = len(drawn) or len(beside)
    if settings.max_pairs is not None:
        room = min(room, settings.max_pairs - len(drawn))
    rng = np.random.default_rng((settings.seed, len(beside)))
    return np.sort(np.concatenate([drawn, rng.permutation(beside)[:room]]))


def _draw_own(fresh: Flags, settings: TrainingSettings) -> Rows:
    """Ascending numbers of the shop's own pairs to train on: all fresh ones and a draw of the others, of
    these at most `max_pairs`; where nothing is fresh, as if all were."""
    numbers = np.arange(len(fresh), dtype=np.int64)
    rng = np.random.default_rng((settings.seed, len(fresh)))
    if fresh.any() and not fresh.all():
        wanted = round(fresh.sum() * settings.replay_share / (1 - settings.replay_share))
        replayed = rng.permutation(numbers[~fresh])[:wanted]
        numbers = np.sort(np.concatenate([numbers[fresh], replayed]))
    if settings.max_pairs is None or len(numbers) <= settings.max_pairs:
        return numbers
    return np.sort(rng.choice(numbers, settings.max_pairs, replace=False)).astype(np.int64)


def _joined(
    searches: _Targets, of_search: Rows, purchases: _Targets, of_purchase: Rows, settings: TrainingSettings
) -> Pairs:
    queries = len(searches.names)
    histories = _histories(purchases, of_purchase, settings)
    return Pairs(
        kinds=np.repeat([SEARCH, RECOMMENDATION], [len(of_search), len(of_purchase)]).astype(np.int64),
        anchors=np.concatenate([searches.owners[of_search], queries + np.arange(len(of_purchase))]),
        positives=np.concatenate([searches.items[of_search], purchases.items[of_purchase]]),
        grades=np.concatenate([searches.grades[of_search], purchases.grades[of_purchase]]),
        queries=searches.names,
        histories=histories,
        owners=np.concatenate([np.arange(queries), queries + purchases.owners[of_purchase]]),
        known=(*searches.known, *purchases.known),
        available=len(searches.items) + len(purchases.items),
    )


def _histories(purchases: _Targets, of_purchase: Rows, settings: TrainingSettings) -> tuple[Rows, ...]:
    rng = np.random.default_rng((settings.seed, len(of_purchase), settings.history_length))
    return tuple(
        _past(purchases.known[owner], int(earlier), settings.history_length, rng)
        for owner, earlier in zip(purchases.owners[of_purchase], purchases.places[of_purchase], strict=True)
    )


def _past(bought: Rows, earlier: int, length: int, rng: np.random.Generator) -> Rows:
    if earlier <= length:
        return bought[:earlier]
    return bought[np.sort(rng.choice(earlier, length, replace=False))]


def _arrays(lists: pl.Series) -> tuple[Rows, ...]:
    rows: Sequence[list[int]] = lists.to_list()
    return tuple(np.asarray(row, dtype=np.int64) for row in rows)
