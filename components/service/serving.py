"""The release that serves, its live items, and the swap to another one.

Every answer comes from one `Release`, so D and its index belong together. Order of a PUT: first the durable
table, then the index of this process, then the answer. Order of a swap: load the release beside the old one,
bring in all changes of the table, and – in the index thread, where no PUT can come between – the changes
since, then switch. So an item that was PUT before a swap is found after it.

An index that many changes made large is replaced by a compacted one in the same way, in the index thread.

Two threads look around every `poll_seconds`: one for a new champion, one for other replicas' changes, which
so do not wait while a release is loaded.
"""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from components.contract.errors import DebutError
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.serving import ServingSettings
from components.index.columns import Filters
from components.index.items_table import ItemsTable
from components.index.live import LiveIndex
from components.index.live_rows import EncodedChange
from components.service.index_thread import Found, IndexThread
from components.service.metrics import Metrics
from components.service.releases import Releases
from components.service.served_release import Release as Release
from components.service.served_release import load_release

logger = logging.getLogger(__name__)
T = TypeVar("T")
Watched = Literal["champion", "changes"]

OVERLAP_NANOSECONDS = 10 * 10**9
"""Replicas' clocks may differ by so much: changes are asked for again that far back."""
ENCODED_TOGETHER = 1_000
"""Changes per step of a swap, so that its memory does not grow with the log."""
FEW_CHANGES, ROUNDS = 50, 5
"""A swap catches up with PUTs until few come meanwhile: the last ones are encoded while searches wait."""
KEPT_SECONDS = 10.0
"""A release is kept so long after a swap, and an index after it was compacted, for answers that were found
just before."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries to load a release that could not be loaded: each reads all its files."""


class NoReleaseError(DebutError):
    """There is no champion to answer with."""


@dataclass(frozen=True)
class _Refused:
    """A release that could not be loaded, and when (time.monotonic()) it is tried again."""

    digest: str
    error: Exception
    pause: float
    again: float


class Serving:
    def __init__(
        self, releases: Releases, table: ItemsTable, settings: ServingSettings, metrics: Metrics
    ) -> None:
        self.releases = releases
        self.table = table
        self._settings = settings
        self._metrics = metrics
        self._release: Release | None = None
        self._retired: list[tuple[float, Release]] = []
        """What answered before, and since when (time.monotonic()) not; changed in the index thread."""
        self._refused: _Refused | None = None
        self._seeded: str | None = None
        """D of the release whose snapshot the table holds."""
        self._seen = 0
        """Highest seq that was read from the table, from which on the next poll asks."""
        self._problems: dict[Watched, str | None] = {"champion": "No release is loaded yet.", "changes": None}
        self._writes = itertools.count(1)  # a thread per request takes from it
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self._thread = IndexThread(lambda: self.release().index, settings.max_batch, metrics.batch)
        self._watchers = [
            threading.Thread(target=self._watch, args=(self.refresh,), name="champion", daemon=True),
            threading.Thread(target=self._watch, args=(self._catch_up,), name="changes", daemon=True),
        ]

    @property
    def problem(self) -> str | None:
        """Why the champion does not serve, or the live items are not up to date; None where all is well."""
        return self._problems["champion"] or self._problems["changes"]

    def start(self) -> None:
        """Loads the champion, where there is one, and keeps looking for a new one and for changes."""
        self.refresh()
        for thread in self._watchers:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._watchers:
            if thread.is_alive():
                thread.join()
        self._thread.close()

    def release(self) -> Release:
        """What serves now; raises NoReleaseError where nothing does."""
        release = self._release  # read once: a swap may come between two reads
        if release is None:
            raise NoReleaseError(self.problem or "No release is loaded yet.")
        return release

    def serves(self) -> bool:
        return self._release is not None

    def release_of(self, index: LiveIndex) -> Release:
        """The release that an answer came from; it may have been replaced since."""
        for release in (self._release, *(retired for _, retired in self._retired)):
            if release is not None and release.index is index:
                return release
        raise NoReleaseError("The release that answered is gone; ask again.")

    def load(self, digest: str) -> Release:
        """A release beside the one that serves, its files verified, without the changes since."""
        return load_release(digest, self.releases.folder(digest), self._settings.query_cache)

    def run(self, act: Callable[[], T]) -> "Future[T]":
        """Runs `act` in the index thread."""
        return self._thread.run(act)

    def search(self, request: Request, k: int, filters: Filters) -> "Future[Found]":
        return self._thread.search(request, k, filters)

    def put(self, items: Sequence[LiveItem]) -> int:
        """Makes items durable and findable; returns their seq. They are in every later search here."""
        seq = self.table.upsert(items)
        newest = {item.item_id: item for item in items}
        self._bring_in([Change(item_id=i, seq=seq, item=item) for i, item in newest.items()])
        self._count_writes()
        return seq

    def delete(self, item_ids: Sequence[str]) -> int:
        """Takes items out of every later search here, durably; ids that nobody knows are no error."""
        seq = self.table.delete(item_ids)
        self._bring_in([Change(item_id=item_id, seq=seq, item=None) for item_id in dict.fromkeys(item_ids)])
        self._count_writes()
        return seq

    def refresh(self) -> None:
        """Loads the champion if another one serves. A champion that cannot be loaded leaves what serves in
        place, and `problem` says why; it is tried again after a pause that grows."""
        with self._loading:
            if self._retired:
                self._thread.run(self._forget_retired).result()
            self._guarded("champion", self._load_champion)

    def _load_champion(self) -> None:
        digest = self.releases.champion()
        if digest is None:
            raise NoReleaseError("There is no champion yet: run `debut retrain`, then it serves by itself.")
        if self._release is None or digest != self._release.digest:
            self._try(digest)
        self._refused = None
        release = self.release()
        if self._seeded != release.digest:
            self.table.seed(release.index.snapshot_items)
            self._seeded = release.digest
            self._maintain()

    def _try(self, digest: str) -> None:
        refused = self._refused if self._refused and self._refused.digest == digest else None
        if refused is not None and time.monotonic() < refused.again:
            raise refused.error
        try:
            self._swap_to(digest)
        except Exception as error:
            pause = min(LONGEST_PAUSE, 2 * refused.pause if refused else self._settings.poll_seconds)
            self._refused = _Refused(digest, error, pause, time.monotonic() + pause)
            raise

    def _swap_to(self, digest: str) -> None:
        loaded = self.load(digest)
        known = self._caught_up(loaded.index)
        self._thread.run(lambda: self._switch(loaded, known)).result()
        self._metrics.release(digest)
        self._metrics.swapped()
        self._metrics.index_items(len(loaded.index))
        logger.info("Release %s serves %d items", digest[:12], len(loaded.index))

    def _caught_up(self, index: LiveIndex) -> int:
        """Brings an index that does not serve yet up to the table; the highest seq that it then knows."""
        known = 0
        for _ in range(ROUNDS):
            changes = index.unknown(self._changes_since(known - OVERLAP_NANOSECONDS))
            for start in range(0, len(changes), ENCODED_TOGETHER):
                index.apply(index.encode(changes[start : start + ENCODED_TOGETHER]))
            known = max([known, *(change.seq for change in changes)])
            if len(changes) <= FEW_CHANGES:
                break
        return known

    def _switch(self, loaded: Release, known: int) -> None:
        """In the index thread: what was PUT since the index caught up, then the switch."""
        late = loaded.index.unknown(self._changes_since(known - OVERLAP_NANOSECONDS))
        loaded.index.apply(loaded.index.encode(late))
        self._seen = max([known, *(change.seq for change in late)])
        self._replace(loaded)

    def _replace(self, release: Release) -> None:
        """In the index thread: another release answers from now on, or the same with another index."""
        if self._release is not None:
            self._retired = [*self._retired, (time.monotonic(), self._release)]
        self._release = release

    def _forget_retired(self) -> None:
        """In the index thread, because that adds to them."""
        now = time.monotonic()
        self._retired = [one for one in self._retired if now - one[0] < KEPT_SECONDS]

    def _changes_since(self, seq: int) -> list[Change]:
        return self.table.changes_since(max(0, seq))

    def _catch_up(self) -> None:
        self._guarded("changes", self._bring_in_others)

    def _bring_in_others(self) -> None:
        """Only what was read moves the mark: a PUT of this replica may be later than another's unread one."""
        changes = self._changes_since(self._seen - OVERLAP_NANOSECONDS)
        self._bring_in(changes)
        self._seen = max([self._seen, *(change.seq for change in changes)])

    def _bring_in(self, changes: Sequence[Change]) -> None:
        """Encodes changes here and applies them in the index thread – also where no release serves: the first
        one may be about to switch there, and have read the table before these came into it."""
        release = self._release
        fresh = changes if release is None else release.index.unknown(changes)
        if not fresh:
            return
        encoded = [] if release is None else release.index.encode(fresh)
        applied = self._thread.run(lambda: self._apply(fresh, release, encoded)).result()
        self._metrics.changes_applied(applied)

    def _apply(
        self, changes: Sequence[Change], release: Release | None, encoded: Sequence[EncodedChange]
    ) -> int:
        """In the index thread. encoded: the changes by `release`, which may have been replaced since."""
        serving = self._release
        if serving is None:
            return 0
        if release is None or serving.digest != release.digest:
            encoded = serving.index.encode(serving.index.unknown(changes))
        applied = serving.index.apply(encoded)
        self._metrics.index_items(len(serving.index))
        if serving.index.wasteful:
            self._replace(replace(serving, index=serving.index.compacted()))
        return applied

    def _count_writes(self) -> None:
        """Compacts the table every so many writes, apart from the request."""
        if next(self._writes) % self._settings.maintain_every == 0:
            threading.Thread(target=self._maintain, name="compaction", daemon=True).start()

    def _maintain(self) -> None:
        try:
            self.table.maintain()
        except DebutError as error:
            logger.error("The live items were not compacted: %s", error)

    def _watch(self, act: Callable[[], None]) -> None:
        while not self._stop.wait(self._settings.poll_seconds):
            act()

    def _guarded(self, watched: Watched, act: Callable[[], None]) -> None:
        """An act that is tried again: until it succeeds its error is the `problem`, and is logged once."""
        problem = None
        try:
            act()
        except DebutError as error:
            problem = str(error)
        except Exception as error:
            problem = f"Looking for {watched} failed ({type(error).__name__}: {error}); it is tried again."
            if problem != self._problems[watched]:
                logger.error("Looking for %s failed", watched, exc_info=error)
        if problem is not None and problem != self._problems[watched]:
            logger.error("%s", problem)
        self._problems[watched] = problem
