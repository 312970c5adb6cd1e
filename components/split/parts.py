"""What both kinds of split produce, and the shape of request and judgement rows."""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from components.contract.records import Entrance

JudgedRows = tuple[pl.DataFrame, pl.DataFrame]
"""Request rows and judgement rows of one part."""

REQUEST_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "entrance": pl.String,
    "request_id": pl.String,
    "text": pl.String,
    "history": pl.List(pl.String),
    "exclude": pl.List(pl.String),
    "frequency": pl.Int64,
}
JUDGEMENT_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "entrance": pl.String,
    "request_id": pl.String,
    "item_id": pl.String,
    "grade": pl.Float64,
    "relevant": pl.Boolean,
}


@dataclass(frozen=True)
class SplitParts:
    """A split before it is written. `train_…` rows choose the settings; `refit_…` rows, where there are
    any, are all rows before the cut-off. Search rows: query, item_id, grade, at; purchase rows: user_id,
    item_id, at."""

    items: pl.DataFrame
    graded_search: pl.DataFrame | None
    """Search rows of all judgements of training queries and items, the low grades too; None: of dated events,
    which have no grade for what was passed over."""
    train_search: pl.DataFrame | None
    train_purchases: pl.DataFrame | None
    refit_search: pl.DataFrame | None
    refit_purchases: pl.DataFrame | None
    purchases: pl.DataFrame | None
    """All purchase rows before the cut-off: what a release's co-purchases are counted from."""
    traffic: pl.DataFrame | None
    """All events before the cut-off of items that are not new (split.statistics.TRAFFIC_COLUMNS)."""
    validation: JudgedRows
    test: JudgedRows
    cutoff: datetime | None
    validation_cutoff: datetime | None
    judged_until: datetime | None
    """End of the judge window; like the cut-offs None for undated judgements."""


def judgement_rows(graded: pl.DataFrame, entrance: Entrance, relevant_grade: float) -> pl.DataFrame:
    """JUDGEMENT_SCHEMA rows from request_id, item_id, grade; requests without a relevant item leave."""
    rows = graded.select(
        pl.lit(entrance).alias("entrance"),
        "request_id",
        "item_id",
        pl.col("grade").cast(pl.Float64),
        relevant=pl.col("grade") >= relevant_grade,
    )
    return rows.filter(pl.col("relevant").any().over("request_id")).sort("request_id", "item_id")


def request_rows(known: pl.DataFrame, judged: pl.DataFrame, entrance: Entrance) -> pl.DataFrame:
    """REQUEST_SCHEMA rows of the judged requests; `known` holds request_id and any of the other columns."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    defaults = {
        "text": pl.lit(None, dtype=pl.String),
        "history": empty,
        "exclude": empty,
        "frequency": pl.lit(0),
    }
    missing = [expression.alias(name) for name, expression in defaults.items() if name not in known.columns]
    rows = known.join(judged.select("request_id").unique(), on="request_id", how="semi")
    rows = rows.with_columns(pl.lit(entrance).alias("entrance"), *missing)
    return rows.select(pl.col(name).cast(kind) for name, kind in REQUEST_SCHEMA.items()).sort("request_id")
