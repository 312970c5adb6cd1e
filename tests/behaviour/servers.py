"""What the scripts of this folder share: processes on free ports, and waiting."""

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
REPO = Path(__file__).parents[2]


def environment() -> dict[str, str]:
    """Ours without a Prefect or MLflow of somebody else's, and the libraries' commands on the path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    paths = [str(Path(sys.executable).parent), kept.get("PATH", "")]
    return kept | {"PATH": os.pathsep.join(paths), "PYTHONPATH": str(REPO), "DEBUT_ACTOR": "story"}


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def prefect(port: str, method: str, path: str, body: Any = None) -> Any:
    """Asks again where the server's SQLite was busy (503), as Prefect's own client does."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api{path}",
        json.dumps(body).encode() if body is not None else None,
        {"Content-Type": "application/json"},
        method=method,
    )
    for pause in (1, 2, 4, 8, None):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code != 503 or pause is None:
                raise
            time.sleep(pause)
    raise AssertionError("unreachable")


def wait(what: str, ready: Callable[[], T], seconds: float) -> T:
    end = time.monotonic() + seconds
    while not (found := ready()):
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come within {seconds:g} s")
        time.sleep(0.3)
    say(f"{what}: there")
    return found


def say(text: str) -> None:
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
