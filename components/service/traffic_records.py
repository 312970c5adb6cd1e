"""The two records of the traffic log, and their Parquet columns.

No record takes a user's id or a query's text: `user` is a pseudonym and `query_sealed` a sealed text
(privacy.py), and both refuse anything that does not look like one. A query vector is no such protection:
text can be recovered from embeddings (Morris et al., EMNLP 2023). Leave it out where query texts are dropped,
and keep the files as closely as what the secret protects.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Entrance = Literal["search", "recommendation", "similar"]
ActKind = Literal["search_click", "view", "cart", "purchase"]
_PSEUDONYM = re.compile(r"[0-9a-f]{32}")
_SEALED = re.compile(r"gAAAA[A-Za-z0-9_=-]+")  # a Fernet token: version 0x80, then a 64-bit time


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrafficRecord:
    """One answered request. Lists hold one entry per returned item, best first."""

    request_id: str
    at: datetime
    """With a time zone; written as UTC."""
    entrance: Entrance
    release: str
    """D of the release that answered."""
    query_sealed: str | None
    user: str | None
    """Pseudonym."""
    query_characters: int
    query_words: int
    language: str
    """A short code (ISO 639-1), or und."""
    unknown_word_rate: float
    query_vector: Sequence[float] | NDArray[np.floating[Any]] | None
    """Kept in half precision."""
    k: int
    filters: str
    """The request's filters as JSON."""
    item_ids: Sequence[str]
    scores: Sequence[float]
    exploration_positions: Sequence[int] = ()
    """1-based positions that hold a drawn item (exploration.py)."""
    exploration_propensities: Sequence[float] = ()
    """Per such position, the probability with which its item was put there."""
    ranked_item_ids: Sequence[str] = ()
    """Where a freshness bonus reordered the answer, what the release ranked first; else empty: as shown."""
    ranked_scores: Sequence[float] = ()
    zero_result: bool
    latency_ms: float

    def __post_init__(self) -> None:
        _check(self.at, self.user)
        if self.query_sealed is not None and not _SEALED.fullmatch(self.query_sealed):
            raise ValueError("query_sealed is no sealed text: only LogPrivacy.seal's result is logged")
        if len(self.item_ids) != len(self.scores):
            raise ValueError(f"{len(self.item_ids)} item_ids, but {len(self.scores)} scores")

    def row(self) -> dict[str, Any]:
        """Its own copy of everything, as the Parquet columns have it."""
        vector = None if self.query_vector is None else _half(self.query_vector)
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        return {**_values(self), **lists, "query_vector": vector}


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRecord:
    """What a customer did with an item that a request returned."""

    request_id: str
    """Of the request that showed the item."""
    at: datetime
    kind: ActKind
    item_id: str
    user: str | None
    """Pseudonym."""
    quantity: int | None = None

    def __post_init__(self) -> None:
        _check(self.at, self.user)

    def row(self) -> dict[str, Any]:
        return _values(self)


Kind = Literal["requests", "events"]
_LISTS = (
    "item_ids",
    "scores",
    "exploration_positions",
    "exploration_propensities",
    "ranked_item_ids",
    "ranked_scores",
)
_INSTANT = pa.timestamp("us", tz="UTC")
SCHEMAS: dict[Kind, Any] = {
    "requests": pa.schema(
        {
            "request_id": pa.string(),
            "at": _INSTANT,
            "entrance": pa.string(),
            "release": pa.string(),
            "query_sealed": pa.string(),
            "user": pa.string(),
            "query_characters": pa.int32(),
            "query_words": pa.int32(),
            "language": pa.string(),
            "unknown_word_rate": pa.float32(),
            "query_vector": pa.list_(pa.float16()),
            "k": pa.int32(),
            "filters": pa.string(),
            "item_ids": pa.list_(pa.string()),
            "scores": pa.list_(pa.float32()),
            "exploration_positions": pa.list_(pa.int32()),
            "exploration_propensities": pa.list_(pa.float64()),
            "ranked_item_ids": pa.list_(pa.string()),
            "ranked_scores": pa.list_(pa.float32()),
            "zero_result": pa.bool_(),
            "latency_ms": pa.float32(),
        }
    ),
    "events": pa.schema(
        {
            "request_id": pa.string(),
            "at": _INSTANT,
            "kind": pa.string(),
            "item_id": pa.string(),
            "user": pa.string(),
            "quantity": pa.int64(),
            "joined": pa.bool_(),
        }
    ),
}
"""The columns of requests/*.parquet and events/*.parquet. joined: the request is among the last that this
process answered; false may mean that another replica did, or that it was long ago."""


def _values(record: TrafficRecord | ActRecord) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _half(vector: Sequence[float] | NDArray[np.floating[Any]]) -> NDArray[np.float16]:
    return np.array(vector, dtype=np.float16)


def _check(at: datetime, user: str | None) -> None:
    if at.tzinfo is None:
        raise ValueError("a record's time needs a time zone")
    if user is not None and not _PSEUDONYM.fullmatch(user):
        raise ValueError("user is no pseudonym: only LogPrivacy.pseudonym's result is logged")
