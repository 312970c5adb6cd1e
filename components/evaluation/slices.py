"""Which items and which requests each slice of a scorecard covers.

A slice of items keeps the full-catalogue ranking and counts only the relevant items inside it; a slice
of requests keeps all relevant items of some requests. Names are "new", "category:Tools", ….
"""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from components.contract.judging import JudgeSettings
from components.evaluation.pairs import Mask
from components.split.judged import JudgedSet

SECONDS_PER_DAY = 86_400
LENGTHS = {"1": (1, 1), "2": (2, 2), "3": (3, 3), "4-5": (4, 5), "6+": (6, None)}
FREQUENCIES = {"unseen": (0, 0), "rare": (1, 2), "frequent": (3, None)}


def trained_items(split: Path) -> frozenset[str]:
    """Items that have a training row: those of refit/ too, where the candidate is trained on it."""
    files = sorted(file for part in ("train", "refit") for file in (split / part).glob("*.parquet"))
    return frozenset(
        item_id
        for file in files
        for item_id in pl.read_parquet(file, columns=["item_id"]).get_column("item_id").unique()
    )


def item_slices(
    catalogue: pl.DataFrame,
    trained: Collection[str],
    settings: JudgeSettings,
    judged_until: datetime | None,
) -> dict[str, Mask]:
    """Slice name → which catalogue rows are in it, in the order of a report."""
    new = catalogue.get_column("is_new").to_numpy()
    known = set(trained)
    seen = np.array([item_id in known for item_id in catalogue.get_column("item_id")], dtype=np.bool_)
    slices = {
        "new": new,
        "established": ~new,
        "established_trained": ~new & seen,
        "established_untrained": ~new & ~seen,
        "all": np.ones(len(new), dtype=np.bool_),
    }
    slices |= _category_slices(catalogue, settings.max_categories)
    if judged_until is not None and age_slices_reason(catalogue, judged_until) is None:
        slices |= _age_slices(catalogue, settings.age_bucket_days, judged_until)
    return slices


def request_slices(judged: JudgedSet) -> dict[str, Mask]:
    """Slice name → which requests are in it: words of the query, how often it occurred in training."""
    frequency = np.array([judged.frequency.get(r.request_id, 0) for r in judged.requests], dtype=np.int64)
    slices = {f"query_frequency:{name}": _within(frequency, *ends) for name, ends in FREQUENCIES.items()}
    if judged.entrance == "search":
        words = np.array([len((r.text or "").split()) for r in judged.requests], dtype=np.int64)
        slices |= {f"query_length:{name}": _within(words, *ends) for name, ends in LENGTHS.items()}
    return slices


def age_slices_reason(catalogue: pl.DataFrame, judged_until: datetime | None) -> str | None:
    """Why there are no age slices; None where there are."""
    if catalogue.get_column("first_seen").null_count() == len(catalogue):
        return "the items are undated (no listed_at, no events)"
    if judged_until is None:
        return "the judgements are undated, so an item's age when it was judged is unknown"
    return None


def _category_slices(catalogue: pl.DataFrame, most: int) -> dict[str, Mask]:
    """The `most` largest top-level categories; items of smaller ones and of none are "other"."""
    top = catalogue.get_column("category").str.split(">").list.first().str.strip_chars()
    top = top.replace("", None)
    counts = top.drop_nulls().value_counts().sort(["count", "category"], descending=[True, False])
    if not len(counts) or most < 1:
        return {}
    named = counts.get_column("category").head(most).to_list()
    label = top.fill_null("other").to_numpy()
    slices = {f"category:{name}": label == name for name in named}
    rest = ~np.isin(label, np.array(named, dtype=object))
    if rest.any():
        slices["category:other"] = slices.get("category:other", False) | rest
    return slices


def _age_slices(catalogue: pl.DataFrame, edges: tuple[int, ...], until: datetime) -> dict[str, Mask]:
    """Buckets of the days from an item's first day to the end of the judge window.

    A request is judged by all its acts in the window, which have no single date, so the age is the one
    at the window's end: the oldest the item can have been when it was judged. Items without a first day,
    and those first seen after the window, are in no bucket.
    """
    days = (until - catalogue.get_column("first_seen")).dt.total_seconds() / SECONDS_PER_DAY
    age = days.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    edges = tuple(sorted(set(edges)))
    starts, ends = (0, *edges), (*edges, None)
    return {
        f"age:{age_label(s, e)}": (age >= s) & (age < (np.inf if e is None else e))
        for s, e in zip(starts, ends, strict=True)
    }


def age_label(start: int, end: int | None) -> str:
    """ "7-14" or "60+": days, the start included, the end not."""
    return f"{start}+" if end is None else f"{start}-{end}"


def _within(values: np.ndarray, low: int, high: int | None) -> Mask:
    return np.asarray((values >= low) & (values <= (np.inf if high is None else high)))
