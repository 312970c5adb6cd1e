"""Limits on a body's size and on requests per minute."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from components.service.limits import BodyLimit, RateLimit
from components.service.problems import MEDIA_TYPE, ProblemError, install

LIMIT = 1_000


def _app() -> FastAPI:
    app = FastAPI()
    install(app)
    app.add_middleware(BodyLimit, max_bytes=LIMIT, may_send_much=lambda _: False)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.get("/length")
    async def none() -> int:
        return 0

    return app


def _post(**arguments) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(_app())
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return await client.post("/length", **arguments)

    return asyncio.run(send())


async def _stream(sizes: list[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


@given(sizes=st.lists(st.integers(0, 400), max_size=8))
def test_a_streamed_body_is_counted(sizes: list[int]) -> None:
    """Whatever its pieces, a body up to the limit arrives whole and a longer one is a 413."""
    response = _post(content=_stream(sizes))
    assert "content-length" not in response.request.headers
    if sum(sizes) <= LIMIT:
        assert (response.status_code, response.json()) == (200, sum(sizes))
    else:
        assert response.status_code == 413


@pytest.mark.parametrize(("size", "status"), [(0, 200), (LIMIT, 200), (LIMIT + 1, 413)])
def test_a_declared_body_is_accepted_up_to_the_limit(size: int, status: int) -> None:
    """The limit itself still passes."""
    response = _post(content=b"x" * size)
    assert response.status_code == status
    if status == 413:
        assert response.headers["content-type"] == MEDIA_TYPE
        assert "1000 bytes" in response.json()["detail"]


def test_a_request_without_a_body_passes() -> None:
    """GET reads no body and waits for none."""

    async def get() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(_app()), base_url="http://shop") as client:
            return (await client.get("/length")).status_code

    assert asyncio.run(get()) == 200


def _scope(headers: list[tuple[bytes, bytes]]) -> dict:
    return {"type": "http", "method": "POST", "path": "/length", "headers": headers, "query_string": b""}


def _drive(headers: list[tuple[bytes, bytes]], messages: Iterator[dict]) -> tuple[list[dict], int]:
    """Sends ASGI messages as a server does; the answer and how many messages were asked for."""
    answer: list[dict] = []
    asked = 0

    async def receive() -> dict:
        nonlocal asked
        asked += 1
        return next(messages)

    async def send(message: dict) -> None:
        answer.append(message)

    asyncio.run(_app()(_scope(headers), receive, send))
    return answer, asked


def _endless() -> Iterator[dict]:
    while True:
        yield {"type": "http.request", "body": b"x" * 100, "more_body": True}


@pytest.mark.parametrize("length", [b"1001", b"9" * 5_000])
def test_a_declared_length_over_the_limit_is_refused_unread(length: bytes) -> None:
    """Not one byte of the body is asked for."""
    answer, asked = _drive([(b"content-length", length)], _endless())
    assert answer[0]["status"] == 413
    assert asked == 0


@pytest.mark.parametrize("length", [None, b"5", b"-1", b"many"])
def test_an_endless_body_is_cut_off_whatever_it_declares(length: bytes | None) -> None:
    """A missing, false or meaningless length does not switch the count off."""
    headers = [] if length is None else [(b"content-length", length)]
    answer, asked = _drive(headers, _endless())
    assert answer[0]["status"] == 413
    assert asked == 11


def test_a_client_that_leaves_half_way_makes_no_request() -> None:
    """Nothing is answered, and half a body is never taken for a whole one."""
    messages = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    answer, _ = _drive([], iter(messages))
    assert answer == []


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_client_past_its_burst_is_told_when_to_come_back() -> None:
    """429 with Retry-After in whole seconds; before that time refused again, at that time let in."""
    clock = Clock()
    limit = RateLimit(per_minute=30, burst=3, clock=clock)
    for _ in range(3):
        limit.check("key1", None)
    with pytest.raises(ProblemError) as refused:
        limit.check("key1", None)
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "2"})
    clock.now += 1.9
    with pytest.raises(ProblemError):
        limit.check("key1", None)
    clock.now += 0.1
    limit.check("key1", None)


def test_clients_have_buckets_of_their_own() -> None:
    """Keys, addresses, and a key that is spelled like an address do not share one."""
    limit = RateLimit(per_minute=1, burst=1, clock=Clock())
    for key_id, address in [("k1", "10.0.0.1"), ("k2", "10.0.0.1"), (None, "10.0.0.1"), ("10.0.0.1", None)]:
        limit.check(key_id, address)
    with pytest.raises(ProblemError):
        limit.check("k1", "10.0.0.9")


def test_addresses_of_one_ipv6_network_share_a_bucket() -> None:
    """A client owns a whole /64; IPv4 addresses count one by one, unknown ones as one."""
    limit = RateLimit(per_minute=1, burst=1, clock=Clock())
    limit.check(None, "2001:db8:0:1::1")
    with pytest.raises(ProblemError):
        limit.check(None, "2001:db8:0:1:ffff::2")
    limit.check(None, "2001:db8:0:2::1")
    limit.check(None, "192.0.2.1")
    limit.check(None, "192.0.2.2")
    limit.check(None, None)
    with pytest.raises(ProblemError):
        limit.check(None, None)


def test_the_number_of_buckets_is_bounded() -> None:
    """The one unused for longest goes; a busy client keeps its own."""
    limit = RateLimit(per_minute=1, burst=2, max_buckets=10, clock=Clock())
    waits = []
    for number in range(100):
        assert limit.take(f"visitor {number}") == 0
        waits.append(limit.take("busy"))
    assert len(limit) == 10
    assert waits.count(0) == 2


def test_waiting_exactly_as_told_is_enough() -> None:
    """For a thousand waits at a rate whose sums of floats fall short of a whole request."""
    clock = Clock()
    limit = RateLimit(per_minute=7, burst=1, clock=clock)
    assert limit.take("c") == 0
    for _ in range(1_000):
        wait = limit.take("c")
        assert wait > 0
        clock.now += wait
        assert limit.take("c") == 0


@given(
    per_minute=st.floats(0.1, 10_000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 120), min_size=1, max_size=60),
)
def test_no_span_lets_more_through_than_burst_and_rate(
    per_minute: float, burst: int, pauses: list[float]
) -> None:
    """Between any two accepted requests lie at most burst + rate × time; waiting as told is enough."""
    clock = Clock()
    limit = RateLimit(per_minute, burst, clock=clock)
    accepted: list[float] = []
    for pause in pauses:
        clock.now += pause
        wait = limit.take("c")
        if wait > 0:
            clock.now += wait
            assert limit.take("c") == 0
        accepted.append(clock.now)
    for first in range(len(accepted)):
        for last in range(first, len(accepted)):
            allowed = burst + (accepted[last] - accepted[first]) * per_minute / 60
            assert last - first + 1 <= allowed + 1e-5


@pytest.mark.parametrize(("per_minute", "burst"), [(0, 1), (-1, 1), (1, 0), (float("nan"), 1)])
def test_limits_that_let_nothing_through_are_refused(per_minute: float, burst: int) -> None:
    """Where it is built, not by the first request."""
    with pytest.raises(ValueError, match="above 0"):
        RateLimit(per_minute, burst)
