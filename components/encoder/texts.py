"""Which words of an item the encoder and BM25 read."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from components.contract.errors import ConfigError


def item_texts(items: pl.DataFrame, fields: Sequence[str]) -> list[str]:
    """One text per item row: the non-empty `fields` joined by a space; "" where all are empty.

    Raises ConfigError for a field that is no column of items.
    """
    unknown = [field for field in fields if field not in items.columns]
    if unknown or not fields:
        raise ConfigError(
            f"encoder.item_fields: {', '.join(unknown) or 'nothing'} – name at least one of the items' "
            f"columns: {', '.join(items.columns)}."
        )
    cleaned = [pl.col(field).cast(pl.String).str.strip_chars().replace("", None) for field in fields]
    joined = pl.concat_str(cleaned, separator=" ", ignore_nulls=True)
    return items.select(text=joined).get_column("text").fill_null("").to_list()


def item_text(item: Mapping[str, Any], fields: Sequence[str]) -> str:
    """The text of one item, as `item_texts` makes it."""
    parts = (_plain(item.get(field)) for field in fields)
    return " ".join(part for part in parts if part)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):  # as Polars writes it
        return value.isoformat(" ", "microseconds")
    return "" if value is None else str(value).strip()
