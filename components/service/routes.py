"""The routes of search and recommendation."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from components.contract import ports
from components.contract.texts import as_utf8
from components.contract.times import UtcTime
from components.index.columns import Filters
from components.index.live import LiveIndex
from components.index.ranked_by import RankedBy, ranked_by
from components.service.answering import Answering, Asked
from components.service.auth import Gatekeeper
from components.service.explaining import explain
from components.service.index_thread import Found
from components.service.problems import ProblemError, body_responses, request_id_of, responses
from components.service.request_checks import json_body, known_parameters
from components.service.schemas import (
    MOST_HISTORY,
    Answer,
    Explanation,
    Hit,
    K,
    RecommendBody,
    SearchAnswer,
    UserId,
)
from components.service.serving import Release, Serving

RELEASE_HEADER = "X-Debut-Release"


def query_filters(
    category: Annotated[str | None, Query(max_length=2_000, description="A path A > B.")] = None,
    brand: Annotated[str | None, Query(max_length=2_000)] = None,
    min_price: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    max_price: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    listed_from: UtcTime | None = None,
    listed_before: UtcTime | None = None,
    in_stock: bool | None = None,
) -> Filters:
    """The filters of a GET request."""
    if min_price is not None and max_price is not None and min_price > max_price:
        raise ProblemError(422, "min_price is above max_price.")
    return Filters(
        category=category,
        brand=brand,
        min_price=min_price,
        max_price=max_price,
        listed_from=listed_from,
        listed_before=listed_before,
        in_stock=in_stock,
    )


QueryText = Annotated[
    str, Query(description="What the customer typed.", json_schema_extra={"minLength": 1, "pattern": r"\S"})
]
QueryFilters = Annotated[Filters, Depends(query_filters)]


class SearchRoutes:
    """GET /search, POST /recommend, GET /similar/{item_id}, GET /explain."""

    def __init__(self, serving: Serving, answering: Answering, max_query_characters: int) -> None:
        self._serving = serving
        self._answering = answering
        self._max_characters = max_query_characters

    def router(self, gatekeeper: Gatekeeper) -> APIRouter:
        router = APIRouter(
            tags=["search"],
            responses=responses,
            dependencies=[Depends(gatekeeper.needs("read")), Depends(known_parameters)],
        )
        router.get("/search", response_model=SearchAnswer)(self.search)
        router.post(
            "/recommend",
            response_model=Answer,
            responses=body_responses,
            dependencies=[Depends(json_body)],
        )(self.recommend)
        router.get("/similar/{item_id:path}", response_model=Answer)(self.similar)
        router.get("/explain", response_model=Explanation)(self.explain)
        return router

    async def search(
        self,
        request: Request,
        q: QueryText,
        filters: QueryFilters,
        k: K = 10,
        user_id: UserId | None = None,
        debug: bool = False,
    ) -> Response:
        """The items that answer a query, best first."""
        query = self._checked(q)
        asked = _asked(request, "search", k, filters, query=query, user_id=user_id)
        found, release = await self._found(ports.Request("search", text=query), asked)
        hits = self._answering.hits(asked, release, found)
        answer = SearchAnswer(request_id=asked.request_id, release=release.digest, query=query, results=hits)
        if debug:
            answer.debug = await self._debug(query, hits, filters, release, found)
        return _json(answer, release)

    async def recommend(self, request: Request, body: RecommendBody) -> Response:
        """Items for a user's past items; what the user has is left out unless `exclude_history` is false."""
        past = body.history or await self._known_history(body.user_id)
        asked = _asked(request, "recommendation", body.k, body.filters, user_id=body.user_id)
        excluded = frozenset(past) if body.exclude_history else frozenset()
        history = tuple(past[-MOST_HISTORY:])
        found, release = await self._found(
            ports.Request("recommend", history=history, exclude=excluded), asked
        )
        hits = self._answering.hits(asked, release, found)
        return _json(Answer(request_id=asked.request_id, release=release.digest, results=hits), release)

    async def similar(self, request: Request, item_id: str, filters: QueryFilters, k: K = 10) -> Response:
        """The items most like an item, by their texts: what is bought with it is no substitute for it."""
        if self._serving.release().index.row(item_id) is None:
            raise ProblemError(404, f"There is no item {item_id[:100]!r} now.")
        asked = _asked(request, "similar", k, filters)
        one = ports.Request("similar", history=(item_id,), exclude=frozenset({item_id}), by_text=True)
        found, release = await self._found(one, asked)
        hits = self._answering.hits(asked, release, found)
        return _json(Answer(request_id=asked.request_id, release=release.digest, results=hits), release)

    async def explain(
        self, q: QueryText, item_id: Annotated[str, Query()], filters: QueryFilters
    ) -> Response:
        """Why an item answers a query, or does not: its score's parts, each word's share, the filters.

        Takes a second or so, and the first one after a start or a new release several: what explains is
        loaded when it is first asked for, while searches go on."""
        explanation, release = await explain(self._serving, self._checked(q), item_id, filters)
        return _json(explanation, release)

    def _checked(self, query: str) -> str:
        """Raises 422 for a query without a character to search by, or one that is too long."""
        if not query.strip():
            raise ProblemError(422, "q is empty: send at least one character.")
        if len(query) > self._max_characters:
            raise ProblemError(
                422, f"q has {len(query)} characters; at most {self._max_characters} are searched."
            )
        return as_utf8(query)

    async def _found(self, request: ports.Request, asked: Asked) -> tuple[Found, Release]:
        depth = self._answering.depth(asked.k)
        found = await asyncio.wrap_future(self._serving.search(request, depth, asked.filters))
        return found, self._serving.release_of(found.index)

    async def _known_history(self, user_id: str | None) -> Sequence[str]:
        if user_id is None:
            raise ProblemError(422, "Send a user_id, or the user's past items as history.")
        # In a thread: the first call reads a file of all users' acts.
        history = await asyncio.to_thread(self._serving.releases.history_of, user_id)
        if not history:
            raise ProblemError(404, "Nothing is known of this user: send past items as history.")
        return history

    async def _debug(
        self, query: str, hits: Sequence[Hit], filters: Filters, release: Release, found: Found
    ) -> dict[str, Any]:
        rows = {found.index.item_ids[row]: row for row in found.rows}  # an item may have another row by now
        request = ports.Request("search", text=query)

        def looked_up() -> tuple[dict[str, Any], dict[int, RankedBy]]:
            mask = found.index.mask(filters)
            parts = {hit.item_id: found.index.parts(query, rows[hit.item_id]) for hit in hits}
            return parts, ranked_by(found.index, request, len(found.rows), mask)

        parts, ranked = await asyncio.wrap_future(self._serving.run(looked_up))
        implied = await asyncio.wrap_future(self._serving.run(lambda: _implied(release.index, query)))
        plan = release.index.plan.model_dump()
        debug = {"plan": plan, "filters": filters.active(), "parts": parts, **implied}
        if ranked:
            known = {hit.item_id: ranked.get(rows[hit.item_id]) for hit in hits}
            debug["ranker"] = {item_id: asdict(one) for item_id, one in known.items() if one is not None}
        return debug


def _implied(index: LiveIndex, query: str) -> dict[str, Any]:
    known = index.understanding
    synonyms = known.variants(query) if known else []
    return {"implied": [asdict(one) for one in index.implied(query)], "synonyms": synonyms}


def _asked(request: Request, entrance: Any, k: int, filters: Filters, **known: Any) -> Asked:
    return Asked(request_id_of(request), entrance, k, filters, time.perf_counter(), **known)


def _json(answer: Answer | Explanation, release: Release) -> Response:
    """The model's own JSON: the framework would validate it a second time."""
    return Response(
        answer.model_dump_json(),
        media_type="application/json",
        headers={RELEASE_HEADER: release.digest},
    )
