"""Which requests and items the training rows of a split hold, for a candidate's fingerprint."""

from pathlib import Path

import polars as pl

from components.split.catalogue import normalised


def trained_on(split: Path) -> tuple[list[str], list[str]]:
    """Sorted request ids (normalised queries, user ids) and item ids of all training rows."""
    requests: set[str] = set()
    items: set[str] = set()
    for path in sorted(path for folder in ("train", "refit") for path in (split / folder).glob("*.parquet")):
        rows = pl.read_parquet(path)
        request = normalised("query") if "query" in rows.columns else pl.col("user_id")
        requests.update(rows.select(request).to_series())
        items.update(rows.get_column("item_id"))
    return sorted(requests), sorted(items)
