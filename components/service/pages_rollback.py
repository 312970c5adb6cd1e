"""The page `/releases/rollback`: an earlier champion becomes the champion again, with a reason on record."""

import asyncio
from collections.abc import Sequence

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from components.contract.records import Decision
from components.release.decision_log import CHAMPION_KINDS, champion_of, last_change
from components.service.decision_rows import earlier_champions
from components.service.page_forms import check_token, read_form
from components.service.page_frame import HEADERS, Frame
from components.service.problems import ProblemError
from components.service.serving import Serving

MOST_CHARACTERS = 500
"""Of a reason."""


class RollbackPages:
    """Only for keys of role operate; before the routes of `/releases/{digest}`."""

    def __init__(self, frame: Frame, serving: Serving) -> None:
        self._frame = frame
        self._serving = serving
        self._releases = serving.releases

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
        router.get("/releases/rollback")(self._frame.page(self._form, "operate"))
        router.post("/releases/rollback")(self._frame.page(self._roll_back, "operate"))
        return router

    async def _form(self, request: Request) -> Response:
        return await self._ask(request, request.query_params.get("to", ""))

    async def _roll_back(self, request: Request) -> Response:
        form = await read_form(request)
        check_token(request, form)
        to, reason = form.get("to", ""), " ".join(form.get("reason", "").split())
        if not reason or len(reason) > MOST_CHARACTERS:
            sentence = f"Give a reason of 1 to {MOST_CHARACTERS} characters: it is recorded."
            return await self._ask(request, to, error=sentence, reason=reason)
        records = await self._records()
        champion = form.get("champion", "")
        _check_unchanged(records, champion)
        _check_target(records, to)
        record = await asyncio.to_thread(
            self._releases.roll_back,
            to=to,
            reason=reason,
            actor=self._actor(request),
            expected_champion=champion,
        )
        # The poller would do it too, within its second: the page that follows is to show what serves.
        await asyncio.to_thread(self._serving.refresh)
        return RedirectResponse(f"/releases?done={record.number}", 303, headers=HEADERS)

    async def _ask(self, request: Request, to: str, error: str | None = None, reason: str = "") -> Response:
        """The confirmation: what would change, and the form."""
        records = await self._records()
        _check_target(records, to)
        return self._frame.show(
            request,
            "rollback.html.jinja",
            422 if error else 200,
            to=to,
            champion=champion_of(records),
            change=last_change(records),
            was=_last_served(records, to),
            error=error,
            reason=reason,
            most_characters=MOST_CHARACTERS,
        )

    async def _records(self) -> Sequence[Decision]:
        return await asyncio.to_thread(self._releases.history)

    def _actor(self, request: Request) -> str:
        key = self._frame.viewer(request).key
        assert key is not None
        return f"{key.name} (key {key.id})"


def _check_target(records: Sequence[Decision], to: str) -> None:
    if to not in earlier_champions(records):
        raise ProblemError(
            404, "That release is no earlier champion: choose one of those that the history offers."
        )


def _check_unchanged(records: Sequence[Decision], champion: str) -> None:
    """The person decided against what the form showed."""
    if champion != champion_of(records):
        raise ProblemError(
            409, "Another release was made champion since this form was opened: look at the history again."
        )


def _last_served(records: Sequence[Decision], digest: str) -> Decision:
    """The decision that ended the release's last time as champion."""
    changes = (record for record in reversed(records) if record.kind in CHAMPION_KINDS)
    return next(record for record in changes if record.predecessor == digest)
