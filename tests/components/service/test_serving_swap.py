"""Changing the champion, forwards and back, loses no item and no request; every answer says whose it is."""

import gc
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from components.contract.errors import StorageError
from components.contract.live import LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index.columns import Filters
from components.index.items_table import ItemsTable
from components.service import serving

THINGS = ("chair", "table", "lamp", "mug", "towel", "hammer", "drill", "bracket")
PLANS = {"a": RetrievalPlan(), "b": RetrievalPlan(lexical_weight=0.5)}


def _rows(name: str) -> list[dict[str, str]]:
    """A catalogue whose ids tell which release they belong to; the titles are in both."""
    titles = [f"{colour} {thing}" for colour in ("red", "blue") for thing in THINGS]
    return [{"item_id": f"{name}{n:02}", "title": title} for n, title in enumerate(titles)]


@pytest.fixture
def two(make_candidate: Callable[..., str]) -> dict[str, str]:
    """Two releases with other catalogues, plans, and encoders whose vectors do not fit each other's."""
    return {
        "a": make_candidate(_rows("a"), PLANS["a"]),
        "b": make_candidate(_rows("b"), PLANS["b"], pooling="cls"),
    }


@pytest.fixture
def eight_bit(make_candidate: Callable[..., str]) -> str:
    return make_candidate(_rows("q"), RetrievalPlan(inference="onnx-int8"))


def _serves(shop, digest: str) -> bool:
    return shop.client.get("/healthz").json()["release"] == digest


def _check_exact(shop, item_id: str, title: str, plan: RetrievalPlan) -> None:
    """The item is first for its own title, with the full score of vectors that fit the query's."""
    answer = shop.client.get("/search", params={"q": title, "k": 1, "debug": True}).json()
    assert answer["results"][0]["item_id"] == item_id
    parts = answer["debug"]["parts"][item_id]
    assert parts["cosine"] == pytest.approx(1, abs=1e-5)
    assert parts["score"] == pytest.approx(parts["cosine"] + plan.lexical_weight * parts["lexical"])
    assert answer["results"][0]["score"] == pytest.approx(parts["score"], abs=1e-5)
    assert answer["debug"]["plan"] == plan.model_dump(mode="json")


def test_what_was_listed_before_a_swap_and_a_rollback_is_found_after_it(
    two, releases, service, until
) -> None:
    """Items that were PUT, replaced or deleted a moment before, by vectors of the release that serves."""
    releases.promote(two["a"])
    shop = service()
    shop.put({"item_id": "x", "title": "oak garden angle"}, {"item_id": "y", "title": "oak glass"})
    shop.put({"item_id": "b03", "title": "solid steel"})
    shop.delete("y", "b04")
    releases.promote(two["b"])
    until(lambda: _serves(shop, two["b"]))
    _check_exact(shop, "x", "oak garden angle", PLANS["b"])
    _check_exact(shop, "b03", "solid steel", PLANS["b"])
    assert not {"y", "b04"} & set(shop.found("oak glass", k=100))
    shop.put({"item_id": "z", "title": "small kitchen drill"})
    shop.delete("x")
    releases.roll_back(to=two["a"], reason="tests", actor="tests")
    until(lambda: _serves(shop, two["a"]))
    _check_exact(shop, "z", "small kitchen drill", PLANS["a"])
    _check_exact(shop, "b03", "solid steel", PLANS["a"])
    assert not {"x", "y"} & set(shop.found("oak garden angle", k=100))


def test_a_swap_to_the_quantised_path_and_back(two, eight_bit, releases, service, until) -> None:
    """From torch to ONNX Runtime in 8 bits: what was PUT before is found first in both."""
    releases.promote(eight_bit)
    shop = service()
    shop.put({"item_id": "x", "title": "oak garden angle"})
    _check_exact(shop, "x", "oak garden angle", RetrievalPlan(inference="onnx-int8"))
    releases.promote(two["a"])
    until(lambda: _serves(shop, two["a"]))
    _check_exact(shop, "x", "oak garden angle", PLANS["a"])
    releases.roll_back(to=None, reason="tests", actor="tests")
    until(lambda: _serves(shop, eight_bit))
    _check_exact(shop, "x", "oak garden angle", RetrievalPlan(inference="onnx-int8"))


class _Interrupted(ItemsTable):
    """Runs `between` each time after the changes were read, before they are used."""

    def changes_since(self, seq: int):
        found = super().changes_since(seq)
        self.between(found)
        return found

    def between(self, found) -> None: ...


@pytest.mark.parametrize("moment", ["before reading files", "after reading changes", "at the switch"])
def test_what_changes_while_a_release_is_loaded_holds(
    two, releases, service, tmp_path, until, moment
) -> None:
    """A PUT, a replacement and a DELETE that return while the new release is loaded, whenever that is."""
    releases.promote(two["a"])
    table = _Interrupted.open(str(tmp_path / "live"))
    shop = service(table=table)
    shop.put({"item_id": "y", "title": "oak glass"}, {"item_id": "w", "title": "soft oak"})
    returned = []

    def change() -> None:
        returned.append(shop.put({"item_id": "x", "title": "oak garden angle"}).is_success)
        returned.append(shop.put({"item_id": "w", "title": "large outdoor lamp"}).is_success)
        returned.append(shop.delete("y", "b05").is_success)

    changing = threading.Thread(target=change)

    def between(_) -> None:
        thread = threading.current_thread().name
        wanted = {"after reading changes": "champion", "at the switch": "index"}.get(moment)
        if thread == wanted and not changing.ident:
            changing.start()
            changing.join(1.0 if thread == "index" else 10.0)  # in the index thread it may wait for us

    def while_loading(digest: str) -> None:
        if moment == "before reading files":
            changing.start()
            changing.join(10.0)

    table.between, releases.while_loading = between, while_loading
    releases.promote(two["b"])
    until(lambda: _serves(shop, two["b"]))
    changing.join()
    assert returned == [True, True, True]
    _check_exact(shop, "x", "oak garden angle", PLANS["b"])
    _check_exact(shop, "w", "large outdoor lamp", PLANS["b"])
    assert not {"y", "b05"} & set(shop.found("oak glass", k=100))


def test_searches_and_changes_go_on_while_a_release_is_loaded(two, releases, service, until) -> None:
    """Loading takes two seconds here: meanwhile the old release answers, what is PUT is found, and what
    another replica PUTs is found too."""
    releases.promote(two["a"])
    shop, other = service(), service()
    loading, go_on = threading.Event(), threading.Event()

    def while_loading(digest: str) -> None:
        loading.set()
        go_on.wait(20)

    releases.while_loading = while_loading
    releases.promote(two["b"])
    assert loading.wait(5)
    try:
        assert shop.found("red chair", k=1) == ["a00"]
        shop.put({"item_id": "x", "title": "oak garden angle"})
        assert shop.found("oak garden angle", k=1) == ["x"]
        other.put({"item_id": "y", "title": "soft oak"})
        until(lambda: shop.found("soft oak", k=1) == ["y"], 5)
        shop.delete("x")
        assert "x" not in shop.found("oak garden angle", k=100)
    finally:
        go_on.set()
    until(lambda: _serves(shop, two["b"]))
    _check_exact(shop, "y", "soft oak", PLANS["b"])
    assert "x" not in shop.found("oak garden angle", k=100)


def test_no_request_fails_while_the_champion_changes(two, eight_bit, releases, service, until) -> None:
    """Six threads search, list, ask for similar items and PUT while the champion changes five times: every
    answer names one release, in the header too, and all its items are that release's; every PUT is found."""
    names = {two["a"]: "a", two["b"]: "b", eight_bit: "q"}
    releases.promote(two["a"])
    shop = service(socket=True)
    stop, failures = threading.Event(), []
    seen: dict[str, int] = dict.fromkeys(names, 0)

    def checked(answer: httpx.Response) -> list[str]:
        body = answer.json()
        ids = [hit["item_id"] for hit in body.get("results", ())]
        alien = {one[0] for one in ids} - {names.get(body.get("release")), "x"}
        if answer.status_code != 200 or answer.headers["X-Debut-Release"] != body["release"] or alien:
            failures.append((answer.status_code, dict(answer.headers), body))
        else:
            seen[body["release"]] += 1
        return ids

    def search(client: httpx.Client, n: int) -> None:
        title = f"red {THINGS[n % 8]}"
        ids = checked(client.get("/search", params={"q": title, "k": 5, "debug": n % 3 == 0}))
        if not ids or ids[0][1:] != f"{n % 8:02}":
            failures.append((title, ids))

    def recommend(client: httpx.Client, n: int) -> None:
        past = [f"{name}{n % 16:02}" for name in "abq"]
        if len(checked(client.post("/recommend", json={"history": past, "k": 4}))) != 4:
            failures.append(("recommend", past))

    def put(client: httpx.Client, n: int) -> None:
        item = {"item_id": f"x{n}", "title": f"oak glass {chr(97 + n % 26)}{chr(97 + n // 26 % 26)}q"}
        if not shop.put(item, client=client).is_success:
            failures.append(("put", item))
        if item["item_id"] not in checked(client.get("/search", params={"q": item["title"], "k": 3})):
            failures.append(("not found", item))

    def run(act: Callable[[httpx.Client, int], None]) -> None:
        with httpx.Client(base_url=shop.url, timeout=30) as client:
            for n in itertools.count():
                if stop.is_set():
                    return
                act(client, n)

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(run, act) for act in (search, search, search, recommend, recommend, put)]
        try:
            for digest in (two["b"], eight_bit, two["a"], two["b"], two["a"]):
                time.sleep(0.3)
                releases.promote(digest)
                until(lambda digest=digest: shop.serving.release().digest == digest, 20)
            time.sleep(0.3)
        finally:
            stop.set()
        for one in running:
            one.result()
    assert failures == []
    assert min(seen.values()) > 5
    counted = shop.client.get("/metrics").text
    assert "debut_swaps_total 6.0" in counted
    assert f'debut_release_info{{digest="{two["a"]}"}} 1.0' in counted


def test_an_answer_that_a_swap_overtakes_is_still_given(
    two, eight_bit, releases, service, until, monkeypatch
) -> None:
    """Found by one release, written after two others came: it is the first one's, whole, and says so."""
    releases.promote(two["a"])
    shop = service()
    found = shop.serving.search(Request("q", text="red chair"), 5, Filters())
    found.result(10)
    for digest in (two["b"], eight_bit):
        releases.promote(digest)
        until(lambda digest=digest: _serves(shop, digest))
    monkeypatch.setattr(shop.serving, "search", lambda *_: found)
    answer = shop.client.get("/search", params={"q": "red chair", "k": 5, "debug": True})
    assert answer.headers["X-Debut-Release"] == answer.json()["release"] == two["a"]
    assert [hit["item_id"][0] for hit in answer.json()["results"]] == ["a"] * 5
    assert answer.json()["debug"]["plan"] == PLANS["a"].model_dump(mode="json")
    assert shop.traffic()["release"].to_list() == [two["a"]]


def test_the_old_release_is_given_back(two, releases, service, until, monkeypatch) -> None:
    """After a while its memory is free."""
    monkeypatch.setattr(serving, "KEPT_SECONDS", 0.1)
    releases.promote(two["a"])
    shop = service()
    old = weakref.ref(shop.serving.release().index)
    assert shop.found("red chair", k=1) == ["a00"]
    releases.promote(two["b"])
    until(lambda: _serves(shop, two["b"]))
    until(lambda: gc.collect() is not None and old() is None)


def test_the_live_table_holds_the_snapshot_of_the_release(two, releases, service, tmp_path, until) -> None:
    """Also where writing it failed at first; /healthz says so meanwhile."""

    class Full(ItemsTable):
        tries = 0

        def seed(self, snapshot):
            Full.tries += 1
            if Full.tries == 2:
                raise StorageError("live: No space left on device.")
            return super().seed(snapshot)

    releases.promote(two["a"])
    table = Full.open(str(tmp_path / "live"))
    shop = service(table=table, poll_seconds=0.3)
    table.upsert([LiveItem(item_id="x", title="oak")])
    assert table.count() == 17
    releases.promote(two["b"])
    until(lambda: shop.client.get("/healthz").json()["problem"] == "live: No space left on device.")
    assert shop.found("red chair", k=1) == ["b00"]
    until(lambda: shop.client.get("/healthz").json()["status"] == "ok")
    assert (table.get("a00"), table.get("b00").item.title, table.count()) == (None, "red chair", 17)
