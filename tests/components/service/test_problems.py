"""Every error answer is an RFC 9457 problem that names its request and shows nothing internal."""

import json
import logging
from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from fastapi import FastAPI, HTTPException, Query
from openapi_spec_validator import validate
from pydantic import BaseModel, ConfigDict
from starlette.testclient import TestClient

from components.contract.errors import DataError, StorageError
from components.service.problems import MEDIA_TYPE, Problem, ProblemError, install, request_id_of, responses


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    kind: Literal["view", "cart"]
    count: int


def _app() -> FastAPI:
    app = FastAPI()
    install(app)

    @app.middleware("http")
    async def name(request, call_next):
        request.state.request_id = request.headers.get("x-test-id") or request_id_of(request)
        return await call_next(request)

    @app.post("/acts", responses=responses)
    async def acts(body: Body) -> None: ...

    @app.get("/search", responses=responses)
    async def search(q: Annotated[str, Query(max_length=5)]) -> None: ...

    @app.get("/refused")
    async def refused() -> None:
        raise ProblemError(
            403, "This key may read; ask for one with role write.", title="Role", headers={"X-Role": "write"}
        )

    @app.get("/surrogate")
    async def surrogate() -> None:
        raise ProblemError(400, "half a pair: \ud800" + "z" * 10_000)

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout", headers={"X-Pot": "yes"})

    @app.get("/disk")
    async def disk() -> None:
        raise StorageError("items: No space left on device. Free space, then run again.")

    @app.get("/data")
    async def data() -> None:
        raise DataError("row 7 has no title.")

    @app.get("/defect")
    async def defect() -> None:
        raise KeyError("a customer's words")

    return app


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(_app(), raise_server_exceptions=False) as client:
        yield client


def _problem(response) -> dict:
    """The body, checked for what all problems have in common."""
    assert response.headers["content-type"] == MEDIA_TYPE
    body = response.json()
    assert Problem.model_validate(body).status == response.status_code
    return body


def test_a_refused_request_gets_status_title_detail_and_headers(client: TestClient) -> None:
    """The whole body of a ProblemError, with the request's own id and without empty members."""
    response = client.get("/refused?q=secret", headers={"x-test-id": "r-1"})
    assert _problem(response) == {
        "type": "about:blank",
        "title": "Role",
        "status": 403,
        "detail": "This key may read; ask for one with role write.",
        "instance": "/refused",
        "request_id": "r-1",
    }
    assert response.headers["x-role"] == "write"


def test_a_detail_may_hold_any_text(client: TestClient) -> None:
    """Half a surrogate pair, which JSON cannot hold, reads "?"; thousands of characters are cut."""
    detail = _problem(client.get("/surrogate"))["detail"]
    assert detail.startswith("half a pair: ?zzz")
    assert len(detail) == 2_000


def test_unknown_routes_and_methods_are_problems(client: TestClient) -> None:
    """404 and 405 keep their status phrase, and 405 its Allow header."""
    missing = _problem(client.get("/no/such place"))
    assert (missing["status"], missing["title"]) == (404, "Not Found")
    assert missing["instance"] == "/no/such%20place"
    assert "/openapi.json" in missing["detail"]
    wrong = client.delete("/refused")
    assert _problem(wrong)["status"] == 405
    assert wrong.headers["allow"] == "GET"


def test_an_http_exception_keeps_its_detail_and_headers(client: TestClient) -> None:
    """As FastAPI's own code raises them."""
    response = client.get("/teapot")
    assert _problem(response)["detail"] == "short and stout"
    assert response.headers["x-pot"] == "yes"


def test_an_invalid_body_names_each_value_and_why(client: TestClient) -> None:
    """422 with the place and reason of every value that does not fit, and no input."""
    body = _problem(client.post("/acts", json={"kind": "zebra-17", "count": "many-99"}))
    assert body["status"] == 422
    assert [error["loc"] for error in body["errors"]] == [["body", "kind"], ["body", "count"]]
    assert all(set(error) == {"loc", "msg"} for error in body["errors"])
    assert "zebra-17" not in json.dumps(body)
    assert "many-99" not in json.dumps(body)


def test_broken_json_is_a_422_that_says_where(client: TestClient) -> None:
    """The place is the character at which parsing stopped."""
    response = client.post("/acts", content=b'{"kind": ', headers={"content-type": "application/json"})
    assert _problem(response)["errors"] == [{"loc": ["body", 9], "msg": "JSON decode error"}]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "x" * 10_000, "count": 1},
        {"kind": "view", "count": 1, "y" * 10_000: 1},
        {"kind": "view", "count": 1} | {f"key {number}": 1 for number in range(5_000)},
        {"kind": "view", "count": 1, "\ud800": "\ud800"},
    ],
)
def test_a_large_or_odd_input_is_not_echoed(client: TestClient, body: dict) -> None:
    """Long values and keys, thousands of keys and half a surrogate pair: a short, readable answer."""
    response = client.post("/acts", content=json.dumps(body), headers={"content-type": "application/json"})
    assert _problem(response)["status"] == 422
    assert len(response.content) < 5_000
    assert "x" * 101 not in response.text
    assert "y" * 101 not in response.text


def test_a_long_path_and_the_query_string_are_not_echoed(client: TestClient) -> None:
    """`instance` is the beginning of the path; what a customer typed stays out."""
    body = _problem(client.get("/" + "p" * 5_000, params={"q": "my private wish"}))
    assert len(body["instance"]) == 200
    assert "private" not in json.dumps(body)
    assert "private" not in client.get("/search", params={"q": "my private wish"}).text


def test_a_debut_error_shows_its_sentence(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """503 where storage fails, because it may pass; 500 for the others; both in the log."""
    disk = _problem(client.get("/disk", headers={"x-test-id": "r-2"}))
    assert (disk["status"], disk["detail"][:10]) == (503, "items: No ")
    data = _problem(client.get("/data"))
    assert (data["status"], data["detail"]) == (500, "row 7 has no title.")
    assert any("r-2" in record.message and "No space" in record.message for record in caplog.records)


def test_an_unforeseen_error_is_logged_and_not_shown(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """500 without the error's class or message; the log has the traceback under the same request_id."""
    body = _problem(client.get("/defect", headers={"x-test-id": "r-3"}))
    assert (body["status"], body["request_id"]) == (500, "r-3")
    assert "KeyError" not in json.dumps(body)
    assert "customer" not in json.dumps(body)
    ours = [record for record in caplog.records if record.name == "components.service.problems"]
    assert [(record.levelno, "r-3" in record.message) for record in ours] == [(logging.ERROR, True)]
    assert ours[0].exc_info is not None
    assert ours[0].exc_info[0] is KeyError


def test_a_request_without_an_id_gets_one(client: TestClient) -> None:
    """32 hex digits, a new one per request."""
    ids = {_problem(client.get("/nowhere"))["request_id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(found) == 32 for found in ids)


def test_openapi_documents_the_problems(client: TestClient) -> None:
    """A valid document; every error is application/problem+json, and FastAPI's own 422 is gone."""
    document = client.get("/openapi.json").json()
    validate(document)
    described = document["paths"]["/acts"]["post"]["responses"]
    for status in ("401", "403", "404", "413", "422", "429", "500", "503"):
        assert set(described[status]["content"]) == {MEDIA_TYPE}, status
    assert "errors" in described["422"]["content"][MEDIA_TYPE]["schema"]["properties"]
    assert "errors" not in described["404"]["content"][MEDIA_TYPE]["schema"]["properties"]
    assert "HTTPValidationError" not in json.dumps(document)
