"""The columns that reference and live windows share, computed by the same code for both.

Requests: at, entrance, release, query_characters, query_words, language, unknown_word_rate, query_vector,
item_ids, top_score, mean_score, new_share, new_score, zero_result. Items: item_id, price, category, brand,
completeness, attributes, title_length, listed, is_new, in_sample. No query text and no user among them.
"""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import polars as pl

from components.monitoring.catalogue import is_new, listed_when

DEPTH = 10
"""Answers are compared by their first so many items."""
MAX_ITEMS = 5_000
"""Items of a catalogue that are compared, chosen by the hash of their id."""
HISTORY = 4
"""Items listed in so many times `new_item_days` are kept, to see how cohorts differ from one another."""
DESCRIBED_BY = ("description", "brand", "category", "price", "attributes")
"""What completeness counts: the share of these that an item has."""
REQUEST_COLUMNS: dict[str, pl.DataType] = {
    "at": pl.Datetime("us"),
    "entrance": pl.String(),
    "release": pl.String(),
    "query_characters": pl.Int64(),
    "query_words": pl.Int64(),
    "language": pl.String(),
    "unknown_word_rate": pl.Float64(),
    "query_vector": pl.List(pl.Float32),
    "item_ids": pl.List(pl.String),
    "top_score": pl.Float64(),
    "mean_score": pl.Float64(),
    "new_share": pl.Float64(),
    "new_score": pl.Float64(),
    "zero_result": pl.Boolean(),
}


def answer_facts(answers: pl.DataFrame, new: Collection[str]) -> pl.DataFrame:
    """Adds top_score, mean_score, new_share and new_score; item_ids and scores are cut to DEPTH.

    answers: item_ids and scores (lists, best first) and, where there are any, exploration_positions, whose
    items were drawn and are left out. new: ids of new items. An answer without items has nulls.
    """
    answers = answers.with_row_index("_row")
    shown = answers.select("_row", "item_ids", "scores").explode("item_ids", "scores").drop_nulls("item_ids")
    shown = shown.with_columns(position=pl.int_range(1, pl.len() + 1).over("_row"))
    if "exploration_positions" in answers.columns:
        drawn = answers.select("_row", position="exploration_positions").explode("position").drop_nulls()
        shown = shown.join(
            drawn.cast({"position": shown["position"].dtype}), on=["_row", "position"], how="anti"
        )
    shown = shown.filter(pl.col("position") <= DEPTH).sort("_row", "position")
    among = pl.col("item_ids").is_in(list(new))
    scores = pl.col("scores").cast(pl.Float64)
    facts = shown.group_by("_row", maintain_order=True).agg(
        pl.col("item_ids"),
        pl.col("scores"),
        top_score=scores.first(),
        mean_score=scores.mean(),
        new_share=among.cast(pl.Float64).mean(),
        new_score=scores.filter(among).mean(),
    )
    others = answers.drop("item_ids", "scores", "exploration_positions", strict=False)
    return others.join(facts, on="_row", how="left", maintain_order="left").drop("_row")


def item_facts(items: pl.DataFrame, end: datetime, new_item_days: int) -> pl.DataFrame:
    """The facts of a catalogue as it was at `end` (naive, UTC), ascending item_id.

    Which items are new: catalogue.is_new, at `end`. Kept are the new items, those listed in the HISTORY
    before them, and a sample of all.
    """
    items = items.with_columns(listed=listed_when(items)).sort("item_id")
    past = end - timedelta(days=HISTORY * new_item_days)
    facts = items.select(
        "item_id",
        _number("price", items),
        _text("category", items),
        _text("brand", items),
        pl.mean_horizontal(*(_filled(name, items) for name in DESCRIBED_BY)).alias("completeness"),
        pl.col("title").fill_null("").str.len_chars().cast(pl.Float64).alias("title_length"),
        _attributes(items),
        "listed",
        is_new(items, end, new_item_days),
    )
    facts = facts.with_columns(in_sample=pl.Series(_sampled(facts["item_id"].to_list()), dtype=pl.Boolean))
    recent = ((pl.col("listed") >= past) & (pl.col("listed") < end)).fill_null(False)
    return facts.filter(pl.col("in_sample") | pl.col("is_new") | recent)


def _sampled(item_ids: Sequence[str]) -> list[bool]:
    """By id, so that two states of a catalogue have the same items in their samples."""
    if len(item_ids) <= MAX_ITEMS:
        return [True] * len(item_ids)
    digests = [hashlib.sha256(item_id.encode("utf-8", "surrogatepass")).digest() for item_id in item_ids]
    last = sorted(digests)[MAX_ITEMS - 1]
    return [digest <= last for digest in digests]


def _number(name: str, items: pl.DataFrame) -> pl.Expr:
    column = pl.col(name) if name in items.columns else pl.lit(None)
    return column.cast(pl.Float64).alias(name)


def _text(name: str, items: pl.DataFrame) -> pl.Expr:
    column = pl.col(name) if name in items.columns else pl.lit(None)
    return column.cast(pl.String).str.strip_chars().replace("", None).alias(name)


def _filled(name: str, items: pl.DataFrame) -> pl.Expr:
    has = (_number if name == "price" else _text)(name, items).is_not_null()
    return has.cast(pl.Float64).alias(f"has_{name}")


def _attributes(items: pl.DataFrame) -> pl.Expr:
    """How many attributes ("name: value; …") have a value; 0 for none."""
    if "attributes" not in items.columns:
        return pl.lit(0.0).alias("attributes")
    part = pl.element().str.strip_chars()
    filled = (part != "") & ~part.str.ends_with(":")
    parts = pl.col("attributes").cast(pl.String).fill_null("").str.split(";")
    return parts.list.eval(filled).list.sum().cast(pl.Float64).alias("attributes")
