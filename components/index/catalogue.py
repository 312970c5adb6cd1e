"""A release's snapshot of the catalogue with what was PUT and deleted since."""

from collections.abc import Sequence

import polars as pl

from components.contract.live import Change

_KEPT = {"first_seen": pl.Datetime("us"), "is_new": pl.Boolean(), "group": pl.String()}
"""What the snapshot alone knows of an item: a shop that PUTs a price does not say when it was first seen."""


def catalogue_now(items: pl.DataFrame, changes: Sequence[Change]) -> pl.DataFrame:
    """The items as they are now, ascending item_id.

    items: contract columns, and of _KEPT those that are known. An item that was PUT keeps the snapshot's
    first_seen, is_new and group; one that the snapshot does not have was first seen when it was listed, is
    new and a group of its own. Added columns: `put`, whether it was PUT since; `added`, whether it is not in
    the snapshot.
    """
    stays = items.filter(~pl.col("item_id").is_in([change.item_id for change in changes]))
    stays = stays.with_columns(put=False, added=False)
    live = [change.item.model_dump() for change in changes if change.item is not None]
    if not live:
        return stays.sort("item_id")
    rows = pl.DataFrame(live, schema_overrides={"listed_at": pl.Datetime("us")}, infer_schema_length=None)
    rows = rows.join(_known(items), on="item_id", how="left", maintain_order="left")
    added = pl.col("_known").is_null()
    rows = rows.with_columns(
        first_seen=pl.coalesce("first_seen", "listed_at"),
        is_new=pl.when(added).then(True).otherwise(pl.col("is_new")),
        group=pl.coalesce("group", "item_id"),
        put=True,
        added=added,
    )
    return pl.concat([stays, rows.drop("_known")], how="diagonal_relaxed").sort("item_id")


def _known(items: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None, kind).alias(name) for name, kind in _KEPT.items() if name not in items.columns]
    return items.with_columns(absent).select("item_id", *_KEPT, _known=True)
