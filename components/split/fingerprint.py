"""What a model was trained on, small enough to travel with it, and whether that meets a judged set.

Dated training is told by its last moment; undated training by its queries and items, hashed.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.digests import sha256_bytes
from components.split.catalogue import normalised


def training_fingerprint(split: Path) -> dict[str, Any]:
    """JSON-safe: `trained_until` (dated) or `queries` and `items`, the sorted first 16 hex digits of the
    SHA-256 of each normalised query and item id that a training row holds."""
    frames = [pl.read_parquet(path) for folder in ("train", "refit") for path in _rows(split / folder)]
    moments = [moment for frame in frames if (moment := frame.get_column("at").max()) is not None]
    latest = max((moment for moment in moments if isinstance(moment, datetime)), default=None)
    queries = [frame.select(query=normalised("query")) for frame in frames if "query" in frame.columns]
    return {
        "trained_until": latest.isoformat() if latest else None,
        "queries": _hashed(pl.concat(queries).get_column("query")) if queries and not latest else [],
        "items": _hashed(pl.concat([frame.select("item_id") for frame in frames]).get_column("item_id")),
    }


def overlap(fingerprint: dict[str, Any], split: Path) -> str | None:
    """A sentence where the trained rows reach into the test part of `split`, else None."""
    cutoff = _cutoff(split)
    trained_until = fingerprint["trained_until"]
    if cutoff is not None:
        if trained_until is not None and datetime.fromisoformat(trained_until) >= cutoff:
            return (
                f"The champion was trained on rows up to {trained_until}, the judged rows begin at {cutoff}."
            )
        return None
    items = pl.read_parquet(split / "items.parquet").filter("is_new").get_column("item_id")
    seen_items = len(set(_hashed(items)) & set(fingerprint["items"]))
    requests = pl.read_parquet(split / "test" / "requests.parquet").get_column("request_id")
    seen_queries = len(set(_hashed(requests)) & set(fingerprint["queries"]))
    if seen_items or seen_queries:
        return (
            f"The champion was trained on {seen_queries} of the judged queries and on {seen_items} of the "
            f"new items."
        )
    return None


def _rows(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet")) if folder.is_dir() else []


def _hashed(values: pl.Series) -> list[str]:
    return sorted(sha256_bytes(value.encode())[:16] for value in values.unique().to_list())


def _cutoff(split: Path) -> datetime | None:
    text = json.loads((split / "split.json").read_text())["cutoff"]
    return datetime.fromisoformat(text) if text else None
