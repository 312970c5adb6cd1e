"""The page `/undiscoverable`: new items that none of their likely queries finds."""

import asyncio
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from components.service import phrases
from components.service.page_frame import HEADERS, Frame
from components.service.problems import ProblemError
from components.service.serving import Serving
from components.service.undiscoverable_table import UndiscoverableItem, UndiscoverableTable

ROWS = 100
"""Of one page of the table."""


class UndiscoverablePages:
    def __init__(self, frame: Frame, serving: Serving) -> None:
        self._frame = frame
        self._serving = serving

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
        router.get("/undiscoverable")(self._frame.page(self._table))
        router.get("/undiscoverable.csv")(self._frame.page(self._file))
        return router

    async def _table(self, request: Request) -> Response:
        release = self._serving.release()
        table = await asyncio.to_thread(self._read, release.digest)
        reason = request.query_params.get("reason", "")
        if table is not None and reason and reason not in table.by_reason:
            raise ProblemError(
                404, f"No item has the reason {reason[:60]!r}: look at the list of all of them."
            )
        items = () if table is None else table.because(reason) if reason else table.items
        page, pages = _page(request.query_params.get("page", "1"), len(items))
        return self._frame.show(
            request,
            "undiscoverable.html.jinja",
            table=table,
            reason=reason,
            count=len(items),
            rows=[(item, _age(item)) for item in items[(page - 1) * ROWS : page * ROWS]],
            page=page,
            pages=pages,
            release=release,
        )

    async def _file(self, _: Request) -> Response:
        digest = self._serving.release().digest
        path = await asyncio.to_thread(self._serving.releases.undiscoverable, digest)
        if path is None:
            command = self._frame.command("undiscoverable")
            raise ProblemError(404, f"There is no list for the release that serves: run `{command}`.")
        name = f"undiscoverable-{phrases.short(digest)}.csv"
        return FileResponse(path, media_type="text/csv; charset=utf-8", filename=name, headers=HEADERS)

    def _read(self, digest: str) -> UndiscoverableTable | None:
        path = self._serving.releases.undiscoverable(digest)
        return UndiscoverableTable.read(path) if path is not None else None


def _page(text: str, count: int) -> tuple[int, int]:
    """The wanted page, as near as there is one, and how many there are; both from 1."""
    pages = max(1, -(-count // ROWS))
    wanted = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    return min(max(1, wanted), pages), pages


def _age(item: UndiscoverableItem) -> str:
    now = datetime.now(UTC).replace(tzinfo=None)
    return phrases.age(item.listed_at, item.first_seen, now)
