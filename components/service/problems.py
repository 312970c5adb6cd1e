"""Error answers by RFC 9457: every one is an application/problem+json body that names the request.

What a body never holds: the query string or input of a request (a shop's customers typed it), and the
message or traceback of an error that was not foreseen. Those are logged under the same `request_id`.
"""

import logging
import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match

from components.contract.errors import DebutError, StorageError, TrackingError
from components.contract.texts import as_utf8

ONE, MANY = "<one>", "<many>"
"""Tags of a body that may be one object or a list of them: pydantic puts them between the keys."""
logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_MAX_ERRORS = 20
_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_UNSAID = {404: "There is nothing at this path; /openapi.json lists what there is."}
"""Details for what the framework refuses without one."""
# Characters of an answer's texts that may hold the sender's own.
_MAX_PART, _MAX_TEXT, _MAX_PATH, _MAX_DETAIL = 100, 300, 200, 2_000


class Problem(BaseModel):
    """The body of every error answer."""

    type: str = "about:blank"
    """A URI for the kind of problem; about:blank: nothing more than the status says."""
    title: str
    status: int
    detail: str | None = None
    """What was wrong with this request, and what to do."""
    instance: str | None = None
    """The request's path."""
    request_id: str
    """The same as in the service's log."""


class FieldError(BaseModel):
    """One value of a request that does not fit, and why."""

    loc: list[str | int]
    """Where it is: body, query, path or header, then the keys that lead to it."""
    msg: str


class ValidationProblem(Problem):
    """The body of a 422: a Problem and, where single values do not fit, the first twenty of them."""

    errors: list[FieldError]


class ProblemError(Exception):
    """Raised where a request is refused; becomes a Problem with this status."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        type_uri: str = "about:blank",
    ) -> None:
        """title: not given, the status's own phrase ("Not Found"); headers: added to the answer."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or _phrase(status)
        self.headers = dict(headers or {})
        self.type_uri = type_uri


def install(app: FastAPI) -> None:
    """Makes every error of `app` a problem: refused and invalid requests, unknown routes, DebutError (503
    where storage or the tracking server fails, else 500), and anything else (500, with nothing of it)."""
    handlers: dict[type[Exception], Any] = {
        ProblemError: _refused,
        RequestValidationError: _invalid,
        HTTPException: _http_error,
        DebutError: debut_error,
        Exception: unforeseen,
    }
    for error_class, handler in handlers.items():
        app.add_exception_handler(error_class, handler)


def request_id_of(request: HTTPConnection) -> str:
    """The request's id: what was put into `request.state.request_id`, else a new one, kept there."""
    found = getattr(request.state, "request_id", None)
    if found is None:
        found = request.state.request_id = uuid.uuid4().hex
    return str(found)


def problem_response(request: HTTPConnection, error: ProblemError) -> Response:
    """The answer to a request that `error` refuses; for middleware, which no exception handler serves."""
    problem = Problem(
        type=error.type_uri,
        title=error.title,
        status=error.status,
        detail=_cut(error.detail, _MAX_DETAIL) or None,
        instance=_instance(request),
        request_id=request_id_of(request),
    )
    return _response(problem, error.headers)


async def _refused(request: Request, error: ProblemError) -> Response:
    return problem_response(request, error)


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    """Names places and reasons, cut to a length: a reason or an unknown key may hold what was sent."""
    found = error.errors()
    problem = ValidationProblem(
        title=_phrase(422),
        status=422,
        detail=f"{len(found)} of the request's values do not fit; see errors.",
        instance=_instance(request),
        request_id=request_id_of(request),
        errors=[_field_error(entry) for entry in found[:_MAX_ERRORS]],
    )
    return _response(problem, {})


async def _http_error(request: Request, error: HTTPException) -> Response:
    phrase = _phrase(error.status_code)
    detail = _UNSAID.get(error.status_code, "") if error.detail == phrase else str(error.detail)[:_MAX_TEXT]
    headers = {**(error.headers or {}), **_allowed(request, error.status_code)}
    return problem_response(request, ProblemError(error.status_code, detail, headers=headers))


def _allowed(request: Request, status: int) -> dict[str, str]:
    """Of a 405 the header with all methods of the path; the framework names those of its first route.

    A path that the document has is told by it: /items/delete is no item's. For the rest each method is tried:
    a router that was included matches, but tells no methods."""
    if status != 405:
        return {}
    documented = request.app.openapi()["paths"].get(request.url.path)
    if documented is not None:
        return {"Allow": ", ".join(sorted(method.upper() for method in documented))}
    asked = [(method, {**request.scope, "method": method}) for method in _METHODS]
    found = [
        method
        for method, scope in asked
        if any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)
    ]
    return {"Allow": ", ".join(found)}


async def debut_error(request: Request, error: DebutError) -> Response:
    """The answer to a request that met an error with a sentence of ours."""
    status = 503 if isinstance(error, StorageError | TrackingError) else 500
    logger.error("Request %s: %s", request_id_of(request), error, exc_info=error)
    return problem_response(request, ProblemError(status, str(error)))


async def unforeseen(request: Request, error: Exception) -> Response:
    """The answer to a request that met a defect of ours: nothing of it, which the log has."""
    logger.error("Request %s failed", request_id_of(request), exc_info=error)
    detail = "An error inside the service. Its log has the cause under this request_id."
    return problem_response(request, ProblemError(500, detail))


def _response(problem: Problem, headers: Mapping[str, str]) -> Response:
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status_code=problem.status, headers=dict(headers), media_type=MEDIA_TYPE)


def _field_error(entry: Mapping[str, Any]) -> FieldError:
    keys = [part for part in entry["loc"] if part not in (ONE, MANY)]
    loc = [part if isinstance(part, int) else _cut(str(part), _MAX_PART) for part in keys]
    return FieldError(loc=loc, msg=_cut(str(entry["msg"]), _MAX_TEXT))


def _cut(text: str, length: int) -> str:
    """At most `length` characters, none of them half a surrogate pair, which no JSON body can hold."""
    return as_utf8(text)[:length]


def _instance(request: HTTPConnection) -> str:
    """The path as a URI reference, without the query string: that holds what a customer typed."""
    return quote(request.scope["path"][:_MAX_PATH], safe="/:@!$&'()*+,;=~", errors="replace")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _documented(statuses: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's response objects. The schema is written out, because FastAPI files a `model` under
    application/json."""
    problem = Problem.model_json_schema()
    fields = {"errors": {"type": "array", "items": FieldError.model_json_schema()}}
    invalid = {
        **problem,
        "title": "ValidationProblem",
        "properties": {**problem["properties"], **fields},
    }
    return {
        status: {
            "description": _phrase(status),
            "content": {MEDIA_TYPE: {"schema": invalid if status == 422 else problem}},
        }
        for status in statuses
    }


responses = _documented((400, 401, 403, 404, 413, 422, 429, 500, 503))
"""For a route's or router's `responses=`: the errors that any route may answer with."""
body_responses = _documented((415,))
"""The same for what a route with a body may answer besides."""
