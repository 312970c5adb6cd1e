"""The one thread that owns the index: searches and changes run there, one after the other.

Searches that wait together are answered together: while a batch is encoded and ranked the next one gathers,
so a single client never waits for company, and many share the encoder's cost.
"""

import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from components.contract.ports import Request
from components.index.columns import Filters
from components.index.live import LiveIndex

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Found:
    """One answered search: the index that answered, and its rows, best first."""

    index: LiveIndex
    rows: list[int]
    scores: list[float]
    vector: NDArray[np.float32] | None = None
    """Of the query, for the traffic log."""


@dataclass(frozen=True)
class _Search:
    request: Request
    k: int
    filters: Filters
    future: "Future[Found]" = field(default_factory=Future)


@dataclass(frozen=True)
class _Act:
    act: Callable[[], Any]
    future: "Future[Any]" = field(default_factory=Future)


class IndexThread:
    def __init__(
        self, index: Callable[[], LiveIndex], max_batch: int, on_batch: Callable[[int], None]
    ) -> None:
        """index: gives the index that serves now, or raises; it is asked in the thread. on_batch: told how
        many requests were answered together."""
        self._index = index
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._jobs: queue.SimpleQueue[_Search | _Act | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def search(self, request: Request, k: int, filters: Filters) -> "Future[Found]":
        job = _Search(request, k, filters)
        self._jobs.put(job)
        return job.future

    def run(self, act: Callable[[], T]) -> "Future[T]":
        """Runs `act` between two batches."""
        job = _Act(act)
        self._jobs.put(job)
        return job.future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        held: _Search | _Act | None = None
        ended = False
        while not ended and (job := held or self._jobs.get()) is not None:
            held, ended = self._do(job)

    def _do(self, job: _Search | _Act) -> tuple[_Act | None, bool]:
        """Does a job, and with a search all that wait; the next job, where it was taken out of the queue, and
        whether the end was reached."""
        if isinstance(job, _Act):
            _settle(job.future, job.act)
            return None, False
        batch, held, ended = self._gather(job)
        self._answer(batch)
        return held, ended

    def _gather(self, first: _Search) -> tuple[list[_Search], _Act | None, bool]:
        """The searches that wait, up to the first other job; that job; whether the end was reached."""
        batch = [first]
        while len(batch) < self._max_batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
            if not isinstance(job, _Search):
                return batch, job, job is None
            batch.append(job)
        return batch, None, False

    def _answer(self, waiting: list[_Search]) -> None:
        # A future whose request gave up would raise when it is set.
        batch = [job for job in waiting if job.future.set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            found = self._found(batch)
        except Exception as error:  # noqa: BLE001 – whatever it is, the requests get it and the thread lives on
            for job in batch:
                job.future.set_exception(error)
            return
        for job, one in zip(batch, found, strict=True):
            job.future.set_result(one)
        self._on_batch(len(batch))

    def _found(self, batch: list[_Search]) -> list[Found]:
        index = self._index()
        ranking = index.search_each(
            [job.request for job in batch],
            max(job.k for job in batch),
            [index.mask(job.filters) for job in batch],
        )
        counts = np.minimum((ranking.rows >= 0).sum(axis=1), [job.k for job in batch])
        return [
            Found(index, rows[:count].tolist(), scores[:count].tolist(), index.query_vector(job.request.text))
            for job, rows, scores, count in zip(batch, ranking.rows, ranking.scores, counts, strict=True)
        ]


def _settle(future: "Future[Any]", act: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(act())
    except Exception as error:  # noqa: BLE001 – the caller gets it; the thread lives on
        future.set_exception(error)
