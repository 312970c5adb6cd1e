"""What quarantine costs: items that have no event left, above all new ones."""

from datetime import datetime
from pathlib import Path

import polars as pl

from components.quality import quarantine


def lost_items(loaded: Path, checked: Path, cutoff: datetime | None) -> dict[str, int]:
    """Items that lost all their events to quarantine.

    An item here is an id of the loaded items table that is a product (its id does not match
    ignore_item_pattern) and has at least one loaded event. New: listed_at ≥ `cutoff`, else its
    first loaded event ≥ `cutoff`; without a cut-off the two figures about new items are absent.

    Returns items_with_events, lost_items, lost_items_quarantined (of these: their own row is in
    quarantine), new_items_with_events, lost_new_items. Empty where there are no events.
    """
    if not (loaded / "events.parquet").is_file():
        return {}
    items = _items_with_events(loaded, checked)
    kept = pl.read_parquet(checked / "events.parquet", columns=["item_id"])["item_id"].unique()
    clean = pl.read_parquet(checked / "items.parquet", columns=["item_id"])["item_id"].unique()
    lost = items.filter(~pl.col("item_id").is_in(kept.implode()))
    figures = {
        "items_with_events": items.height,
        "lost_items": lost.height,
        "lost_items_quarantined": lost.filter(~pl.col("item_id").is_in(clean.implode())).height,
    }
    if cutoff is None:
        return figures
    new = pl.coalesce("listed_at", "first_event") >= cutoff
    return figures | {
        "new_items_with_events": items.filter(new).height,
        "lost_new_items": lost.filter(new).height,
    }


def _items_with_events(loaded: Path, checked: Path) -> pl.DataFrame:
    """Products with a loaded event: item_id, listed_at, first_event (null where no event is dated)."""
    found = quarantine.read(checked)
    services = quarantine.item_ids(found.filter(pl.col("expectation").str.starts_with("item is a product")))
    items = (
        pl.scan_parquet(loaded / "items.parquet")
        .filter(~pl.col("item_id").is_in(services.drop_nulls().implode()))
        .group_by("item_id")
        .agg(pl.col("listed_at").min())
    )
    events = (
        pl.scan_parquet(loaded / "events.parquet").group_by("item_id").agg(first_event=pl.col("at").min())
    )
    return items.join(events, on="item_id", how="inner").collect()
