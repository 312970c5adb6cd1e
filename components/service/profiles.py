"""The route of user profiles. Like /recommend it is answered to whoever may read; nothing of it is logged."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from components.contract.ports import Request
from components.index.columns import Filters
from components.profiles.brands import DEPTH
from components.profiles.readable import OfRelease, UserProfile, user_profile
from components.service.auth import Gatekeeper
from components.service.problems import ProblemError, responses
from components.service.request_checks import known_parameters
from components.service.schemas import MOST_HISTORY
from components.service.serving import Serving

UserIdPath = Annotated[str, Path(min_length=1, max_length=200)]
UNKNOWN = "Nothing is known of this user: the shop's data has no act of theirs."


class ProfileRoutes:
    """GET /profile/{user_id}"""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def router(self, gatekeeper: Gatekeeper) -> APIRouter:
        router = APIRouter(
            tags=["profiles"],
            responses=responses,
            dependencies=[Depends(gatekeeper.needs("read")), Depends(known_parameters)],
        )
        router.get("/profile/{user_id:path}", response_model=UserProfile)(self.of_user)
        return router

    async def of_user(self, user_id: UserIdPath) -> UserProfile:
        """A user's favoured categories and brands, price band and activity by the shop's newest data, brands
        to recommend, and the vector that the release ranks by."""
        self._serving.release()  # 503 before anything is read
        # In threads: the first call reads a file of all users' acts.
        behaviour = await asyncio.to_thread(self._serving.releases.behaviour)
        past = [] if behaviour is None else await asyncio.to_thread(behaviour.past, user_id)
        if behaviour is None or not past:
            raise ProblemError(404, UNKNOWN)
        of_release = await self._of_release(past)
        found = await asyncio.to_thread(user_profile, behaviour, user_id, of_release)
        if found is None:
            raise ProblemError(404, UNKNOWN)
        return found

    async def _of_release(self, past: list[str]) -> OfRelease:
        history = past[-MOST_HISTORY:]
        request = Request("profile", history=tuple(history), exclude=frozenset(past))
        found = await asyncio.wrap_future(self._serving.search(request, DEPTH, Filters()))
        index = found.index
        vector = await asyncio.wrap_future(self._serving.run(lambda: index.user_vector(history)))
        items = [index.item(row) for row in found.rows]
        return OfRelease(
            digest=self._serving.release_of(index).digest,
            history_scoring=index.plan.history_scoring,
            vector=vector,
            ranked=[(item["item_id"], item["brand"]) for item in items],
        )
