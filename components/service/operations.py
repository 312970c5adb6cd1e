"""The routes of items, events, releases, health and metrics."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from components.contract.live import ItemId, LiveItem
from components.contract.records import Decision
from components.contract.serving import ServingSettings
from components.release.decision_log import last_change
from components.service.auth import Gatekeeper
from components.service.metrics import CONTENT_TYPE, Metrics
from components.service.privacy import LogPrivacy
from components.service.problems import ProblemError, body_responses, responses
from components.service.request_checks import json_body, known_parameters
from components.service.schemas import (
    Act,
    ActsAnswer,
    ActsBody,
    DeletedAnswer,
    Health,
    IdsBody,
    ItemsAnswer,
    ItemsBody,
    ReleaseAnswer,
)
from components.service.serving import Serving
from components.service.traffic import TrafficLog
from components.service.traffic_records import ActRecord

MOST_DECISIONS = 50


class OperationRoutes:
    """PUT and DELETE /items, POST /items/delete, POST /events, GET /release, /healthz, /readyz, /metrics."""

    def __init__(
        self,
        serving: Serving,
        settings: ServingSettings,
        privacy: LogPrivacy,
        log: TrafficLog,
        metrics: Metrics,
    ) -> None:
        self._serving = serving
        self._settings = settings
        self._privacy = privacy
        self._log = log
        self._metrics = metrics

    def router(self, gatekeeper: Gatekeeper) -> APIRouter:
        router = APIRouter(responses=responses, tags=["operations"])
        known = Depends(known_parameters)
        read, write = [Depends(gatekeeper.needs("read")), known], [Depends(gatekeeper.needs("write")), known]
        sent: dict[str, Any] = {"dependencies": [*write, Depends(json_body)], "responses": body_responses}
        router.put("/items", response_model=ItemsAnswer, **sent)(self.put_items)
        router.delete("/items", response_model=DeletedAnswer, dependencies=write)(self.delete_items)
        router.delete("/items/{item_id:path}", response_model=DeletedAnswer, dependencies=write)(
            self.delete_item
        )
        router.post("/items/delete", response_model=DeletedAnswer, **sent)(self.delete_many_items)
        router.post("/events", response_model=ActsAnswer, **sent)(self.post_events)
        router.get("/release", response_model=ReleaseAnswer, dependencies=read)(self.release)
        # Probes and scrapers have no key; they learn which release serves, and counts.
        router.get("/healthz", response_model=Health, dependencies=[known])(self.healthz)
        router.get("/readyz", response_model=Health, dependencies=[known])(self.readyz)
        router.get("/metrics", response_class=Response, dependencies=[known])(self.metrics)
        return router

    async def put_items(self, body: ItemsBody) -> ItemsAnswer:
        """Adds items or replaces them, one or many; they are findable when this returns."""
        items = [body] if isinstance(body, LiveItem) else body
        self._check_count(len(items))
        seq = await asyncio.to_thread(self._serving.put, items)
        return ItemsAnswer(seq=seq, items=len({i.item_id for i in items}), searchable=self._serving.serves())

    async def delete_items(self, item_id: Annotated[list[ItemId], Query(min_length=1)]) -> DeletedAnswer:
        """Takes items out; an id that nobody knows is no error. For many ids: POST /items/delete."""
        return await self._delete(item_id)

    async def delete_item(self, item_id: ItemId) -> DeletedAnswer:
        """Takes one item out; an id that nobody knows is no error."""
        return await self._delete([item_id])

    async def delete_many_items(self, body: IdsBody) -> DeletedAnswer:
        """Takes out the items of a list of ids, which may be longer than an address can be; an id that nobody
        knows is no error."""
        return await self._delete(body)

    async def _delete(self, item_ids: Sequence[str]) -> DeletedAnswer:
        self._check_count(len(item_ids))
        ids, serves = set(item_ids), self._serving.serves()
        index = self._serving.release().index if serves else None
        found = None if index is None else sum(index.row(item_id) is not None for item_id in ids)
        seq = await asyncio.to_thread(self._serving.delete, item_ids)
        return DeletedAnswer(seq=seq, items=len(ids), searchable=self._serving.serves(), found=found)

    async def post_events(self, body: ActsBody) -> ActsAnswer:
        """Logs clicks and orders on what a request showed."""
        acts = [body] if isinstance(body, Act) else body
        self._check_count(len(acts))
        for act in acts:
            user = None if act.user_id is None else self._privacy.pseudonym(act.user_id)
            self._log.write(
                ActRecord(
                    request_id=act.request_id,
                    at=datetime.now(UTC),
                    kind=act.kind,
                    item_id=act.item_id,
                    user=user,
                    quantity=act.quantity,
                )
            )
        joined = sum(self._log.recent(act.request_id) for act in acts)
        return ActsAnswer(logged=len(acts), joined=joined)

    async def release(self) -> ReleaseAnswer:
        """What serves, how it ranks, what the judge measured, and what was decided before."""
        release = self._serving.release()
        history = list(await asyncio.to_thread(self._serving.releases.history))
        figures = await asyncio.to_thread(self._serving.releases.figures, release.digest)
        return ReleaseAnswer(
            release=release.digest,
            since=_since(history, release.digest),
            cutoff=None if release.cutoff is None else release.cutoff.replace(tzinfo=UTC),
            items=len(release.index),
            plan=release.index.plan.model_dump(),
            figures=figures,
            history=[record.model_dump(mode="json") for record in history[: -MOST_DECISIONS - 1 : -1]],
        )

    async def healthz(self) -> Health:
        """The process lives; which release serves, and why not the champion, where it does not."""
        return self._health()

    async def readyz(self) -> Health:
        """200 where requests can be answered, else 503."""
        self._serving.release()
        return self._health()

    async def metrics(self) -> Response:
        """Counts and times in Prometheus' text format."""
        return Response(self._metrics.render(), media_type=CONTENT_TYPE)

    def _health(self) -> Health:
        digest = self._serving.release().digest if self._serving.serves() else None
        problem = self._serving.problem
        return Health(status="ok" if problem is None else "degraded", release=digest, problem=problem)

    def _check_count(self, count: int) -> None:
        if not 1 <= count <= self._settings.max_bulk_items:
            raise ProblemError(
                422, f"{count} in one request; send 1 to {self._settings.max_bulk_items} at a time."
            )


def _since(history: list[Decision], digest: str) -> datetime | None:
    change = last_change(history)
    return change.at if change is not None and change.release == digest else None
