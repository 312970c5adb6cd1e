"""Searches that wait together are answered together, and no request ends the thread."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from components.contract.ports import Encoder, Request, Vectors
from components.index.columns import Filters
from components.index.live import LiveIndex
from components.index.retrieval import open_candidate
from components.service.index_thread import IndexThread

THINGS = ("chair", "table", "lamp", "mug", "towel", "hammer", "drill", "bracket")
TITLES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in THINGS]


class Watched(Encoder):
    """The real encoder; notes what it is asked and fails on a word."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.asked: list[list[str]] = []
        self.refused = ""

    @property
    def digest(self) -> str:
        return self.encoder.digest

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.asked.append(list(texts))
        if self.refused in texts:
            raise RuntimeError("the encoder broke")
        return self.encoder.encode_queries(texts)

    def encode_items(self, texts: Sequence[str]) -> Vectors:
        return self.encoder.encode_items(texts)


@pytest.fixture(scope="module")
def opened(make_candidate: Callable[..., str], candidates: Path) -> LiveIndex:
    return open_candidate(candidates / make_candidate(TITLES), "tests")


@pytest.fixture
def index(opened: LiveIndex) -> Iterator[LiveIndex]:
    real, opened.encoder = opened.encoder, Watched(opened.encoder)
    yield opened
    opened.encoder = real


@pytest.fixture
def batches() -> list[int]:
    return []


@pytest.fixture
def make_thread(index: LiveIndex, batches: list[int]) -> Iterator[Callable[..., IndexThread]]:
    made: list[IndexThread] = []

    def make(max_batch: int = 32, serves: Callable[[], LiveIndex] = lambda: index) -> IndexThread:
        made.append(IndexThread(serves, max_batch, batches.append))
        return made[-1]

    yield make
    for one in made:
        one.close()


def _search(thread: IndexThread, text: str, k: int = 3, **filters: Any) -> "Future[Any]":
    return thread.search(Request(text, text=text), k, Filters(**filters))


def _ids(index: LiveIndex, future: "Future[Any]") -> list[str]:
    return [index.item_ids[row] for row in future.result(10).rows]


def _held(thread: IndexThread) -> threading.Event:
    """Keeps the thread busy until the event is set."""
    event = threading.Event()
    thread.run(lambda: event.wait(10))
    return event


@pytest.mark.parametrize(("max_batch", "sizes"), [(32, [24]), (10, [10, 10, 4]), (1, [1] * 24)])
def test_searches_that_wait_are_answered_together(
    make_thread: Callable[..., IndexThread],
    index: LiveIndex,
    batches: list[int],
    max_batch: int,
    sizes: list[int],
) -> None:
    """In batches up to the limit; each request gets its own answer, of its own length."""
    thread = make_thread(max_batch)
    go = _held(thread)
    futures = [_search(thread, title, k=1 + n % 5) for n, title in enumerate(TITLES)]
    go.set()
    answers = [_ids(index, future) for future in futures]
    assert [answer[0] for answer in answers] == [str(100 + n) for n in range(len(TITLES))]
    assert [len(answer) for answer in answers] == [1 + n % 5 for n in range(len(TITLES))]
    assert batches == sizes
    assert [len(asked) for asked in index.encoder.asked] == sizes


def test_a_batch_gives_the_answers_that_single_searches_give(
    make_thread: Callable[..., IndexThread], index: LiveIndex
) -> None:
    """Rows and scores are the same, with a mask per request."""
    thread = make_thread()
    single = [_search(thread, title, k=5, in_stock=n % 2 == 0).result(10) for n, title in enumerate(TITLES)]
    go = _held(thread)
    futures = [_search(thread, title, k=5, in_stock=n % 2 == 0) for n, title in enumerate(TITLES)]
    go.set()
    together = [future.result(10) for future in futures]
    assert [one.rows for one in together] == [one.rows for one in single]
    assert [one.scores for one in together] == [one.scores for one in single]
    assert [bool(one.rows) for one in together] == [n % 2 == 0 for n in range(len(TITLES))]


def test_acts_keep_their_place_among_searches(
    make_thread: Callable[..., IndexThread], index: LiveIndex
) -> None:
    """What was asked before an act is answered before it, what was asked after it afterwards."""
    thread = make_thread()
    go = _held(thread)
    order: list[str] = []
    for name in ("a", "b", "c"):
        _search(thread, TITLES[0]).add_done_callback(lambda _, name=name: order.append(f"search {name}"))
        last = thread.run(lambda name=name: order.append(f"act {name}"))
    go.set()
    last.result(10)
    assert order == ["search a", "act a", "search b", "act b", "search c", "act c"]


def test_a_failing_encode_fails_its_own_batch(
    make_thread: Callable[..., IndexThread], index: LiveIndex
) -> None:
    """Each request of it gets the error; the batches before and after it are answered."""
    thread = make_thread()
    index.encoder.refused = TITLES[1]
    before = _search(thread, TITLES[5])
    assert _ids(index, before)[0] == "105"
    go = _held(thread)
    failing = [_search(thread, title) for title in TITLES[:4]]
    go.set()
    for future in failing:
        with pytest.raises(RuntimeError, match="the encoder broke"):
            future.result(10)
    assert _ids(index, _search(thread, TITLES[2]))[0] == "102"


def test_a_failing_act_fails_alone(make_thread: Callable[..., IndexThread], index: LiveIndex) -> None:
    """Its caller gets the error; the thread goes on."""
    thread = make_thread()
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda: 1 / 0).result(10)
    assert _ids(index, _search(thread, TITLES[3]))[0] == "103"


def test_a_request_that_gave_up_does_no_harm(
    make_thread: Callable[..., IndexThread], index: LiveIndex, batches: list[int]
) -> None:
    """A future that was cancelled while it waited – a search's or an act's – is passed over."""
    thread = make_thread()
    go = _held(thread)
    ran: list[str] = []
    futures = [_search(thread, title) for title in TITLES[:3]]
    assert futures[1].cancel()
    assert thread.run(lambda: ran.append("cancelled")).cancel()
    go.set()
    assert [_ids(index, futures[n])[0] for n in (0, 2)] == ["100", "102"]
    assert _ids(index, _search(thread, TITLES[4]))[0] == "104"
    assert batches == [2, 1]
    assert ran == []


def test_without_a_release_each_search_gets_the_error(make_thread: Callable[..., IndexThread]) -> None:
    """It is asked for anew each time, so that the first release serves at once."""

    def none() -> LiveIndex:
        raise LookupError("no release")

    thread = make_thread(serves=none)
    for _ in range(2):
        with pytest.raises(LookupError, match="no release"):
            _search(thread, "red").result(10)


def test_the_end_comes_after_what_waits(index: LiveIndex, batches: list[int]) -> None:
    """Searches that wait when the thread is closed are answered."""
    thread = IndexThread(lambda: index, 32, batches.append)
    go = _held(thread)
    futures = [_search(thread, title) for title in TITLES[:3]]
    threading.Timer(0.05, go.set).start()
    thread.close()
    assert [_ids(index, future)[0] for future in futures] == ["100", "101", "102"]
