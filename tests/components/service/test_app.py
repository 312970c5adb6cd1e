"""The application as a whole: its start and end, its ids, and its OpenAPI document."""

import json
import threading
from collections.abc import Callable

import httpx
import pytest
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from components.service.problems import MEDIA_TYPE

TITLES = ["red chair", "blue lamp", "green mug"]


@pytest.fixture
def digest(make_candidate: Callable[..., str], releases) -> str:
    made = make_candidate(TITLES)
    releases.promote(made)
    return made


def test_the_openapi_document_is_valid_and_whole(digest, service) -> None:
    """Every operation has a summary, says what it needs and how it fails: problems for each error."""
    document = service().client.get("/openapi.json").json()
    validate(document)
    paths = {
        "/search": {"get"},
        "/recommend": {"post"},
        "/similar/{item_id}": {"get"},
        "/explain": {"get"},
        "/items": {"put", "delete"},
        "/items/{item_id}": {"delete"},
        "/items/delete": {"post"},
        "/predictions/{item_id}": {"get"},
        "/predict/{task}": {"post"},
        "/answer": {"post"},
        "/profile/{user_id}": {"get"},
        "/events": {"post"},
        "/release": {"get"},
        "/healthz": {"get"},
        "/readyz": {"get"},
        "/metrics": {"get"},
    }
    assert {path: set(operations) for path, operations in document["paths"].items()} == paths
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["description"], place
            errors = {status for status in operation["responses"] if status[0] in "45"}
            assert {"400", "401", "403", "404", "413", "422", "429", "500", "503"} <= errors, place
            for status in errors:
                assert set(operation["responses"][status]["content"]) == {MEDIA_TYPE}, place
            open_to_all = path in ("/healthz", "/readyz", "/metrics")
            assert operation.get("security") == (None if open_to_all else [{"key": []}]), place
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in json.dumps(document)


def test_every_answer_has_an_id(digest, service) -> None:
    """A new one for each request, errors and unknown routes too; the body of a problem has the same."""
    shop = service()
    answers = [
        shop.client.get("/search", params={"q": "red"}),
        shop.client.get("/search"),
        shop.client.get("/nowhere"),
        shop.client.get("/healthz"),
        shop.client.get("/metrics"),
        shop.client.get("/openapi.json"),
        shop.put({"item_id": "x", "title": "mug"}),
    ]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert all(one.json()["request_id"] == one.headers["X-Request-Id"] for one in answers[:3])


def test_the_end_writes_what_waits(digest, service, releases, running_service, tmp_path) -> None:
    """The traffic log's last records are in files, the threads have ended; a new start is as any other."""
    with running_service(releases, tmp_path / "own") as shop:
        shop.client.get("/search", params={"q": "red"})
        assert not list((tmp_path / "own" / "traffic").rglob("*.parquet"))
    assert len(list((tmp_path / "own" / "traffic" / "requests").glob("*.parquet"))) == 1
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"index", "champion", "changes", "traffic-log"}
    with running_service(releases, tmp_path / "own") as again:
        assert again.found("red chair", k=1) == ["100"]


def test_a_defect_is_a_problem_over_a_real_connection(digest, service, monkeypatch) -> None:
    """500 with an id, and the connection can be used again."""
    shop = service(socket=True)
    monkeypatch.setattr(type(shop.serving), "search", lambda *_: 1 / 0)
    with httpx.Client(base_url=shop.url) as client:
        answer = client.get("/search", params={"q": "red"})
        assert (answer.status_code, answer.headers["content-type"]) == (500, MEDIA_TYPE)
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
        assert client.get("/healthz").status_code == 200


def test_a_client_that_leaves_does_no_harm(digest, service) -> None:
    """Connections that are closed in the middle of a search; the others are answered."""
    shop = service(socket=True)
    go = threading.Event()
    shop.serving.run(lambda: go.wait(10))
    for _ in range(5):
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{shop.url}/search", params={"q": "red"}, timeout=0.05)
    go.set()
    assert shop.found("red chair", k=1) == ["100"]


def test_a_start_that_fails_to_read_its_releases_is_no_crash(releases, service, monkeypatch) -> None:
    """The process comes up and says what is wrong."""

    def champion() -> str:
        raise OSError("the decision log's disk is gone")

    monkeypatch.setattr(releases, "champion", champion)
    shop = service()
    assert isinstance(shop.client, TestClient)
    assert "disk is gone" in shop.client.get("/healthz").json()["problem"]
    assert shop.client.get("/search", params={"q": "red"}).status_code == 503
