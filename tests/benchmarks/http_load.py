"""A small HTTP/1.1 client over plain sockets: it takes a tenth of the CPU that a full client takes, which on
two shared cores would be taken from the service that is measured."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote


@dataclass
class Load:
    """What the clients of one run saw; times in seconds."""

    times: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.times) / self.seconds


class Connection:
    """One kept-alive connection to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(data)}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        if key is not None:
            lines.append(f"Authorization: Bearer {key}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split(" ")[1]), headers, content


def search_path(query: str, k: int = 10) -> str:
    return f"/search?q={quote(query)}&k={k}"


async def hammer(
    port: int, queries: Iterator[str], clients: int, *, seconds: float, most: int = 10**9
) -> Load:
    """`clients` ask distinct queries one after the other, until the time or the number is reached."""
    load, started = Load(), time.perf_counter()

    async def client() -> None:
        connection = Connection(port)
        while time.perf_counter() - started < seconds and len(load.times) < most:
            path = search_path(next(queries))
            began = time.perf_counter()
            try:
                status, _, _ = await connection.send("GET", path)
            except (OSError, asyncio.IncompleteReadError) as error:
                load.errors.append(repr(error))
                connection = Connection(port)
                continue
            if status == 200:
                load.times.append(time.perf_counter() - began)
            else:
                load.errors.append(f"{status} {path}")

    await asyncio.gather(*(client() for _ in range(clients)))
    load.seconds = time.perf_counter() - started
    return load
