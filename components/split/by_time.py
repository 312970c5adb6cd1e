"""The split of dated events: learn before T, judge from T on (DESIGN.md, "Judging")."""

from datetime import datetime, timedelta

import polars as pl

from components.contract.errors import DataError
from components.contract.settings import SplitSettings
from components.contract.tables import EVENT_GRADES
from components.split.catalogue import normalised
from components.split.parts import JudgedRows, SplitParts, judgement_rows, request_rows
from components.split.statistics import traffic_rows


def split_by_time(items: pl.DataFrame, events: pl.DataFrame, settings: SplitSettings) -> SplitParts:
    """Cuts events at T and at the validation window before it.

    `items` has `first_seen`. Search: a normalised query and the best act on each item it led to.
    Recommendation: a user's first act on an item he had not acted on before, by the strongest kind of
    act that the shop's users have (purchase, else cart, else click).
    """
    cutoff, validation_cutoff, end = _cutoffs(events, settings)
    graded = events.with_columns(
        grade=pl.col("kind").replace_strict(EVENT_GRADES, default=None, return_dtype=pl.Float64)
    ).drop_nulls("grade")
    searches = graded.filter(pl.col("query").is_not_null()).with_columns(request_id=normalised("query"))
    searches = searches.filter(pl.col("request_id") != "")
    acts = _first_acts(graded)
    refit = settings.refit_on_validation
    items = _mark_items(items, cutoff, validation_cutoff)
    # An item listed after its own first event (a pre-order, a wrong date) is new all the same.
    first, second = (items.filter(mark).select("item_id") for mark in ("trainable", "refit_trainable"))
    known_searches, known_acts = (rows.join(second, on="item_id", how="semi") for rows in (searches, acts))
    purchases = _purchase_rows(known_acts, cutoff)
    return SplitParts(
        items=items,
        graded_search=None,
        train_search=_search_rows(
            searches.join(first, on="item_id", how="semi"), validation_cutoff, settings
        ),
        train_purchases=_purchase_rows(acts.join(first, on="item_id", how="semi"), validation_cutoff),
        refit_search=_search_rows(known_searches, cutoff, settings) if refit else None,
        refit_purchases=purchases if refit else None,
        purchases=purchases,
        traffic=traffic_rows(events, items.filter("refit_trainable"), cutoff),
        validation=_judged(known_searches, known_acts, validation_cutoff, cutoff, settings),
        test=_judged(searches, acts, cutoff, end, settings),
        cutoff=cutoff,
        validation_cutoff=validation_cutoff,
        judged_until=end,
    )


def _cutoffs(events: pl.DataFrame, settings: SplitSettings) -> tuple[datetime, datetime, datetime]:
    """T, the start of the validation window, and the end (exclusive) of the judge window."""
    window = timedelta(days=settings.judge_window_days)
    column = events.get_column("at")
    first, latest = column.dt.min(), column.dt.max()
    if not isinstance(first, datetime) or not isinstance(latest, datetime):
        raise DataError("events: no row is left after the checks; see the quarantine.")
    cutoff = settings.cutoff or latest - window
    days = settings.validation_window_days or settings.judge_window_days
    validation_cutoff = cutoff - timedelta(days=days)
    if not first < validation_cutoff < cutoff <= latest:
        raise DataError(
            f"events run from {first:%Y-%m-%d} to {latest:%Y-%m-%d}; with the cut-off {cutoff:%Y-%m-%d} and "
            f"{days} days of validation before it nothing is left to train on or to judge. "
            f"Set split.cutoff, split.judge_window_days or split.validation_window_days."
        )
    return cutoff, validation_cutoff, cutoff + window + timedelta(microseconds=1)


def _mark_items(items: pl.DataFrame, cutoff: datetime, validation_cutoff: datetime) -> pl.DataFrame:
    seen = pl.col("first_seen")
    is_new = (seen >= cutoff).fill_null(False)
    validation_new = ((seen >= validation_cutoff) & (seen < cutoff)).fill_null(False)
    return items.with_columns(
        is_new=is_new,
        is_validation_new=validation_new,
        trainable=~is_new & ~validation_new,
        refit_trainable=~is_new,
    )


def _first_acts(graded: pl.DataFrame) -> pl.DataFrame:
    """user_id, item_id, at, grade: per user and item the first act of the strongest kind that users have."""
    of_users = graded.drop_nulls("user_id")
    strongest = of_users.filter(pl.col("grade") == pl.col("grade").max())
    first = strongest.group_by("user_id", "item_id").agg(pl.col("at").min(), pl.col("grade").first())
    return first.sort("user_id", "at", "item_id")


def _search_rows(searches: pl.DataFrame, until: datetime, settings: SplitSettings) -> pl.DataFrame | None:
    rows = searches.filter((pl.col("at") < until) & (pl.col("grade") >= settings.positive_grade))
    best = rows.group_by("request_id", "item_id").agg(pl.col("grade").max(), pl.col("at").max())
    pairs = best.select(pl.col("request_id").alias("query"), "item_id", "grade", "at")
    return pairs.sort("query", "item_id") if len(pairs) else None


def _purchase_rows(acts: pl.DataFrame, until: datetime) -> pl.DataFrame | None:
    rows = acts.filter(pl.col("at") < until).select("user_id", "item_id", "at")
    return rows if len(rows) else None


def _judged(
    searches: pl.DataFrame, acts: pl.DataFrame, start: datetime, end: datetime, settings: SplitSettings
) -> JudgedRows:
    pairs = [
        _judged_searches(searches, start, end, settings),
        _judged_users(acts, start, end, settings),
    ]
    requests, judgements = (pl.concat(frames) for frames in zip(*pairs, strict=True))
    return requests, judgements


def _judged_searches(
    searches: pl.DataFrame, start: datetime, end: datetime, settings: SplitSettings
) -> JudgedRows:
    window = searches.filter((pl.col("at") >= start) & (pl.col("at") < end))
    graded = window.group_by("request_id", "item_id").agg(pl.col("grade").max())
    judged = _sampled(judgement_rows(graded, "search", settings.relevant_grade), settings)
    before = searches.filter(pl.col("at") < start).group_by("request_id").agg(frequency=pl.len())
    known = graded.select("request_id", text="request_id").unique()
    known = known.join(before, on="request_id", how="left").with_columns(pl.col("frequency").fill_null(0))
    return request_rows(known, judged, "search"), judged


def _judged_users(acts: pl.DataFrame, start: datetime, end: datetime, settings: SplitSettings) -> JudgedRows:
    """Users with a past before `start`; `acts` holds first acts only, so what they had before is out."""
    past = acts.filter(pl.col("at") < start).group_by("user_id", maintain_order=True).agg("item_id")
    known = past.select(
        request_id="user_id", history="item_id", exclude="item_id", frequency=pl.col("item_id").list.len()
    )
    window = acts.filter((pl.col("at") >= start) & (pl.col("at") < end))
    graded = window.select("item_id", "grade", request_id="user_id").join(known, on="request_id", how="semi")
    judged = _sampled(judgement_rows(graded, "recommendation", 0.0), settings)
    return request_rows(known, judged, "recommendation"), judged


def _sampled(judged: pl.DataFrame, settings: SplitSettings) -> pl.DataFrame:
    """At most `max_test_requests` requests, drawn by seed."""
    requests = judged.get_column("request_id").unique().sort()
    if settings.max_test_requests is None or len(requests) <= settings.max_test_requests:
        return judged
    kept = requests.sample(settings.max_test_requests, seed=settings.seed)
    return judged.filter(pl.col("request_id").is_in(kept.implode()))
