"""GET /opinions/{item_id}: what reviewers think of an item, as the monitor read it last."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import polars as pl
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from components.monitoring.opinions import ITEMS
from components.service.auth import Gatekeeper
from components.service.explaining import known_row
from components.service.predictions import ItemIdPath
from components.service.problems import ProblemError, responses
from components.service.request_checks import known_parameters
from components.service.serving import Serving


class ItemOpinions(BaseModel):
    release: str
    item_id: str
    sentiment: float | None
    """From -1, all reviews are negative, to 1; shrunk towards the shop's mean the fewer reviews there are.
    None: no review was read."""
    reviews: int


class OpinionRoutes:
    def __init__(self, serving: Serving, folder: Callable[[str], Path]) -> None:
        """folder: of a release's opinions (monitoring.opinions)."""
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
        """What reviewers think of an item."""
        release = self._serving.release()
        known = release.index.item(known_row(release, item_id))["item_id"]
        found = self._items(self._folder(release.digest) / ITEMS).get(known)
        sentiment, reviews = found or (None, 0)
        return ItemOpinions(release=release.digest, item_id=known, sentiment=sentiment, reviews=reviews)

    def _items(self, file: Path) -> dict[str, tuple[float, int]]:
        """Read again when the monitor has written it anew."""
        if not file.is_file():
            raise ProblemError(404, "No reviews were read for this release yet: `debut monitor` reads them.")
        with self._reading:
            changed = file.stat().st_mtime_ns
            if self._read is None or self._read[:2] != (file, changed):
                rows = pl.read_parquet(file, columns=["item_id", "sentiment", "reviews"]).iter_rows()
                self._read = file, changed, {item: (mean, count) for item, mean, count in rows}
            return self._read[2]
