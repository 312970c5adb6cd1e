"""Ports: what a package needs from another, so that tests can hand it a fake or a peer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""(n, dimensions), unit length."""
Rows = NDArray[np.int64]
"""Row numbers in the catalogue."""


@dataclass(frozen=True)
class Request:
    """One judged request: a query's words, or a user's history; ids are catalogue item_ids."""

    request_id: str
    """Normalised query, or user id: the resampling unit."""
    text: str | None = None
    history: tuple[str, ...] = ()
    """Past items, oldest first."""
    exclude: frozenset[str] = field(default_factory=frozenset)
    """Items taken out of this request's ranking (already bought)."""
    by_text: bool = False
    """Rank by the texts alone, where the retriever knows more of the past items than those."""


@dataclass(frozen=True)
class Ranking:
    """Top k of each request. rows: (requests, k) catalogue row numbers, -1 where there are fewer than k
    candidates; scores: the same shape, descending, ties by item_id ascending."""

    rows: Rows
    scores: NDArray[np.float32]


class Retriever(Protocol):
    """Anything that ranks a catalogue: a candidate's own path, an exact scan, BM25, a peer."""

    name: str

    @property
    def item_ids(self) -> Sequence[str]:
        """The catalogue, in row order (ascending item_id)."""
        ...

    def search(self, requests: Sequence[Request], k: int, among: NDArray[np.bool_] | None = None) -> Ranking:
        """Ranks all items, or only those where `among` (catalogue length) is true."""
        ...


class Encoder(Protocol):
    """Text → unit vectors."""

    @property
    def digest(self) -> str:
        """SHA-256 over weights, tokenizer and settings."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> Vectors: ...

    def encode_items(self, texts: Sequence[str]) -> Vectors: ...


class ObjectStore(Protocol):
    """A folder or an S3 prefix; keys use '/'."""

    def create(self, key: str, data: bytes) -> bool:
        """Writes `data` only if `key` is absent, durably; False if it was there."""
        ...

    def read(self, key: str) -> bytes:
        """Raises StorageError where the key is absent."""
        ...

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with `prefix`, sorted."""
        ...


@dataclass(frozen=True)
class JobRun:
    """One run of a scheduled or requested job, as the orchestrator tells of it."""

    run_id: str
    """The orchestrator's own; not the run_id of a retrain."""
    name: str
    job: str
    """retrain, monitor, review, …"""
    state: str
    """Scheduled, Pending, Running, Suspended, Completed, Failed, Crashed or Cancelled."""
    url: str | None = None
    """Its page."""


class Orchestrator(Protocol):
    """What runs jobs; the service and chat are handed one (flows/orchestrator.py). Every method raises
    OrchestrationError where it cannot be reached or refuses."""

    def start(self, job: str, parameters: Mapping[str, Any], name: str | None = None) -> JobRun:
        """Asks for a run of a deployed job and returns at once. name: of the run; an open one of that name is
        returned instead of starting a second."""
        ...

    def resume(self, name: str, answer: Mapping[str, Any]) -> bool:
        """Answers the form of the suspended run of that name, which then goes on; False where none is."""
        ...

    def recent(self, limit: int = 10) -> Sequence[JobRun]:
        """The newest runs, newest first."""
        ...

    def emit(self, event: str, subject: str, payload: Mapping[str, Any]) -> None:
        """Tells of an event, e.g. "debut.drift" of subject "debut.shop.<shop>"; automations act on it."""
        ...
