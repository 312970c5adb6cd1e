"""The pages under `/releases`: what was decided, what was measured, and the way back."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from components.contract.files import disk_errors
from components.contract.records import Decision
from components.release.decision_log import champion_of, last_change
from components.service.age_chart import age_chart
from components.service.decision_rows import decision_rows, earlier_champions
from components.service.page_frame import HEADERS, Frame
from components.service.problems import ProblemError
from components.service.releases import AgePlot
from components.service.serving import Serving

SHOWN = 30
"""Decisions of one page of the history."""
# Our own report: styles in the page, no script, nothing loaded. `sandbox` holds that even for a file that
# somebody put in its place; with allow-same-origin the browser sends the key's cookie where its link leads.
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox allow-same-origin"
)
# For narrow windows; the sentences hold the figures of the columns that go.
_REPORT_STYLE = """<style>
@media (max-width: 50rem) {
  table { min-width: 0; } thead, td.number { display: none; }
  tr, td { display: block; } tr { border-bottom: 1px solid #8888; padding: .5rem 0; }
  td { border: 0; padding: .1rem 0; }
}
</style>
"""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ReleasePages:
    def __init__(self, frame: Frame, serving: Serving) -> None:
        self._frame = frame
        self._serving = serving
        self._releases = serving.releases

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
        router.get("/releases")(self._frame.page(self._history))
        router.get("/releases/{digest}")(self._frame.page(self._release))
        router.get("/releases/{digest}/report")(self._frame.page(self._report))
        router.get("/releases/{digest}/age.png")(self._frame.page(self._picture))
        return router

    async def _history(self, request: Request) -> Response:
        records = await self._records()
        rows = await asyncio.to_thread(decision_rows, self._releases, records)
        before = request.query_params.get("before", "")
        last = int(before) - 1 if before.isascii() and before.isdigit() and len(before) < 10 else len(rows)
        shown = rows[: max(0, last)][: -SHOWN - 1 : -1]
        champion = champion_of(records)
        plot = await self._plot(champion)
        done = request.query_params.get("done", "")
        return self._frame.show(
            request,
            "releases.html.jinja",
            rows=shown,
            older=shown[-1].record.number if shown and shown[-1].record.number > 1 else None,
            newer=bool(shown) and shown[0].record.number < len(rows),
            champion=champion,
            change=last_change(records),
            plot=plot,
            chart=age_chart(plot) if plot else None,
            done=_rollback(records, done),
            earlier=earlier_champions(records),
        )

    async def _release(self, request: Request) -> Response:
        digest, records = _digest(request), await self._records()
        rows = await asyncio.to_thread(decision_rows, self._releases, records)
        about = [row for row in reversed(rows) if row.record.release == digest]
        if not about:
            raise ProblemError(404, "No decision names this release; the history lists all that there are.")
        plot = await self._plot(digest)
        return self._frame.show(
            request,
            "release.html.jinja",
            digest=digest,
            rows=about,
            champion=champion_of(records),
            can_return=digest in earlier_champions(records),
            plot=plot,
            chart=age_chart(plot) if plot else None,
        )

    async def _report(self, request: Request) -> Response:
        digest = _digest(request)
        path = await asyncio.to_thread(self._releases.report, digest)
        if path is None:
            raise ProblemError(404, "No gate report about this release is here.")
        headers = HEADERS | {"Content-Security-Policy": REPORT_POLICY}
        return HTMLResponse(await asyncio.to_thread(_report_page, path, digest), headers=headers)

    async def _picture(self, request: Request) -> Response:
        plot = await self._plot(_digest(request))
        picture: Path | None = plot.picture if plot else None
        if picture is None:
            raise ProblemError(404, "No run measured this release against item age.")
        return FileResponse(picture, media_type="image/png", headers=HEADERS)

    async def _records(self) -> Sequence[Decision]:
        return await asyncio.to_thread(self._releases.history)

    async def _plot(self, digest: str | None) -> AgePlot | None:
        return await asyncio.to_thread(self._releases.recall_by_age, digest) if digest else None


def _report_page(path: Path, digest: str) -> str:
    """The report with a way back to the release's page."""
    with disk_errors(path):
        report = path.read_text(encoding="utf-8", errors="replace")
    back = f'<main>\n<p><a href="/releases/{digest}">Back to the release</a></p>'
    return report.replace("</head>", f"{_REPORT_STYLE}</head>", 1).replace("<main>", back, 1)


def _digest(request: Request) -> str:
    digest: str = request.path_params["digest"]
    if not _DIGEST.fullmatch(digest):
        raise ProblemError(404, "A release is named by 64 hexadecimal digits; the history links to each.")
    return digest


def _rollback(records: Sequence[Decision], number: str) -> Decision | None:
    """The rollback that the address speaks of, if it is the last one."""
    last = last_change(records)
    done = last is not None and last.kind == "rollback" and str(last.number) == number
    return last if done else None
