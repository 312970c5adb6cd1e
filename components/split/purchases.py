"""Who bought what before a moment, as a split folder holds it."""

from pathlib import Path
from typing import Literal

import polars as pl


def read_purchases(split: Path, part: Literal["train", "statistics"]) -> pl.DataFrame | None:
    """user_id, item_id, at: users' first acts on items, before the validation window (train) or before the
    cut-off (statistics); None where no user is known."""
    path = split / part / "purchases.parquet"
    return pl.read_parquet(path) if path.is_file() else None
