"""GET /opinions/{item_id}: what reviewers think of an item, as the monitor read it last."""

from pathlib import Path
from threading import Lock

import polars as pl
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from components.monitoring.opinions import ITEMS, opinion_head
from components.service.auth import Gatekeeper
from components.service.explaining import known_row
from components.service.predictions import ItemIdPath
from components.service.problems import ProblemError, responses
from components.service.request_checks import known_parameters
from components.service.serving import Serving

NO_TASK = (
    "This release has no task of opinions: add `sentiment` to `tasks` in debut.yaml, or a task of your own "
    "with `opinions: true` whose labels are negative and positive, and retrain."
)


class ItemOpinions(BaseModel):
    release: str
    """Whose head read the reviews: the one that serves, or an earlier one until the monitor has run."""
    item_id: str
    sentiment: float | None
    """From -1, all reviews are negative, to 1; shrunk towards the shop's mean the fewer reviews there are.
    None: no review was read."""
    reviews: int


class OpinionRoutes:
    def __init__(self, serving: Serving, folder: Path) -> None:
        """folder: holds each release's opinions (monitoring.opinions)."""
        self._serving = serving
        self._folder = folder
        self._read: tuple[Path, int, dict[str, tuple[float, int]]] | None = None
        self._reading = Lock()

    def router(self, gatekeeper: Gatekeeper) -> APIRouter:
        router = APIRouter(
            tags=["opinions"],
            responses=responses,
            dependencies=[Depends(gatekeeper.needs("read")), Depends(known_parameters)],
        )
        router.get("/opinions/{item_id:path}", response_model=ItemOpinions)(self.of_item)
        return router

    def of_item(self, item_id: ItemIdPath) -> ItemOpinions:
        """What reviewers think of an item; 404 where the release that serves has no task of opinions."""
        release = self._serving.release()
        if opinion_head(release.heads) is None:
            # An earlier release's figures would never be renewed: the monitor reads by this one.
            raise ProblemError(404, NO_TASK)
        known = release.index.item(known_row(release, item_id))["item_id"]
        file = self._file(release.digest)
        sentiment, reviews = self._items(file).get(known) or (None, 0)
        return ItemOpinions(release=file.parent.name, item_id=known, sentiment=sentiment, reviews=reviews)

    def _file(self, release: str) -> Path:
        """The release's own; where the monitor has not read by it yet, the newest that there is."""
        own = self._folder / release / ITEMS
        if own.is_file():
            return own
        others = list(self._folder.glob(f"*/{ITEMS}"))
        if not others:
            raise ProblemError(404, "No reviews were read yet: `debut monitor` reads them.")
        return max(others, key=lambda file: file.stat().st_mtime_ns)

    def _items(self, file: Path) -> dict[str, tuple[float, int]]:
        """Read again when the monitor has written it anew."""
        with self._reading:
            changed = file.stat().st_mtime_ns
            if self._read is None or self._read[:2] != (file, changed):
                rows = pl.read_parquet(file, columns=["item_id", "sentiment", "reviews"]).iter_rows()
                self._read = file, changed, {item: (mean, count) for item, mean, count in rows}
            return self._read[2]
