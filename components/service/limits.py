"""How much one client may send: a limit on a body's bytes and one on requests per minute."""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.contract.errors import DebutError
from components.service.problems import ProblemError, debut_error, problem_response

MOST_WITHOUT_WRITING = 500_000
"""Bytes of a body whose sender may not write. The framework parses a body on the event loop, where everybody
waits, before it looks at the key."""


class BodyLimit:
    """ASGI middleware: answers 413 to a body of more than `max_bytes` bytes, before the application sees it.

    A declared length over the limit is refused unread. Any other body is counted as it comes in, declared or
    not, and handed on in one piece; so a request holds little more than `max_bytes` of memory. Who may not
    send much is held to MOST_WITHOUT_WRITING bytes. A client that leaves half-way gets no answer and the
    application no request.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, may_send_much: Callable[[Request], bool]) -> None:
        """may_send_much: asked only of a request whose body is over MOST_WITHOUT_WRITING."""
        self._app = app
        self._max_bytes = max_bytes
        self._may_send_much = may_send_much

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        try:
            body = await self._read(request, receive)
        except ProblemError as error:
            await problem_response(request, error)(scope, receive, send)
            return
        except DebutError as error:  # the key file cannot be read
            await (await debut_error(request, error))(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _replay(body, receive), send)

    async def _read(self, request: Request, receive: Receive) -> bytes | None:
        """The whole body; None where the client left before its end."""
        most = self._most(request, _declared(request))
        body = bytearray()  # one buffer: a list of the chunks costs hundreds of bytes per byte sent alone
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > most:
                most = self._most(request, len(body))
            if not message.get("more_body", False):
                return bytes(body)

    def _most(self, request: Request, length: float) -> int:
        """Up to how many bytes a body that has `length` at least needs no other look; raises ProblemError
        where it has too many already."""
        if length > self._max_bytes:
            raise ProblemError(
                413, f"The request's body is over {self._max_bytes} bytes; send less or in several requests."
            )
        if length <= MOST_WITHOUT_WRITING:
            return min(MOST_WITHOUT_WRITING, self._max_bytes)
        if self._may_send_much(request):
            return self._max_bytes
        raise ProblemError(
            413,
            f"The request's body is over {MOST_WITHOUT_WRITING} bytes, the most without a key that may "
            "write; send less, in several requests or with such a key.",
        )


def _declared(request: Request) -> float:
    """Bytes that the body has by its header; 0 where that is no number: the bytes are counted anyway."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        return 0
    return int(length) if len(length) <= 18 else math.inf


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hands out the body, then what really comes next: the client's leaving."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


class RateLimit:
    """A token bucket per key, or per address for requests without one; held by this process alone.

    A bucket holds `burst` requests and fills by `per_minute` a minute. At most `max_buckets` are kept; past
    that the one unused for longest goes, and its client starts with a full one. Safe to call from threads.
    """

    def __init__(
        self,
        per_minute: float,
        burst: int,
        max_buckets: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: seconds that never run backwards. Raises ValueError for limits that let nothing through."""
        if not (per_minute > 0 and burst >= 1 and max_buckets >= 1):
            raise ValueError("per_minute must be above 0, burst and max_buckets at least 1")
        self._per_second = per_minute / 60
        self._burst = burst
        self._max_buckets = max_buckets
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def check(self, key_id: str | None, address: str | None) -> None:
        """Counts one request; raises ProblemError 429 with Retry-After (whole seconds) where none is left.

        key_id: of an authenticated key, never what a client merely claims. address: used without a key. A
        refused request takes nothing from the bucket.
        """
        wait = self.take(f"key {key_id}" if key_id is not None else f"address {_network(address)}")
        if wait > 0:
            seconds = max(1, math.ceil(wait))
            raise ProblemError(
                429,
                f"More than {self._per_second * 60:g} requests a minute; try again in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )

    def take(self, client: str) -> float:
        """0.0 where the request may go on, else the seconds until the next one may."""
        with self._lock:
            now = self._clock()
            tokens, since = self._buckets.get(client, (float(self._burst), now))
            tokens = min(self._burst, tokens + (now - since) * self._per_second)
            # The sum of many small fills may lack a last bit: without this a client that waits exactly as
            # long as it was told would be refused again.
            allowed = tokens >= 1 - 1e-9
            tokens = max(0.0, tokens - 1) if allowed else tokens
            self._buckets[client] = (tokens, now)
            self._buckets.move_to_end(client)
            if len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._per_second

    def __len__(self) -> int:
        """Buckets kept."""
        return len(self._buckets)


def _network(address: str | None) -> str:
    """The address; of IPv6 the /64 network, because one client owns all of its addresses."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if parsed.version == 4:
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
