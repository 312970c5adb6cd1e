"""A second release, to look at beside the one that serves."""

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace

from components.contract.errors import DebutError
from components.contract.ports import Request
from components.index.columns import Filters
from components.index.items_table import ItemsTable
from components.service.explaining import EXPLAINED_DEPTH, explanation, known_row
from components.service.index_thread import Found
from components.service.releases import Challenger
from components.service.schemas import Explanation
from components.service.serving import ENCODED_TOGETHER, OVERLAP_NANOSECONDS, Release, Serving

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""After so long a release that could not be loaded is tried again."""


class Second:
    """A loaded release with an index of its own, which brings in the live items' changes before each search.
    Calls from several threads are answered one after the other."""

    def __init__(self, release: Release, table: ItemsTable) -> None:
        self.release = release
        self._table = table
        self._seen = 0
        self._lock = threading.Lock()

    def search(self, request: Request, k: int, filters: Filters) -> Found:
        with self._lock:
            self._bring_in()
            return self._found(request, k, filters)

    def explain(self, query: str, item_id: str, filters: Filters) -> Explanation:
        """See explaining.explain."""
        with self._lock:
            self._bring_in()
            release = self.release
            row = known_row(release, item_id)
            found = self._found(Request("explain", text=query), EXPLAINED_DEPTH, filters)
            parts = release.index.parts(query, row)
        return explanation(release, query, row, filters, found, parts)

    def _bring_in(self) -> None:
        index = self.release.index
        changes = self._table.changes_since(max(0, self._seen - OVERLAP_NANOSECONDS))
        fresh = index.unknown(changes)
        for start in range(0, len(fresh), ENCODED_TOGETHER):
            index.apply(index.encode(fresh[start : start + ENCODED_TOGETHER]))
        self._seen = max((change.seq for change in changes), default=self._seen)
        if index.wasteful:
            self.release = replace(self.release, index=index.compacted())

    def _found(self, request: Request, k: int, filters: Filters) -> Found:
        index = self.release.index
        ranking = index.search_each([request], k, [index.mask(filters)])
        count = int((ranking.rows[0] >= 0).sum())
        return Found(index, ranking.rows[0, :count].tolist(), ranking.scores[0, :count].tolist())


@dataclass(frozen=True)
class Absent:
    """The second release is not there: `problem` says why; None while it is being loaded."""

    problem: str | None = None


class Comparison:
    """Loads the challenger when it is asked for first, and keeps it: about the champion's memory again. The
    index that serves never waits for it."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._lock = threading.Lock()
        self._digest: str | None = None
        self._loading: Future[Second] = Future()
        self._failed_at: float | None = None

    def challenger(self) -> Challenger | None:
        """What there is to compare with; None too while it is what serves."""
        challenger = self._serving.releases.challenger()
        if challenger is None or challenger.digest == self._serving.release().digest:
            return None
        return challenger

    def second(self, digest: str, wait_seconds: float) -> Second | Absent:
        """The release, waited for so long. A failure is remembered for RETRY_SECONDS."""
        try:
            return self._start(digest).result(wait_seconds)
        except TimeoutError:
            return Absent()
        except DebutError as error:
            return Absent(str(error))

    def _start(self, digest: str) -> "Future[Second]":
        with self._lock:
            retry = self._failed_at is not None and time.monotonic() - self._failed_at > RETRY_SECONDS
            if digest != self._digest or retry:
                self._digest, self._loading, self._failed_at = digest, Future(), None
                work = threading.Thread(target=self._load, args=(digest, self._loading), daemon=True)
                work.start()
            return self._loading

    def _load(self, digest: str, loading: "Future[Second]") -> None:
        try:
            loading.set_result(Second(self._serving.load(digest), self._serving.table))
        except Exception as error:  # noqa: BLE001 – whatever it is, who waits for it gets it
            logger.error("Release %s cannot be shown beside the champion: %s", digest[:12], error)
            with self._lock:
                if loading is self._loading:  # not an earlier challenger's
                    self._failed_at = time.monotonic()
            loading.set_exception(error)
