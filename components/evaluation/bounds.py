"""What the gate bounds beside recall: exposure, robustness, latency.

Each measurement is a value, or says why there is none: "not applicable" (the shop has no brands) or
missing (it should exist and does not, so the gate fails closed).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from components.contract.ports import Request, Retriever
from components.evaluation.measures import slice_recall
from components.evaluation.pairs import JudgedPairs, Mask, Numbers

Typos = Callable[[str, np.random.Generator], str]
"""Puts one typing error into a query."""

LARGE_BRAND_SHARE = 0.2
MIN_BRANDS = 5
MOST_SHOWN_SHARE = 0.01
TIMED_SEARCHES = 50
WARM_UP_SEARCHES = 3
REPEATS = 3


@dataclass(frozen=True)
class Measurement:
    value: float | None
    reason: str | None = None
    """Why there is no value."""
    applicable: bool = True


def new_item_share_ratio(shown: Numbers, catalogue: pl.DataFrame) -> Measurement:
    """New items' share of the shown places ÷ their share of the catalogue; shown: (places,) rows.

    1: shown as often as their number says; a bonus for being new drives it up.
    """
    new = catalogue.get_column("is_new").to_numpy()
    if not len(shown):
        return Measurement(None, "nothing was returned for any request")
    return Measurement(float(new[shown].mean() / new.mean()))


def top_1_percent_share(shown: Numbers, items: int) -> Measurement:
    """Share of the shown places that the 1 % most shown items hold.

    The 1 % is of the items that could have been shown: with fewer places than items, of the places.
    Otherwise a small judged set on a large catalogue would always read 1. Without any concentration it
    is about 0.01; a collapsed encoder that shows everyone the same ten items reads near 1.
    """
    if not len(shown):
        return Measurement(None, "nothing was returned for any request")
    counts = np.sort(np.bincount(shown, minlength=items))[::-1]
    most = int(np.ceil(MOST_SHOWN_SHARE * min(items, len(shown))))
    return Measurement(float(counts[:most].sum() / len(shown)))


def small_brand_share_ratio(shown: Numbers, catalogue: pl.DataFrame) -> Measurement:
    """Small brands' share of the shown places ÷ their share of the catalogue, among items with a brand.

    Small: all but the 20 % of the brands with the most items (ties: by name).
    """
    brand = catalogue.get_column("brand").str.strip_chars().replace("", None)
    counts = brand.drop_nulls().value_counts().sort(["count", "brand"], descending=[True, False])
    if len(counts) < MIN_BRANDS:
        return Measurement(
            None, f"the catalogue names {len(counts)} brands (< {MIN_BRANDS})", applicable=False
        )
    large = counts.get_column("brand").head(int(np.ceil(LARGE_BRAND_SHARE * len(counts))))
    branded = brand.is_not_null().to_numpy()
    small = branded & ~brand.is_in(large.implode()).fill_null(True).to_numpy()
    shown = shown[branded[shown]]
    if not len(shown):
        return Measurement(None, "no item with a brand was shown")
    return Measurement(float(small[shown].mean() / small[branded].mean()))


def new_item_share(shown: Numbers, catalogue: pl.DataFrame) -> Measurement:
    """New items' share of the shown places."""
    if not len(shown):
        return Measurement(None, "nothing was returned for any request")
    return Measurement(float(catalogue.get_column("is_new").to_numpy()[shown].mean()))


def change(measured: Measurement, other: Measurement) -> Measurement:
    """The difference; missing where either of the two is."""
    if measured.value is None or other.value is None:
        return measured if measured.value is None else other
    return Measurement(measured.value - other.value)


def largest(measured: Sequence[Measurement], key: Callable[[float], float] = float) -> Measurement:
    """The one whose value is highest by `key`; missing where any of them is."""
    for one in measured:
        if one.value is None:
            return one
    return max(measured, key=lambda one: key(one.value or 0.0))


def recall_loss(
    clean: float,
    retriever: Retriever,
    requests: Sequence[Request],
    pairs: JudgedPairs,
    new: Mask,
    k: int,
) -> Measurement:
    """1 − new-item recall@k of `retriever` on `requests` ÷ `clean`, over the requests with a new relevant
    item. `requests` are in the order of `pairs`."""
    if clean == 0.0:
        return Measurement(None, f"new-item recall@{k} is 0, so a loss relative to it does not exist")
    return Measurement(1.0 - slice_recall_of(retriever, requests, pairs, new, k) / clean)


def slice_recall_of(
    retriever: Retriever, requests: Sequence[Request], pairs: JudgedPairs, new: Mask, k: int
) -> float:
    """Mean new-item recall@k over the requests with a new relevant item; only those are searched."""
    selected = new[pairs.row]
    chosen = np.flatnonzero(pairs.relevant_per_request(selected))
    rows = np.full((len(requests), k), -1, dtype=np.int64)
    rows[chosen] = retriever.search([requests[int(number)] for number in chosen], k).rows
    return float(np.nanmean(slice_recall(pairs.find(rows), pairs, selected, k)))


def with_typos(requests: Sequence[Request], typos: Typos, seed: int) -> list[Request]:
    """The requests with one typing error each, in every query that has words."""
    rng = np.random.default_rng(seed)
    return [replace(r, text=typos(r.text, rng)) if r.text else r for r in requests]


def p95_latency_ms(retriever: Retriever, requests: Sequence[Request], k: int) -> Measurement:
    """95th percentile over requests of a single search, encoding included, one client; milliseconds.

    A request's time is the best of three: what else the machine does at that moment is no property of the
    release (on two busy cores one run in ten took ten times as long).
    """
    numbers = sorted({index * len(requests) // TIMED_SEARCHES for index in range(TIMED_SEARCHES)})
    for number in numbers[:WARM_UP_SEARCHES]:
        retriever.search([requests[number]], k)
    # Repeats go over all requests, so that no search finds its own query encoded by the one before.
    seconds = [[_timed(retriever, requests[n], k) for n in numbers] for _ in range(REPEATS)]
    return Measurement(float(np.percentile(np.min(seconds, axis=0), 95) * 1_000))


def _timed(retriever: Retriever, request: Request, k: int) -> float:
    start = time.perf_counter()
    retriever.search([request], k)
    return time.perf_counter() - start
