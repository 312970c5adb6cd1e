"""The release that serves, its live items, and the swap to another one.

Every answer comes from one `Serving.Release`, so D and its index belong together. Order of a PUT: first the
durable table, then the index of this process, then the answer. Order of a swap: load the release beside the
old one, bring in all changes of the table, and – in the index thread, where no PUT can come between – the
changes since, then switch. So an item that was PUT before a swap is found after it.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from components.contract.errors import DebutError
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.settings import ServingSettings
from components.encoder.word_pieces import Pieces, word_pieces
from components.index.columns import Filters
from components.index.items_table import ItemsTable
from components.index.live import LiveIndex
from components.index.retrieval import open_candidate
from components.release.candidate import load_fingerprint
from components.service.index_thread import Found, IndexThread
from components.service.metrics import Metrics
from components.service.query_cache import QueryCache
from components.service.releases import Releases

if TYPE_CHECKING:
    from components.encoder.transformer import TransformerEncoder

logger = logging.getLogger(__name__)
T = TypeVar("T")

OVERLAP_NANOSECONDS = 10 * 10**9
"""Replicas' clocks may differ by so much: changes are asked for again that far back."""
ENCODED_TOGETHER = 1_000
"""Changes per step of a swap, so that its memory does not grow with the log."""


class NoReleaseError(DebutError):
    """There is no champion to answer with."""


@dataclass(frozen=True, eq=False)
class Release:
    digest: str
    folder: Path
    index: LiveIndex
    cache: QueryCache
    pieces: Pieces
    cutoff: datetime | None
    """T: items listed at or after it are new to this release."""
    fp32_encoder: Callable[[], "TransformerEncoder"]
    """Loads the encoder in torch, once; explanations need its gradients."""


class Serving:
    def __init__(
        self, releases: Releases, table: ItemsTable, settings: ServingSettings, metrics: Metrics
    ) -> None:
        self.releases = releases
        self.table = table
        self.problem: str | None = "No release is loaded yet."
        """Why the champion does not serve; None while it does."""
        self._settings = settings
        self._metrics = metrics
        self._release: Release | None = None
        self._previous: Release | None = None
        """Kept for answers that were found just before a swap."""
        self._seen = 0
        """Highest seq that the index knows."""
        self._writes = 0
        self._loading = threading.Lock()
        self._stop = threading.Event()
        self._thread = IndexThread(self._index, settings.max_batch, metrics.batch)
        self._poller = threading.Thread(target=self._poll, name="releases", daemon=True)

    def start(self) -> None:
        """Loads the champion, where there is one, and keeps looking for a new one and for changes."""
        self.refresh()
        self._poller.start()

    def close(self) -> None:
        self._stop.set()
        if self._poller.is_alive():
            self._poller.join()
        self._thread.close()

    def release(self) -> Release:
        """What serves now; raises NoReleaseError where nothing does."""
        if self._release is None:
            raise NoReleaseError(self.problem or "No release is loaded yet.")
        return self._release

    def serves(self) -> bool:
        return self._release is not None

    def release_of(self, index: LiveIndex) -> Release:
        """The release that an answer came from; it may have been replaced since."""
        for release in (self._release, self._previous):
            if release is not None and release.index is index:
                return release
        raise NoReleaseError("The release that answered is gone; ask again.")

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
        """Loads the champion if another one serves, and brings in other replicas' changes. A champion that
        cannot be loaded leaves what serves in place, and `problem` says why."""
        with self._loading:
            try:
                digest = self.releases.champion()
                if digest is None:
                    self.problem = "There is no champion yet: run `debut retrain`, then it serves by itself."
                elif self._release is None or digest != self._release.digest:
                    self._swap_to(digest)
                    self.problem = None
                else:
                    self._bring_in(self._changes_since(self._seen - OVERLAP_NANOSECONDS))
                    self.problem = None
            except DebutError as error:
                if str(error) != self.problem:
                    logger.error("The champion is not served: %s", error)
                self.problem = str(error)

    def _index(self) -> LiveIndex:
        return self.release().index

    def _swap_to(self, digest: str) -> None:
        loaded = self._load(digest)
        changes = self._changes_since(0)
        for start in range(0, len(changes), ENCODED_TOGETHER):
            loaded.index.apply(loaded.index.encode(changes[start : start + ENCODED_TOGETHER]))
        known = max((change.seq for change in changes), default=0)
        self._thread.run(lambda: self._switch(loaded, known)).result()
        self._metrics.release(digest)
        self._metrics.swapped()
        self._metrics.index_items(len(loaded.index))
        self.table.seed(loaded.index.snapshot_items)
        self._maintain()
        logger.info("Release %s serves %d items", digest[:12], len(loaded.index))

    def _switch(self, loaded: Release, known: int) -> None:
        """In the index thread: what was PUT while the release was loaded, then the switch."""
        late = self._changes_since(known - OVERLAP_NANOSECONDS)
        loaded.index.apply(loaded.index.encode(loaded.index.unknown(late)))
        self._seen = max((change.seq for change in late), default=known)
        self._previous, self._release = self._release, loaded

    def _load(self, digest: str) -> Release:
        folder = self.releases.folder(digest)
        index = open_candidate(folder, digest[:12])
        cache = QueryCache(index.encoder, self._settings.query_cache)
        index.encoder = cache
        pieces = word_pieces(folder / "encoder")
        return Release(
            digest=digest,
            folder=folder,
            index=index,
            cache=cache,
            pieces=pieces,
            cutoff=load_fingerprint(folder).cutoff,
            fp32_encoder=lru_cache(maxsize=1)(partial(_fp32_encoder, folder / "encoder")),
        )

    def _changes_since(self, seq: int) -> list[Change]:
        return self.table.changes_since(max(0, seq))

    def _bring_in(self, changes: Sequence[Change]) -> None:
        """Encodes changes here and applies them in the index thread; without a release the next one will."""
        release = self._release
        fresh = [] if release is None else release.index.unknown(changes)
        if release is None or not fresh:
            return
        encoded = release.index.encode(fresh)

        def apply() -> int:
            serving = self.release()
            ready = encoded if serving is release else serving.index.encode(fresh)
            self._seen = max(self._seen, *(change.seq for change in fresh))
            return serving.index.apply(ready)

        self._metrics.changes_applied(self._thread.run(apply).result())
        self._metrics.index_items(len(self.release().index))

    def _count_writes(self) -> None:
        """Compacts the table every so many writes, apart from the request."""
        self._writes += 1
        if self._writes % self._settings.maintain_every == 0:
            threading.Thread(target=self._maintain, name="compaction", daemon=True).start()

    def _maintain(self) -> None:
        try:
            self.table.maintain()
        except DebutError as error:
            logger.error("The live items were not compacted: %s", error)

    def _poll(self) -> None:
        while not self._stop.wait(self._settings.poll_seconds):
            self._guarded(self.refresh)

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception:
            logger.exception("Looking for a new champion failed; it is tried again")


def _fp32_encoder(folder: Path) -> "TransformerEncoder":
    from components.encoder.transformer import TransformerEncoder  # torch takes seconds and 300 MB

    return TransformerEncoder.load_saved(folder)
