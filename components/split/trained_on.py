"""Which requests and items the training rows of a split hold, for a candidate's fingerprint."""

from pathlib import Path

import polars as pl

from components.split.catalogue import normalised


def trained_on(split: Path, taught: bool = False) -> tuple[list[str], list[str]]:
    """Sorted request ids (normalised queries, user ids) and item ids of all training rows; taught: of those
    that a teacher alone learns from, too."""
    folders = ("train", "refit", "graded") if taught else ("train", "refit")
    requests: set[str] = set()
    items: set[str] = set()
    for path in sorted(path for folder in folders for path in (split / folder).glob("*.parquet")):
        rows = pl.read_parquet(path)
        request = normalised("query") if "query" in rows.columns else pl.col("user_id")
        requests.update(rows.select(request).to_series())
        items.update(rows.get_column("item_id"))
    return sorted(requests), sorted(items)
