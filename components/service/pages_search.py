"""The pages `/` – search, champion and challenger side by side – and `/why`."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from components.contract import ports
from components.contract.records import Decision
from components.release.decision_log import last_change
from components.service.comparison import Absent, Comparison
from components.service.explaining import EXPLAINED_DEPTH, explain
from components.service.overview import Overview, choices, overview
from components.service.page_frame import Frame
from components.service.page_query import PLACES, PageQuery, page_query
from components.service.problems import ProblemError
from components.service.releases import Challenger
from components.service.schemas import Explanation
from components.service.serving import Release, Serving
from components.service.side_by_side import COMPARED_DEPTH, Column, column, shown
from components.service.undiscoverable_table import UndiscoverableTable

WAIT_SECONDS = 4.0
"""A search waits so long for the challenger to be loaded; then it shows the champion alone, and says so."""
NAMES = {
    **dict.fromkeys(("waiting", "rejection", "inconclusive"), "challenger"),
    "previous": "previous champion",
}
"""What the page calls the second release."""
STANDINGS = {
    "waiting": "waits for review",
    "rejection": "rejected",
    "inconclusive": "judged, not promoted",
    "previous": "served before",
}
BY_CHALLENGER = "challenger"


@dataclass(frozen=True)
class Answered:
    """Both columns of a search."""

    champion: Column
    challenger: Column | None
    absent: Absent | None
    """Why the second column is missing although there is a challenger."""


class SearchPages:
    """Searches here are not customers' traffic: nothing is logged and no place is explored."""

    def __init__(
        self, frame: Frame, serving: Serving, comparison: Comparison, max_query_characters: int
    ) -> None:
        self._frame = frame
        self._serving = serving
        self._comparison = comparison
        self._max_characters = max_query_characters
        self._choices: tuple[str, dict[str, list[str]]] = ("", {})

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
        router.get("/")(self._frame.page(self._search))
        router.get("/why")(self._frame.page(self._why))
        return router

    async def _search(self, request: Request) -> Response:
        query = page_query(request.query_params, self._max_characters)
        release = self._serving.release()
        challenger = await asyncio.to_thread(self._comparison.challenger)
        answered = summary = None
        if query.q and not query.errors:
            answered = await self._answered(query, challenger)
        elif not query.errors:
            summary = await asyncio.to_thread(self._overview, release)
        return self._frame.show(
            request,
            "search.html.jinja",
            422 if query.errors else 200,
            query=query,
            places=PLACES,
            choices=await asyncio.to_thread(self._choices_of, release),
            challenger=challenger,
            name=NAMES[challenger.standing] if challenger else "",
            standing=STANDINGS[challenger.standing] if challenger else "",
            answered=answered,
            overview=summary,
            depth=COMPARED_DEPTH,
            max_characters=self._max_characters,
        )

    async def _answered(self, query: PageQuery, challenger: Challenger | None) -> Answered:
        wanted = ports.Request("page", text=query.q)
        depth = COMPARED_DEPTH if challenger else query.k
        found = await asyncio.wrap_future(self._serving.search(wanted, depth, query.filters))
        release, now = self._serving.release_of(found.index), _now()
        if challenger is None:
            return Answered(column(release, found, query.k, now), None, None)
        second = await asyncio.to_thread(self._comparison.second, challenger.digest, WAIT_SECONDS)
        if isinstance(second, Absent):
            return Answered(column(release, found, query.k, now), None, second)
        other = await asyncio.to_thread(second.search, wanted, depth, query.filters)
        return Answered(
            column(release, found, query.k, now, other, NAMES[challenger.standing]),
            column(second.release, other, query.k, now, found, "champion"),
            None,
        )

    def _overview(self, release: Release) -> tuple[Overview, UndiscoverableTable | None, Decision | None]:
        path = self._serving.releases.undiscoverable(release.digest)
        table = UndiscoverableTable.read(path) if path is not None else None
        change = last_change(self._serving.releases.history())
        serves = change if change is not None and change.release == release.digest else None
        return overview(release, _now()), table, serves

    def _choices_of(self, release: Release) -> dict[str, list[str]]:
        if self._choices[0] != release.digest:
            self._choices = release.digest, choices(release)
        return self._choices[1]

    async def _why(self, request: Request) -> Response:
        query = page_query(request.query_params, self._max_characters)
        item_id = request.query_params.get("item_id", "")
        if not query.q or query.errors or not item_id:
            raise ProblemError(422, "An explanation needs a query and an item: search first, then ask why.")
        challenger = await asyncio.to_thread(self._comparison.challenger)
        by_challenger = request.query_params.get("by") == BY_CHALLENGER and challenger is not None
        explanation, release = await self._explained(query, item_id, challenger if by_challenger else None)
        row = release.index.row(item_id)
        implied = {
            name.removeprefix("implied "): value
            for name, value in explanation.parts.items()
            if name.startswith("implied ")
        }
        return self._frame.show(
            request,
            "why.html.jinja",
            implied=implied,
            ranked_again=release.index.ranker_of(ports.Request("page", text=query.q)) is not None,
            query=query,
            item_id=item_id,
            explanation=explanation,
            challenger=challenger,
            name=NAMES[challenger.standing] if challenger else "",
            by_challenger=by_challenger,
            depth=EXPLAINED_DEPTH,
            scale=_scale(explanation),
            shown=None if row is None else shown(release.index.item(row), release, _now()),
        )

    async def _explained(
        self, query: PageQuery, item_id: str, challenger: Challenger | None
    ) -> tuple[Explanation, Release]:
        if challenger is None:
            return await explain(self._serving, query.q, item_id, query.filters)
        second = await asyncio.to_thread(self._comparison.second, challenger.digest, WAIT_SECONDS)
        if isinstance(second, Absent):
            reason = second.problem or "It is still being loaded; ask again in a moment."
            raise ProblemError(503, f"The other release cannot explain this now. {reason}")
        explanation = await asyncio.to_thread(second.explain, query.q, item_id, query.filters)
        return explanation, second.release


@dataclass(frozen=True)
class Scale:
    """From the lowest to the highest contribution, 0 included: what the bars are drawn against."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """0 … 100."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)


def _scale(explanation: Explanation) -> Scale:
    values = [value for _, value in (*explanation.query_words, *explanation.item_words)]
    low, high = min(0.0, *values), max(0.0, *values)
    return Scale(low, high if high > low else low + 1.0)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
