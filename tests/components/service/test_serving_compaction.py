"""A service whose items change all day gives the memory of what they were back, and nobody notices."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index import live_rows
from components.index.columns import Filters
from components.service.comparison import Second

TITLES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("chair", "lamp", "mug")]


@pytest.fixture
def shop(make_candidate: Callable[..., str], releases, service, monkeypatch):
    monkeypatch.setattr(live_rows, "DEAD_ROWS", 20)
    releases.promote(make_candidate(TITLES, RetrievalPlan(lexical_weight=0.5)))
    return service(socket=True)


def test_updates_without_end_leave_the_index_small_and_every_answer_right(shop) -> None:
    """Each PUT is found as it is now, while others search, and its release still says the same name."""
    release, title = shop.serving.release(), ""

    def search(_: int) -> list[int]:
        with httpx.Client(base_url=shop.url, timeout=30) as client:
            answers = [client.get("/search", params={"q": TITLES[n % 9], "k": 20}) for n in range(80)]
            return [answer.status_code for answer in answers]

    with ThreadPoolExecutor(3) as pool:
        searches = [pool.submit(search, number) for number in range(3)]
        for number in range(120):
            title = f"walnut {TITLES[number % 9]} {number % 7}"
            assert shop.put({"item_id": "x", "title": title}).status_code == 200
            assert shop.found(title, k=1) == ["x"]
        assert {status for one in searches for status in one.result()} == {200}
    serving = shop.serving.release()
    assert (serving.digest, serving.index is release.index) == (release.digest, False)
    assert len(serving.index.item_ids) <= len(TITLES) + live_rows.DEAD_ROWS + 2
    assert len(serving.index) == len(TITLES) + 1
    assert shop.serving.table.count() == len(TITLES) + 1


def test_an_answer_found_just_before_a_compaction_is_still_given(shop) -> None:
    """Its rows are those of the index that found it."""
    shop.put({"item_id": "x", "title": "walnut desk"})
    found = shop.serving.search(Request("q", text="walnut desk"), 3, Filters()).result()
    for number in range(30):
        shop.put({"item_id": "x", "title": f"oak {number}"}, {"item_id": f"n{number}", "title": "lamp"})
    assert shop.serving.release().index is not found.index
    shown = shop.serving.release_of(found.index)
    assert shown.digest == shop.serving.release().digest
    assert found.index.item(found.rows[0])["title"] == "walnut desk"


def test_the_release_beside_it_gives_memory_back_as_well(shop) -> None:
    second = Second(shop.serving.load(shop.serving.release().digest), shop.serving.table)
    for number in range(40):
        shop.put({"item_id": "x", "title": f"walnut {number}"})
        found = second.search(Request("q", text=f"walnut {number}"), 1, Filters())
        assert found.index.item(found.rows[0])["title"] == f"walnut {number}"
    assert len(second.release.index.item_ids) <= len(TITLES) + live_rows.DEAD_ROWS + 2
