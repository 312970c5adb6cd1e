"""MLflow's webhook: a genuine delivery makes the registry be read, anything else is refused."""

import base64
import hashlib
import hmac
import time

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from components.service import problems
from components.service.mlflow_hook import mlflow_hook

SECRET, BODY = "s3cret", b'{"entity": "model_version_tag"}'


@pytest.fixture
def read():
    """How often the registry was read."""
    return []


@pytest.fixture
def client(read):
    app = FastAPI()
    problems.install(app)
    app.include_router(mlflow_hook(SECRET, lambda: read.append(True)))
    return TestClient(app)


def headers(secret=SECRET, at=None, body=BODY):
    timestamp = str(int(time.time() if at is None else at))
    signed = hmac.new(secret.encode(), f"7.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "X-MLflow-Delivery-Id": "7",
        "X-MLflow-Timestamp": timestamp,
        "X-MLflow-Signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def test_a_genuine_delivery_makes_the_tags_be_read(client, read):
    assert client.post("/hooks/mlflow", content=BODY, headers=headers()).status_code == 204
    assert read == [True]


@pytest.mark.parametrize(
    "sent",
    [
        {},
        headers(secret="other"),
        headers(at=0),
        headers(at=time.time() + 10_000),
        headers(body=b"{}"),
        headers() | {"X-MLflow-Timestamp": "9" * 5_000},
    ],
    ids=["unsigned", "other secret", "old", "of the future", "other body", "more digits than int() takes"],
)
def test_other_deliveries_are_refused_and_nothing_is_read(client, read, sent):
    """401 as an RFC 9457 body for a wrong, missing or stale signature."""
    answer = client.post("/hooks/mlflow", content=BODY, headers=sent)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert read == []
