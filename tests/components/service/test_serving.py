"""What was PUT is found at once, here and soon on other replicas; what was deleted is not."""

import random
import string
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from components.contract.errors import StorageError
from components.contract.live import LiveItem
from components.contract.records import RetrievalPlan
from components.index.items_table import ItemsTable
from components.index.live import LiveIndex
from components.service import serving

TITLES = [
    f"{colour} {thing}"
    for colour in ("red", "blue", "green", "steel")
    for thing in ("chair", "lamp", "mug", "towel")
]


def _word(number: int | str) -> str:
    """A made-up word per number; the tests' tokenizer cuts it into letters."""
    return "".join(random.Random(number).choices(string.ascii_lowercase, k=7))


@pytest.fixture
def champion(make_candidate: Callable[..., str], releases) -> str:
    digest = make_candidate(TITLES, RetrievalPlan(lexical_weight=0.5))
    releases.promote(digest)
    return digest


@contextmanager
def searching(url: str, threads: int):
    """Threads that search all the time; afterwards none of their requests failed."""
    stop, failed, answered = threading.Event(), [], [0] * threads

    def search(number: int) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not stop.is_set():
                answer = client.get(
                    "/search", params={"q": f"{TITLES[answered[number] % len(TITLES)]} {number}"}
                )
                answered[number] += 1
                if answer.status_code != 200:
                    failed.append(answer.text)

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(search, number) for number in range(threads)]
        try:
            yield
        finally:
            stop.set()
        for one in running:
            one.result()
    assert failed == []
    assert min(answered) > 5


def test_what_was_put_is_found_under_load(champion, service) -> None:
    """While eight threads search: each item first by its own title after its PUT, also one that replaces
    another, and no more after its DELETE."""
    shop = service(socket=True)
    with searching(shop.url, 8):
        for number in range(12):
            title = f"oak {_word(number)}"
            assert shop.put({"item_id": f"n{number}", "title": title}).json()["searchable"] is True
            assert shop.found(title)[0] == f"n{number}"
        for number in range(4):
            assert shop.put({"item_id": f"n{number}", "title": f"glass {_word(100 + number)}"}).is_success
            assert shop.found(f"glass {_word(100 + number)}", k=1) == [f"n{number}"]
            hits = shop.client.get("/search", params={"q": f"oak {_word(number)}", "k": 100}).json()[
                "results"
            ]
            assert [hit["title"] for hit in hits if hit["item_id"] == f"n{number}"] == [
                f"glass {_word(100 + number)}"
            ]
            assert shop.delete(f"n{number}").json()["items"] == 1
            assert f"n{number}" not in shop.found(f"glass {_word(100 + number)}", k=100)
        bulk = [{"item_id": f"b{n}", "title": f"steel {_word(1_000 + n)}"} for n in range(1_000)]
        answer = shop.put(*bulk)
        assert (answer.status_code, answer.json()["items"]) == (200, 1_000)
        for n in (0, 1, 499, 500, 998, 999):
            assert shop.found(f"steel {_word(1_000 + n)}", k=1) == [f"b{n}"]


def test_concurrent_writers_each_find_their_own(champion, service) -> None:
    """Six clients PUT, search and delete at the same time; the index ends with what they left."""
    shop = service(socket=True)

    def write(name: str) -> None:
        with httpx.Client(base_url=shop.url, timeout=30) as client:
            for number in range(6):
                item_id, title = f"{name}-{number}", f"cotton {_word(f'{name}{number}')}"
                assert shop.put({"item_id": item_id, "title": title}, client=client).is_success
                found = client.get("/search", params={"q": title, "k": 1}).json()["results"]
                assert [hit["item_id"] for hit in found] == [item_id]
                if number % 2:
                    gone = client.delete("/items", params={"item_id": item_id}, headers=shop.keys["write"])
                    assert gone.is_success
                    found = client.get("/search", params={"q": title, "k": 100}).json()["results"]
                    assert item_id not in [hit["item_id"] for hit in found]

    with ThreadPoolExecutor(6) as pool:
        for one in [pool.submit(write, name) for name in "abcdef"]:
            one.result()
    assert shop.client.get("/release").json()["items"] == len(TITLES) + 18


def test_items_of_the_snapshot_can_be_replaced_deleted_and_put_again(champion, service) -> None:
    """A PUT wins over the release's own row; a deleted one comes back with its next PUT."""
    shop = service()
    assert shop.found("red chair", k=1) == ["100"]
    shop.put({"item_id": "100", "title": "soft garden bracket", "price": 3.5})
    assert shop.found("soft garden bracket", k=1) == ["100"]
    assert shop.found("red chair", max_price=4) == ["100"]
    assert shop.delete("100", "101").json() == {
        "seq": shop.serving.table.head(),
        "items": 2,
        "searchable": True,
        "found": 2,
    }
    assert shop.delete("100", "nobody", "102", "nobody").json()["found"] == 1
    assert not {"100", "101"} & set(shop.found("soft garden bracket", k=100))
    shop.put({"item_id": "101", "title": "red lamp"})
    assert shop.found("red lamp", k=1) == ["101"]
    assert "100" not in shop.found("red chair", k=100)


def test_of_an_item_given_twice_in_one_bulk_the_last_holds(champion, service) -> None:
    """In this replica and in the durable table."""
    shop = service()
    answer = shop.put({"item_id": "x", "title": "oak mug"}, {"item_id": "x", "title": "glass hammer"})
    assert answer.json()["items"] == 1
    hits = shop.client.get("/search", params={"q": "glass hammer", "k": 1}).json()["results"]
    assert [(hit["item_id"], hit["title"]) for hit in hits] == [("x", "glass hammer")]
    assert shop.serving.table.get("x").item.title == "glass hammer"


def test_items_can_be_deleted_by_path_and_by_a_list(champion, service) -> None:
    """One by its address, also with slashes in its id; many long ids, which no address holds, in a body."""
    shop = service()
    write = shop.keys["write"]
    ids = [f"{n:04}" + "x" * 196 for n in range(1_000)]
    shop.put({"item_id": "a/b c", "title": "oak mug"}, *({"item_id": i, "title": "oak"} for i in ids[:999]))
    assert shop.client.delete("/items/a%2Fb%20c", headers=write).json()["items"] == 1
    assert shop.client.delete("/items/100", headers=write).json()["items"] == 1
    assert not {"a/b c", "100"} & set(shop.found("oak mug", k=100))
    answer = shop.client.post("/items/delete", json=ids, headers=write)
    assert (answer.status_code, answer.json()["items"]) == (200, 1_000)
    assert shop.client.get("/release").json()["items"] == len(TITLES) - 1
    for refused in (shop.client.delete("/items/101"), shop.client.post("/items/delete", json=["101"])):
        assert refused.status_code == 401


def test_deleting_what_nobody_knows_is_no_error(champion, service) -> None:
    """200; nothing else changes."""
    shop = service()
    before = shop.client.get("/release").json()["items"]
    assert shop.delete("no such item", "no such item", "nor this").json()["items"] == 2
    assert shop.client.get("/release").json()["items"] == before


def test_a_second_replica_finds_it_too(champion, service, until) -> None:
    """Within five seconds: what was PUT, replaced and deleted elsewhere, with the default polling."""
    here, there = service(poll_seconds=1.0), service(poll_seconds=1.0)
    here.put({"item_id": "x", "title": f"oak {_word(1)}"}, {"item_id": "y", "title": f"oak {_word(2)}"})
    until(lambda: there.found(f"oak {_word(1)}", k=1) == ["x"], 5)
    here.put({"item_id": "x", "title": f"glass {_word(3)}"})
    there.delete("y")
    until(lambda: there.found(f"glass {_word(3)}", k=1) == ["x"], 5)
    until(lambda: "y" not in here.found(f"oak {_word(2)}", k=100), 5)


def test_a_busy_replica_misses_nothing_because_of_a_put_of_its_own(
    champion, service, tmp_path, monkeypatch, until
) -> None:
    """While it encodes another's changes, the other goes on to PUT and DELETE, then it takes a PUT itself,
    later than the overlap of two polls."""
    monkeypatch.setattr(serving, "OVERLAP_NANOSECONDS", 2 * 10**8)
    busy, go_on, encode = threading.Event(), threading.Event(), LiveIndex.encode

    def held(index, changes):
        if any(change.item_id == "bulk" for change in changes):
            busy.set()
            assert go_on.wait(30)
        return encode(index, changes)

    monkeypatch.setattr(LiveIndex, "encode", held)
    here, there = service(), ItemsTable.open(str(tmp_path / "serving" / "live"))
    there.upsert([LiveItem(item_id="bulk", title="oak mug")])
    try:
        assert busy.wait(10)
        there.upsert([LiveItem(item_id="theirs", title=f"oak {_word(1)}")])
        there.delete(["100"])
        time.sleep(0.3)
        here.put({"item_id": "ours", "title": f"oak {_word(2)}"})
    finally:
        go_on.set()
    until(lambda: here.found(f"oak {_word(1)}", k=1) == ["theirs"])
    assert here.found(f"oak {_word(2)}", k=1) == ["ours"]
    until(lambda: "100" not in here.found("red chair", k=100))


def test_a_restarted_service_finds_it_again(champion, service) -> None:
    """The table holds what was PUT and deleted; a new process reads it when it starts."""
    before = service()
    before.put({"item_id": "x", "title": f"oak {_word(1)}"})
    before.delete("100")
    after = service()
    assert after.found(f"oak {_word(1)}", k=1) == ["x"]
    assert "100" not in after.found("red chair", k=100)


def test_what_is_put_before_the_first_champion_is_kept(make_candidate, releases, service, until) -> None:
    """The answer says that it cannot be found yet; it can as soon as there is a champion."""
    shop = service()
    assert shop.put({"item_id": "x", "title": f"oak {_word(1)}"}).json()["searchable"] is False
    assert shop.delete("nobody").json()["found"] is None
    assert shop.client.get("/search", params={"q": "oak"}).status_code == 503
    releases.promote(make_candidate(TITLES))
    until(shop.serving.serves)
    assert shop.found(f"oak {_word(1)}", k=1) == ["x"]


def test_a_put_during_the_first_switch_is_found(make_candidate, releases, service, tmp_path, until) -> None:
    """One that reaches the table just after the switch has read it, and that no poll brings in."""
    shop = None

    class Table(ItemsTable):
        def changes_since(self, seq: int):
            found = super().changes_since(seq)
            if threading.current_thread().name == "index":
                putting.start()
                putting.join(0.5)  # by then it has returned, or waits for this thread
            return found

    def put() -> None:
        assert shop.put({"item_id": "x", "title": f"oak {_word(1)}"}).is_success

    putting = threading.Thread(target=put)
    shop = service(table=Table.open(str(tmp_path / "live")), poll_seconds=60)
    releases.promote(make_candidate(TITLES))
    shop.serving.refresh()
    putting.join()
    assert shop.found(f"oak {_word(1)}", k=1) == ["x"]


def test_a_failing_disk_is_an_error_and_nothing_is_half_done(champion, service, tmp_path) -> None:
    """503; the item is not found, because it would be lost at the next start."""

    class Full(ItemsTable):
        def upsert(self, items):
            raise StorageError("live: No space left on device. Free space, then run again.")

    shop = service(table=Full.open(str(tmp_path / "live")))
    answer = shop.put({"item_id": "x", "title": f"oak {_word(1)}"})
    assert (answer.status_code, answer.json()["detail"][:14]) == (503, "live: No space")
    assert "x" not in shop.found(f"oak {_word(1)}", k=100)


def test_unreadable_changes_leave_the_rest_serving(champion, service, tmp_path, until) -> None:
    """Searches go on; /healthz says why, until the table can be read again."""

    class Flaky(ItemsTable):
        broken = False

        def changes_since(self, seq: int):
            if self.broken:
                raise StorageError("live: cannot be read.")
            return super().changes_since(seq)

    table = Flaky.open(str(tmp_path / "live"))
    shop = service(table=table)
    table.broken = True
    until(lambda: shop.client.get("/healthz").json()["problem"] == "live: cannot be read.")
    assert shop.found("red chair", k=1) == ["100"]
    table.upsert([LiveItem(item_id="x", title=f"oak {_word(1)}")])
    table.broken = False
    until(lambda: shop.found(f"oak {_word(1)}", k=1) == ["x"])
    until(lambda: shop.client.get("/healthz").json()["status"] == "ok")


def test_the_table_is_compacted_every_so_many_writes(champion, service, tmp_path, until) -> None:
    """Once at the start, for the release's own items, and then by the count of writes."""
    compacted = []

    class Counted(ItemsTable):
        def maintain(self) -> None:
            compacted.append(1)
            super().maintain()

    shop = service(table=Counted.open(str(tmp_path / "live")), maintain_every=4)
    assert len(compacted) == 1
    for number in range(8):
        shop.put({"item_id": f"n{number}", "title": "oak mug"})
    until(lambda: len(compacted) == 3)
