"""Small shops in files, and an S3 server on loopback that can be made to fail."""

import itertools
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from components.contract.records import LoadedData
from components.contract.settings import Settings
from components.data.sources import load

ITEMS = "SELECT * FROM items_file"


@pytest.fixture
def shop(tmp_path: Path) -> "Shop":
    return Shop(tmp_path)


class Shop:
    """A shop whose files stand in `root`, with one source `items_file` unless told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.root, self.workspace = folder / "root", folder / "workspace"
        self.out = self.workspace / "stages" / "load"
        self.root.mkdir()

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.root / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def settings(self, items: str = ITEMS, **more: Any) -> Settings:
        """`more`: other tables by name, and `sources`."""
        sources = more.pop("sources", {"items_file": {"path": "items.csv"}})
        return Settings.model_validate(
            {"shop": "test", "sources": sources, "tables": {"items": items, **more}}
        )

    def load(self, items: str = ITEMS, **more: Any) -> LoadedData:
        return load(self.settings(items, **more), self.root, self.workspace, self.out)


@dataclass
class Endpoint:
    """A proxy before moto: counts requests, and breaks answers as a test asks."""

    url: str = ""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path, headers (lower case)."""
    before: Callable[[str, str], int | None] | None = None
    """Called with method and path; a status that it returns is answered in place of moto's."""
    cut_after: list[int | None] = field(default_factory=list)
    """For each coming GET of an object: bytes of the body before the connection breaks; None: whole."""
    after_cut: Callable[[], None] | None = None

    def gets(self) -> list[dict[str, str]]:
        """Headers of the GETs of objects."""
        return [headers for method, path, headers in self.requests if method == "GET" and path.count("/") > 1]


@pytest.fixture(scope="session")
def moto_s3(moto_url: str) -> Any:
    """The server, spoken to directly."""
    return boto3.session.Session("test", "test", region_name="us-east-1").resource(
        "s3", endpoint_url=moto_url
    )


@pytest.fixture
def endpoint(moto_url: str) -> Iterator[Endpoint]:
    state = Endpoint()

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_request(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.command, self.path, headers))
            status = state.before(self.command, self.path) if state.before else None
            body = self.rfile.read(int(headers.get("content-length", 0)))
            if status:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            headers.pop("expect", None)  # this server has answered it itself
            headers.setdefault("content-type", "application/octet-stream")  # urllib's default is a form
            forwarded = urllib.request.Request(
                moto_url + self.path, data=body or None, headers=headers, method=self.command
            )
            try:
                answer: Any = urllib.request.urlopen(forwarded)
            except urllib.error.HTTPError as error:
                answer = error
            self.relay(answer.status, answer.headers, answer.read())

        def relay(self, status: int, headers: Any, body: bytes) -> None:
            self.send_response_only(status)
            kept = [(name, value) for name, value in headers.items() if name.lower() != "content-length"]
            length = headers.get("content-length", "0") if self.command == "HEAD" else str(len(body))
            for name, value in [*kept, ("content-length", length)]:
                if name.lower() not in ("connection", "transfer-encoding"):
                    self.send_header(name, value)
            self.end_headers()
            of_object = self.command == "GET" and self.path.count("/") > 1 and status < 300
            cut = state.cut_after.pop(0) if of_object and state.cut_after else None
            self.wfile.write(body[:cut] if self.command != "HEAD" else b"")
            if cut is not None:
                self.close_connection = True
                if state.after_cut:
                    state.after_cut()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = handle_request

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


_bucket_numbers = itertools.count()


@pytest.fixture
def bucket(moto_s3: Any, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A fresh bucket, spoken to directly; the product's own requests go through `endpoint`."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setattr("components.data.s3.PAUSE_SECONDS", 0.001)
    return moto_s3.create_bucket(Bucket=f"shop-{next(_bucket_numbers)}")
