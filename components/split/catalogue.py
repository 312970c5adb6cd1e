"""The catalogue's side of a split: normalised words, duplicate groups, when an item was first seen."""

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def normalised(column: str) -> pl.Expr:
    """Lower case, white space collapsed and trimmed: the form in which queries and titles are compared."""
    return pl.col(column).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def plain_query(text: str) -> str:
    """One text as `normalised` has it."""
    return " ".join(text.lower().split())


def with_groups(items: pl.DataFrame) -> pl.DataFrame:
    """Adds `group`, the duplicate group: items that share a normalised title or a `group_id`,
    directly or through others; named after its first item_id. Sorts by item_id."""
    items = items.sort("item_id").with_row_index("_row")
    titles = items.with_columns(_key=normalised("title")).filter(pl.col("_key") != "")
    groups = items.with_columns(_key=pl.col("group_id")).drop_nulls("_key")
    edges = [_edges(frame) for frame in (titles, groups)]
    first, second = (np.concatenate([edge[side] for edge in edges]) for side in (0, 1))
    graph = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(len(items), len(items)))
    _, component = connected_components(graph, directed=False)
    return (
        items.with_columns(_component=pl.Series(component))
        .with_columns(group=pl.col("item_id").first().over("_component"))
        .drop("_row", "_component")
    )


def with_first_seen(items: pl.DataFrame, events: pl.DataFrame | None) -> pl.DataFrame:
    """Adds `first_seen`: listed_at, else the item's first event, else null."""
    if events is None:
        return items.with_columns(first_seen=pl.col("listed_at"))
    first = events.group_by("item_id").agg(_first=pl.col("at").min())
    joined = items.join(first, on="item_id", how="left", maintain_order="left")
    return joined.with_columns(first_seen=pl.coalesce("listed_at", "_first")).drop("_first")


def in_groups_of(mask: str) -> pl.Expr:
    """Whether an item's duplicate group holds an item for which the boolean column `mask` is true."""
    return pl.col(mask).any().over("group")


def _edges(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Joins each row to the first row with the same `_key`."""
    linked = frame.with_columns(_first=pl.col("_row").first().over("_key"))
    return linked.get_column("_row").to_numpy(), linked.get_column("_first").to_numpy()
