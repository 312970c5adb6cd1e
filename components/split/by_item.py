"""The split of undated judgements: held out by item and by query (data/README.md, home_depot)."""

import hashlib
import math

import numpy as np
import polars as pl

from components.contract.errors import ConfigError, DataError
from components.contract.settings import SplitSettings
from components.split.catalogue import in_groups_of, normalised
from components.split.parts import SplitParts, judgement_rows, request_rows


def split_by_item(items: pl.DataFrame, judgements: pl.DataFrame, settings: SplitSettings) -> SplitParts:
    """Holds out the last items in id order as new, and whole queries for validation and test.

    Validation never sees a new item: its pseudo-new items are the last of the established ones.
    Raises ConfigError and DataError.
    """
    if settings.refit_on_validation:
        raise ConfigError(
            "split.refit_on_validation: judgements have no dates, so there is no later window to train on "
            "again: leave it out."
        )
    items = hold_out_items(items, settings)
    judgements = judgements.with_columns(request_id=normalised("query"))
    test, validation = _held_out_queries(judgements, settings)
    trainable = items.filter("trainable").select("item_id")
    old = items.filter(~pl.col("is_new")).select("item_id")
    of_training = judgements.filter(~pl.col("request_id").is_in([*test, *validation]))
    positives = of_training.filter(pl.col("grade") >= settings.positive_grade)
    return SplitParts(
        items=items,
        graded_search=_training_rows(of_training.join(trainable, on="item_id", how="semi")),
        train_search=_training_rows(positives.join(trainable, on="item_id", how="semi")),
        train_purchases=None,
        refit_search=None,
        refit_purchases=None,
        purchases=None,
        traffic=None,
        validation=_judged(
            judgements.filter(pl.col("request_id").is_in(validation)).join(old, on="item_id", how="semi"),
            settings,
        ),
        test=_judged(judgements.filter(pl.col("request_id").is_in(test)), settings),
        cutoff=None,
        validation_cutoff=None,
        judged_until=None,
    )


def hold_out_items(items: pl.DataFrame, settings: SplitSettings) -> pl.DataFrame:
    """Adds is_new, is_validation_new, trainable and refit_trainable; `items` has `group`."""
    order = items.select("item_id", _number=pl.col("item_id").cast(pl.Int64, strict=False))
    by = ["item_id"] if order.get_column("_number").null_count() else ["_number", "item_id"]
    ids = order.sort(by).get_column("item_id")
    new = math.ceil(len(ids) * settings.new_item_share)
    established = len(ids) - new
    pseudo_new = math.ceil(established * settings.validation_new_item_share)
    if not new or not pseudo_new:
        raise DataError(
            f"items: {len(ids)} rows give {new} new and {pseudo_new} validation items; both are needed. "
            f"Raise split.new_item_share or split.validation_new_item_share."
        )
    held_out = pl.col("_new_group") | pl.col("_validation_group")
    return (
        items.with_columns(
            is_new=pl.col("item_id").is_in(ids[established:].implode()),
            is_validation_new=pl.col("item_id").is_in(ids[established - pseudo_new : established].implode()),
        )
        .with_columns(_new_group=in_groups_of("is_new"), _validation_group=in_groups_of("is_validation_new"))
        .with_columns(trainable=~held_out, refit_trainable=~held_out)
        .drop("_new_group", "_validation_group")
    )


def _held_out_queries(judgements: pl.DataFrame, settings: SplitSettings) -> tuple[list[str], list[str]]:
    """Normalised test and validation queries: the shop's own `split` column, else the first of an order; a
    query that normalises to a test query is a test query."""
    named = judgements.filter(pl.col("split").is_not_null())
    if len(named):
        test, validation = (
            set(named.filter(pl.col("split") == part).get_column("request_id"))
            for part in ("test", "validation")
        )
    else:
        ordered = _shuffled if settings.query_order == "shuffled" else _hashed
        queries = ordered(judgements, settings.seed)
        until = settings.test_queries + settings.validation_queries
        test = set(queries[: settings.test_queries])
        validation = set(queries[settings.test_queries : until])
    validation -= test
    if not test or not validation:
        raise DataError(
            f"judgements: {len(test)} test and {len(validation)} validation queries; both are needed. Lower "
            f"split.test_queries and split.validation_queries, or name both in the `split` column."
        )
    return sorted(test), sorted(validation)


def _hashed(judgements: pl.DataFrame, seed: int) -> list[str]:
    """Normalised queries: each has its place by itself, so others that are added only move it back, from test
    to validation to training and never the other way."""
    queries = judgements.get_column("request_id").unique().to_list()
    return sorted(queries, key=lambda query: hashlib.sha256(f"{seed}\n{query}".encode()).digest())


def _shuffled(judgements: pl.DataFrame, seed: int) -> list[str]:
    """Of the distinct queries as written, so that it agrees with home_depot's published split."""
    written = dict(judgements.select("query", "request_id").iter_rows())
    queries = np.array(sorted(written), dtype=object)
    np.random.default_rng(seed).shuffle(queries)
    return [written[query] for query in queries]


def _training_rows(judgements: pl.DataFrame) -> pl.DataFrame:
    best = judgements.group_by("request_id", "item_id").agg(pl.col("grade").max(), pl.col("query").min())
    return best.select("query", "item_id", "grade", at=pl.lit(None, dtype=pl.Datetime("us"))).sort(
        "query", "item_id"
    )


def _judged(rows: pl.DataFrame, settings: SplitSettings) -> tuple[pl.DataFrame, pl.DataFrame]:
    graded = rows.group_by("request_id", "item_id").agg(pl.col("grade").max(), text=pl.col("query").min())
    judged = judgement_rows(graded, "search", settings.relevant_grade)
    texts = graded.group_by("request_id").agg(pl.col("text").min())
    return request_rows(texts, judged, "search"), judged
