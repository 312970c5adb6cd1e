"""The writer behind OpenAI's interface, against a small server of that shape on loopback."""

import json
import re
import threading
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from components.augment.endpoint import KEY, EndpointWriter
from components.contract.errors import ConfigError, DataError


class _Service(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[tuple[str, dict[str, str], Any]] = []
        self.status = 200
        self.body: bytes | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Answer(BaseHTTPRequestHandler):
    server: _Service

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((self.path, dict(self.headers.items()), body))
        product = body["messages"][0]["content"].splitlines()[1]
        lines = f'1. cheap {product}\n- "{product}"\n\n2x4 {product}\ncheap {product}\none more'
        answer = {"choices": [{"message": {"role": "assistant", "content": lines}}]}
        data = json.dumps(answer).encode() if self.server.body is None else self.server.body
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[_Service]:
    server = _Service()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_each_text_is_asked_for_and_its_lines_are_the_queries(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers and bullets of a list go, "2x4" stays; each line once, at most as many as asked for."""
    monkeypatch.setenv(KEY, "secret")
    texts = [f"lamp {number}" for number in range(20)]
    written = EndpointWriter(f"{service.address}/", "small", seed=5).write(texts, 3)
    assert written == [[f"cheap {text}", text, f"2x4 {text}"] for text in texts]
    path, headers, body = service.asked[0]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == "Bearer secret"
    assert (body["model"], body["seed"]) == ("small", 5)
    assert "Write 3 different queries" in body["messages"][0]["content"]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b"{}", "answered 401"),
        (200, b"<html>", "answered something that is no chat completion"),
        (200, b'{"choices": []}', "answered something that is no chat completion"),
        (200, b'{"choices": [{"message": {"content": null}}]}', "is no chat completion"),
    ],
)
def test_a_service_that_refuses_stops_it_at_once(
    service: _Service, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, said: str
) -> None:
    """After one round of questions, and no key is told."""
    monkeypatch.setenv(KEY, "secret")
    service.status, service.body = status, body
    with pytest.raises(DataError, match=said) as told:
        EndpointWriter(service.address, "small").write(["lamp"] * 100, 2)
    assert len(service.asked) <= 8
    assert "augment.writer.endpoint" in str(told.value) and "secret" not in str(told.value)


def test_a_service_that_is_not_there_is_one_sentence(service: _Service) -> None:
    service.server_close()
    with pytest.raises(DataError, match=r"did not answer .*leave the endpoint out"):
        EndpointWriter(service.address, "small").write(["lamp"], 1)


def test_what_a_connection_fails_by_is_not_in_the_chain_of_errors(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may quote the header; chains are logged."""

    def refuse(*_: object, **__: object) -> None:
        raise httpx.LocalProtocolError("Illegal header value b'Bearer secret'")

    monkeypatch.setattr(httpx.Client, "post", refuse)
    with pytest.raises(DataError) as told:
        EndpointWriter(service.address, "small").write(["lamp"], 1)
    assert "secret" not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("key", ["one\ntwo", "one–two"])
def test_what_cannot_be_a_key_is_refused_unsaid(
    service: _Service, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Not in the chain of errors, either, which is logged."""
    monkeypatch.setenv(KEY, key)
    with pytest.raises(ConfigError, match=f"{KEY} holds characters that no key has") as told:
        EndpointWriter(service.address, "small").write(["lamp"], 1)
    assert not service.asked
    assert not {"one", "two"} & set(re.findall(r"\w+", str(told.value)))
    assert told.value.__cause__ is None is told.value.__context__


def test_the_line_break_at_the_end_of_a_file_is_no_part_of_its_key(
    service: _Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "secret\n")
    EndpointWriter(service.address, "small").write(["lamp"], 1)
    assert service.asked[0][1]["authorization"] == "Bearer secret"
