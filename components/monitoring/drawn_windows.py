"""Windows without drift, drawn from a reference, and what each metric is in them.

Requests. Whole days are drawn, as many as a window has (a third of the days at most, so that other windows
without them remain), then as many requests of those days as it has: days differ from one another, so requests
drawn one by one would promise too little spread (block bootstrap: Hall, Horowitz & Jing, Biometrika 1995).
Every day is drawn equally often: the days are shuffled and dealt out, again and again. Where the days hold
fewer requests, they come twice, which errs towards wider thresholds. A drawn window is compared with the
other days only, because a fresh one is no part of the reference.

New items. A launch's items are alike, so weeks of listing are drawn, from the items listed within HISTORY
times new_item_days: one cohort for the window, and one of other weeks in the reference's place. Undated
items, or those of fewer weeks than two cohorts have, one by one, with replacement.

Catalogue. Items one by one, with replacement, and twice: a catalogue has no days. What a live catalogue
shares with the reference makes its alarms rarer than this promises: the error is on the quiet side.

Undiscoverable new items. Launches (launches.py) with replacement, twice, and of the second so many items as
were checked live; two binomial draws of the reference's share where the launches are not known.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from components.contract.operations import MonitoringSettings
from components.monitoring.facts import HISTORY
from components.monitoring.metrics import METRICS, Metric, measure, values
from components.monitoring.reference import Reference, Undiscoverable
from components.monitoring.samples import COMPARED, Frame, ReferenceSamples, Rows, Sample, at_most

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
DAYS_PER_WEEK = 7
FRAMES: tuple[Frame, ...] = ("requests", "items", "new items")
STEP: dict[Frame, float] = {"requests": 1.5, "items": 4.0, "new items": 2.0}
"""From one calibrated size to the next. A live window is cut to the next smaller one."""
MOST_DAYS = 3
"""A drawn window has at most a third of the days."""
NEAR = 1.1
"""Two sizes are not closer."""
MIN_VALUES = 20
"""A metric of which a window of some size is to have fewer values is not calibrated for that size."""
UNDISCOVERABLE = "undiscoverable_share"
"""The metric that comes as two counts rather than as a column."""
_LEAST_SHARE = 0.005


class Pair(NamedTuple):
    before: Rows
    """In the reference's place."""
    after: Rows
    """The window."""
    blocks: Marks | None
    """Of each day, or week of listing, whether it is the window's; None where rows are drawn one by one."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """One metric in windows without drift."""

    statistics: Floats
    """(resamples,)"""
    blocks: Marks | None
    """(resamples, days or weeks): those of the window."""
    two_sided: bool
    least_scale: float


def draw_windows(
    frame: Frame, reference: Reference, samples: ReferenceSamples, settings: MonitoringSettings
) -> dict[int, dict[str, Drawn]]:
    """Per size each metric of the frame in `settings.resamples` windows; draw n of a size is the same window
    for all metrics. Empty where the reference has fewer than min_rows items, or 2 × min_rows requests."""
    found = {}
    for size in sizes(frame, reference, samples, settings):
        rng = np.random.default_rng([settings.seed, FRAMES.index(frame), size])
        sample, pairs = _pairs(frame, reference, samples, size, settings, rng)
        found[size] = _measured(frame, sample, pairs, size, reference)
    return {size: drawn for size, drawn in found.items() if drawn}


def draw_shares(reference: Reference, settings: MonitoringSettings) -> dict[int, dict[str, Drawn]]:
    """The undiscoverable share, in the form of `draw_windows`."""
    known = reference.facts.undiscoverable
    if known is None:
        return {}
    found = {}
    for size in _grid(settings.min_rows, 2.0, known.checked):
        rng = np.random.default_rng([settings.seed, len(FRAMES), size])
        before, after = (_shares(known, settings.resamples, rng) for _ in range(2))
        if not known.launches:
            before = rng.binomial(known.checked, before) / known.checked
        differences = rng.binomial(size, after) / size - before
        found[size] = {UNDISCOVERABLE: Drawn(differences, None, True, _LEAST_SHARE)}
    return found


def _shares(known: Undiscoverable, resamples: int, rng: Generator) -> Floats:
    """The share in so many launches, drawn with replacement; without launches always the share of all."""
    counts = np.asarray(known.launches or [(known.found, max(1, known.checked))], dtype=np.float64)
    found, checked = counts[rng.integers(len(counts), size=(resamples, len(counts)))].sum(1).T
    return np.asarray(found / checked)


def sizes(
    frame: Frame, reference: Reference, samples: ReferenceSamples, settings: MonitoringSettings
) -> list[int]:
    """The sizes that windows are calibrated for, ascending.

    Of requests, no more than the reference has in so many days as a window is long: a larger one would hold
    the same requests over and over.
    """
    rows = len(samples.sample(frame))
    if frame != "requests":
        return _grid(settings.min_rows, STEP[frame], rows)
    if rows < 2 * settings.min_rows:
        return []
    per_block = reference.requests.group_by("block").len().get_column("len").to_numpy()
    most = drawn_days(settings, len(per_block)) * float(np.median(per_block))
    return _grid(settings.min_rows, STEP[frame], max(settings.min_rows, min(int(most), rows // 2)))


def _grid(least: int, step: float, most: int) -> list[int]:
    """least, least × step, … and `most`."""
    grid, size = [], float(least)
    while size <= most / NEAR:
        grid.append(round(size))
        size *= step
    return [*grid, most] if least <= most else []


def _pairs(
    frame: Frame,
    reference: Reference,
    samples: ReferenceSamples,
    size: int,
    settings: MonitoringSettings,
    rng: Generator,
) -> tuple[Sample, Iterator[Pair]]:
    """What the drawn rows are rows of, and the draws."""
    count = settings.resamples
    if frame == "requests":
        blocks = reference.requests.get_column("block").to_numpy()
        days = drawn_days(settings, len(np.unique(blocks)))
        return samples.requests, request_pairs(blocks, days, size, count, rng)
    if frame == "items":
        return samples.items, catalogue_pairs(len(samples.items), size, count, rng)
    recent = _recent(reference, settings)
    blocks, weeks = listing_weeks(recent, reference, settings)
    pairs = cohort_pairs(blocks, weeks, len(samples.new_items), size, count, rng)
    return samples.coding.items(recent), pairs


def window_days(settings: MonitoringSettings) -> int:
    """Day blocks per window."""
    return max(1, round(settings.window_hours / 24))


def drawn_days(settings: MonitoringSettings, days: int) -> int:
    """Day blocks per drawn window, of a reference of so many days."""
    return min(window_days(settings), max(1, days // MOST_DAYS))


def metrics_of(frame: Frame, reference: Reference) -> list[Metric]:
    """The metrics of a frame; without those of query words where the requests are no searches."""
    asked = reference.facts.entrance == "search"
    return [metric for metric in METRICS if metric.frame == frame and (asked or metric.group != "queries")]


def request_pairs(blocks: Rows, days: int, size: int, resamples: int, rng: Generator) -> Iterator[Pair]:
    """blocks: per request the number of its day; days: of a window. Of every day as many windows, but one."""
    members = _members(blocks)
    for chosen in _dealt(len(members), days, resamples, rng):
        marks = _marks(chosen, len(members))
        others = np.concatenate([members[day] for day in np.flatnonzero(~marks)])
        yield Pair(at_most(COMPARED, others, rng), _of_blocks(members, chosen, size, rng), marks)


def _dealt(blocks: int, together: int, count: int, rng: Generator) -> Iterator[Rows]:
    """So many times `together` of the numbers below `blocks`, each number about equally often."""
    hand: list[Rows] = []
    for _ in range(count):
        if not hand:
            shuffled = rng.permutation(blocks)
            hand = np.split(shuffled[: blocks // together * together], blocks // together)
        yield hand.pop()


def _marks(chosen: Rows, blocks: int) -> Marks:
    marks = np.zeros(blocks, dtype=np.bool_)
    marks[chosen] = True
    return marks


def catalogue_pairs(items: int, size: int, resamples: int, rng: Generator) -> Iterator[Pair]:
    for _ in range(resamples):
        yield Pair(rng.integers(items, size=items), rng.integers(items, size=size), None)


def cohort_pairs(
    blocks: Rows, weeks: int, cohort: int, size: int, resamples: int, rng: Generator
) -> Iterator[Pair]:
    """blocks: per item the number of its week; weeks: of a cohort; cohort: items of the reference's."""
    members = _members(blocks)
    alone = weeks > len(members) // 2
    for _ in range(resamples):
        before, after = np.split(rng.choice(len(members), 2 * weeks, replace=alone), 2)
        marks = None if alone else _marks(after, len(members))
        yield Pair(_of_blocks(members, before, cohort, rng), _of_blocks(members, after, size, rng), marks)


def listing_weeks(
    items: pl.DataFrame, reference: Reference, settings: MonitoringSettings
) -> tuple[Rows, int]:
    """Per item the number of its block, and how many blocks make a cohort."""
    age = (pl.lit(reference.facts.end) - pl.col("listed")).dt.total_days() // DAYS_PER_WEEK
    weeks = items.select(age).to_series()
    count = math.ceil(settings.new_item_days / DAYS_PER_WEEK)
    if weeks.null_count() or weeks.n_unique() < 2 * count:
        return np.arange(len(items)), reference.facts.new_items
    return weeks.rank("dense").cast(pl.Int64).to_numpy() - 1, count


def _recent(reference: Reference, settings: MonitoringSettings) -> pl.DataFrame:
    since = reference.facts.end - timedelta(days=HISTORY * settings.new_item_days)
    listed = pl.col("listed").is_between(since, reference.facts.end, closed="left")
    return reference.items.filter(pl.col("is_new") | listed.fill_null(False))


def _members(blocks: Rows) -> list[Rows]:
    return [np.flatnonzero(blocks == block) for block in np.unique(blocks)]


def _of_blocks(members: Sequence[Rows], chosen: Rows, size: int, rng: Generator) -> Rows:
    """So many rows of the chosen blocks, none of them twice before all were taken once."""
    pool = np.concatenate([members[block] for block in chosen])
    rounds = [rng.permutation(pool) for _ in range(math.ceil(size / len(pool)))]
    return np.concatenate(rounds)[:size]


def _measured(
    frame: Frame, sample: Sample, pairs: Iterator[Pair], size: int, reference: Reference
) -> dict[str, Drawn]:
    share = {metric: values(metric, sample) / len(sample) for metric in metrics_of(frame, reference)}
    metrics = [metric for metric in share if share[metric] * size >= MIN_VALUES]
    rows, blocks = [], []
    for pair in pairs:
        before, after = sample.take(pair.before), sample.take(pair.after)
        rows.append([measure(metric, before, after) for metric in metrics])
        blocks.append(pair.blocks)
    table = np.asarray(rows, dtype=np.float64).reshape(len(rows), len(metrics))
    marks = None if blocks[0] is None else np.asarray(blocks)
    return {
        metric.name: Drawn(table[:, number], marks, metric.two_sided, metric.least_scale)
        for number, metric in enumerate(metrics)
    }
