"""A double of Slack's Web API on this machine: it answers as Slack does and keeps what was posted."""

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl

Fields = dict[str, Any]
POSTS, FILES = "posts.jsonl", "files"
FIRST_TS = 1_700_000_000


class Recorder:
    """A server for the length of a `with` block.

    Every call becomes one line of `folder`/posts.jsonl: {"method": …, and its fields}; the method is Slack's
    ("chat.postMessage"), "upload" for a file's bytes, or the path for a response_url or webhook, of which
    any path under /hooks/ is one. Uploaded files lie in `folder`/files/. Tokens are checked to be there and
    never kept.
    """

    def __init__(self, folder: Path) -> None:
        (folder / FILES).mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._posts: list[Fields] = []
        self._names: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its root, with a slash at the end."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/"

    @property
    def api_url(self) -> str:
        """For `ChatSettings.api_url`."""
        return f"{self.url}api/"

    @property
    def posts(self) -> list[Fields]:
        """What was recorded so far, in order."""
        with self._lock:
            return list(self._posts)

    def file(self, file_id: str) -> Path:
        """Where an uploaded file's bytes lie."""
        return self._folder / FILES / f"{file_id}-{Path(self._names[file_id]).name}"

    def answer(self, path: str, token: bool, body: bytes, fields: Fields) -> tuple[int, str | Fields]:
        """Records one call; status and body of the answer."""
        if path.startswith("/upload/"):
            return self._upload(path.removeprefix("/upload/"), body)
        if path.startswith("/hooks/"):
            self._record(path, fields)
            return 200, "ok"
        method = path.removeprefix("/api/")
        if not token:
            return 200, {"ok": False, "error": "not_authed"}
        if method not in _METHODS:
            return 200, {"ok": False, "error": "unknown_method"}
        number = self._record(method, fields)
        return 200, {"ok": True} | _METHODS[method](self, fields, number)

    def _record(self, method: str, fields: Fields) -> int:
        post = {"method": method, **fields}
        with self._lock:
            self._posts.append(post)
            with (self._folder / POSTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(post, ensure_ascii=False) + "\n")
            return len(self._posts)

    def _upload(self, file_id: str, body: bytes) -> tuple[int, str]:
        if file_id not in self._names:
            return 404, "no such upload"
        self.file(file_id).write_bytes(body)
        digest = hashlib.sha256(body).hexdigest()
        self._record("upload", {"file_id": file_id, "length": len(body), "sha256": digest})
        return 200, f"OK - {len(body)}"

    def _posted(self, fields: Fields, number: int) -> Fields:
        return {"channel": fields.get("channel"), "ts": f"{FIRST_TS + number}.000000"}

    def _updated(self, fields: Fields, _: int) -> Fields:
        return {"channel": fields.get("channel"), "ts": fields.get("ts")}

    def _upload_url(self, fields: Fields, number: int) -> Fields:
        file_id = f"F{number:08d}"
        self._names[file_id] = str(fields.get("filename", "file"))
        return {"file_id": file_id, "upload_url": f"{self.url}upload/{file_id}"}

    def _completed(self, fields: Fields, _: int) -> Fields:
        return {"files": fields["files"]}

    def _tested(self, _fields: Fields, _: int) -> Fields:
        return {"team": "recorder", "team_id": "T0RECORDER", "user": "debut", "user_id": "U0DEBUT"}


_METHODS: dict[str, Callable[[Recorder, Fields, int], Fields]] = {
    "chat.postMessage": Recorder._posted,
    "chat.update": Recorder._updated,
    "files.getUploadURLExternal": Recorder._upload_url,
    "files.completeUploadExternal": Recorder._completed,
    "auth.test": Recorder._tested,
}


def _handler(recorder: Recorder) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = self.headers.get("Content-Type", "")
            token = self.headers.get("Authorization", "").startswith("Bearer ")
            upload = self.path.startswith("/upload/")
            status, answer = recorder.answer(self.path, token, body, {} if upload else _fields(body, kind))
            self._send(status, answer)

        def _send(self, status: int, answer: str | Fields) -> None:
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base's name
            """Calls are recorded, not logged."""

    return Handler


def _fields(body: bytes, content_type: str) -> Fields:
    """A form's or a JSON object's fields; the API's lists come as JSON inside a form."""
    if content_type.startswith("application/json"):
        return dict(json.loads(body or b"{}"))
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    return {
        name: json.loads(value) if name in ("blocks", "files") else value
        for name, value in form.items()
        if name != "token"
    }
