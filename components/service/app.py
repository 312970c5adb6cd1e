"""The service as a FastAPI application: middleware, routes, start and end."""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.chatops.chat import Chat
from components.chatops.routes import chat_router
from components.contract.keys import key_of
from components.contract.serving import ServingSettings
from components.service import problems
from components.service.answering import Answering
from components.service.answers import AnswerRoutes
from components.service.auth import Gatekeeper
from components.service.limits import BodyLimit
from components.service.metrics import Metrics
from components.service.operations import OperationRoutes
from components.service.opinions import OpinionRoutes
from components.service.pages import page_routers
from components.service.predictions import PredictionRoutes
from components.service.privacy import LogPrivacy
from components.service.profiles import ProfileRoutes
from components.service.routes import SearchRoutes
from components.service.serving import NoReleaseError, Serving
from components.service.traffic import TrafficLog

REQUEST_ID_HEADER = b"x-request-id"


@dataclass(frozen=True)
class Parts:
    """What a service is made of."""

    serving: Serving
    settings: ServingSettings
    gatekeeper: Gatekeeper
    privacy: LogPrivacy
    log: TrafficLog
    metrics: Metrics
    version: str
    options: str = ""
    """What `debut` needs to be about this shop, for the commands that pages name: "--config demo"."""
    shop: str = ""
    """Its name, on every page."""
    opinions: Path | None = None
    """Holds each release's opinions (monitoring.opinions); None: /opinions is not there."""
    chat: Chat | None = None
    """None: /chat/slack and /chat/mattermost are not there."""
    mlflow_hook: APIRouter | None = None
    """None: MLflow's webhook has nowhere to go."""


def create_app(parts: Parts) -> FastAPI:
    """The application; its start loads the champion, its end writes the traffic log."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.serving.start()
        yield
        if parts.chat is not None:
            parts.chat.close()
        parts.serving.close()
        parts.log.close()

    app = FastAPI(
        title="Debut",
        version=parts.version,
        summary="Search and recommendation that finds new items from their first day.",
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from a CDN; /openapi.json is here
        redoc_url=None,
    )
    problems.install(app)
    app.add_exception_handler(NoReleaseError, _no_release)
    answering = Answering(parts.settings, parts.privacy, parts.log)
    search = SearchRoutes(parts.serving, answering, parts.settings.max_query_characters)
    operations = OperationRoutes(parts.serving, parts.settings, parts.privacy, parts.log, parts.metrics)
    predictions = PredictionRoutes(parts.serving, parts.settings.max_query_characters)
    app.include_router(search.router(parts.gatekeeper))
    app.include_router(operations.router(parts.gatekeeper))
    app.include_router(predictions.router(parts.gatekeeper))
    writer = parts.settings.answers
    key = key_of(writer.key_variable) if writer.endpoint else None
    answers = AnswerRoutes(parts.serving, parts.settings, parts.metrics, key)
    app.include_router(answers.router(parts.gatekeeper))
    app.include_router(ProfileRoutes(parts.serving).router(parts.gatekeeper))
    if parts.opinions is not None:
        app.include_router(OpinionRoutes(parts.serving, parts.opinions).router(parts.gatekeeper))
    named = {"options": parts.options, "shop": parts.shop}
    for router in page_routers(parts.serving, parts.settings, parts.gatekeeper, **named):
        app.include_router(router)
    if parts.chat is not None:
        app.include_router(chat_router(parts.chat))
    if parts.mlflow_hook is not None:
        app.include_router(parts.mlflow_hook)
    parts.metrics.watch_dropped(lambda: parts.log.dropped)
    app.add_middleware(
        BodyLimit,
        max_bytes=parts.settings.max_body_bytes,
        may_send_much=parts.gatekeeper.may_send_much,
    )
    app.add_middleware(_Measured, metrics=parts.metrics)
    return app


async def _no_release(request: HTTPConnection, error: Exception) -> Response:
    refused = problems.ProblemError(503, str(error), headers={"Retry-After": "5"})
    return problems.problem_response(request, refused)


class _Measured:
    """Gives every request an id of our own making, and counts and times it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, answering = time.perf_counter(), 500, False

        async def sent(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as error:
            if answering:
                raise
            # Here, because the framework answers outside of all middleware: its answer would have no id.
            response = await problems.unforeseen(Request(scope), error)
            await response(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path_format", None)
            self._metrics.request(route, status, time.perf_counter() - started)
