"""Estimates of new-item recall on invented traffic whose true recall is known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.ports import Ranking, Request
from components.contract.serving import ExplorationSettings
from components.monitoring.drift_report import OnlineRecall
from components.monitoring.online import explored_recall, outside_recall
from tests.components.monitoring.conftest import write_traffic

START = datetime(2026, 1, 5)
END = START + timedelta(days=1)
SHARE, CANDIDATES, K = 0.3, 20, 5
OWN_RELEVANT, DRAWN_RELEVANT = 0.30, 0.05
TRUTH = OWN_RELEVANT / (OWN_RELEVANT + CANDIDATES * DRAWN_RELEVANT)
NEW = [f"new{number}" for number in range(CANDIDATES + 1)]


def request(number: int, items: list[str], drawn: bool) -> dict[str, Any]:
    return {
        "request_id": f"r{number}",
        "at": (START + timedelta(seconds=number)).replace(tzinfo=UTC),
        "entrance": "search",
        "release": "a" * 64 if number % 2 else "b" * 64,
        "item_ids": items,
        "scores": [1.0] * len(items),
        "exploration_positions": [K] if drawn else [],
        "exploration_propensities": [SHARE / CANDIDATES] if drawn else [],
        "zero_result": False,
    }


def traffic(folder: Path, count: int, seed: int = 0) -> Path:
    """Answers whose last place holds the ranking's own new item or a drawn one; a shopper acts on each with
    its chance. Clicks on the first place, of the ranking's choice, are frequent and must not count."""
    rng = np.random.default_rng(seed)
    requests, acts = [], []
    for number in range(count):
        drawn = bool(rng.random() < SHARE)
        last = NEW[1 + int(rng.integers(CANDIDATES))] if drawn else NEW[0]
        requests.append(request(number, ["new99", "old1", "old2", "old3", last], drawn))
        if rng.random() < (DRAWN_RELEVANT if drawn else OWN_RELEVANT):
            acts += [act(number, last, "search_click"), act(number, last, "purchase")]
        if rng.random() < 0.5:
            acts.append(act(number, "new99", "search_click"))
    return write_traffic(folder, requests, acts)


def act(number: int, item: str, kind: str) -> dict[str, Any]:
    at = (START + timedelta(seconds=number, milliseconds=500)).replace(tzinfo=UTC)
    return {"request_id": f"r{number}", "at": at, "kind": kind, "item_id": item, "joined": True}


def explored(folder: Path, **more: Any) -> OnlineRecall:
    settings = ExplorationSettings(share=SHARE)
    return explored_recall(folder, {*NEW, "new99"}, START, END, settings, **more)


def test_exploration_recovers_the_known_recall(tmp_path: Path) -> None:
    """Within the interval, which is narrow; weights of 1 would give 0.93 in place of 0.23."""
    found = explored(traffic(tmp_path / "log", 20_000))
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < TRUTH < found.high
    assert found.high - found.low < 0.1
    assert found.value == pytest.approx(TRUTH, abs=0.03)


def test_intervals_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    """At least 33 of 40 at 95 %: fewer have a chance under 1 in 1,000."""
    held = 0
    for seed in range(40):
        found = explored(traffic(tmp_path / f"log{seed}", 3_000, seed))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= TRUTH <= found.high
    assert held >= 33


def test_only_answers_of_the_asked_release_count(tmp_path: Path) -> None:
    log = traffic(tmp_path / "log", 4_000)
    parts = [explored(log, release=letter * 64).acts for letter in "ab"]
    assert sum(parts) == explored(log).acts
    assert min(parts) > 0
    assert explored(log, release="c" * 64).value is None


def test_too_few_acts_and_no_exploration_say_so(tmp_path: Path) -> None:
    few = explored(traffic(tmp_path / "few", 20))
    assert few.value is None
    assert few.reason is not None
    assert "fewer than 20" in few.reason
    rows = [request(number, ["old1"], drawn=False) for number in range(50)]
    none = explored(write_traffic(tmp_path / "none", rows))
    assert none.value is None
    assert "serving.exploration.share" in str(none.reason)


def test_acts_on_items_that_are_not_drawn_from_count_on_neither_side(tmp_path: Path) -> None:
    """An item that is new by its date, but that the service never draws, would only ever be found."""
    log = traffic(tmp_path / "log", 4_000)
    settings = ExplorationSettings(share=SHARE)
    all_of_them = explored_recall(log, NEW, START, END, settings)
    drawn_only = explored_recall(log, NEW[1:], START, END, settings)
    assert all_of_them.value is not None and all_of_them.value > 0.1
    assert drawn_only.value == 0.0


def test_without_acts_on_drawn_items_there_is_no_estimate(tmp_path: Path) -> None:
    """However many there are on the ranking's own: else it would be 1, with an interval of no width."""
    rows = [request(n, ["old1", "old2", "old3", "old4", NEW[n % 3 == 0]], n % 3 == 0) for n in range(200)]
    log = write_traffic(tmp_path / "log", rows, [act(n, NEW[0], "purchase") for n in range(200)])
    found = explored(log)
    assert (found.value, "drawn items" in str(found.reason)) == (None, True)


def test_where_every_answer_is_drawn_nothing_can_be_compared(tmp_path: Path) -> None:
    """The few answers without an item to draw would weigh for ever so many."""
    found = explored_recall(traffic(tmp_path, 4_000), NEW, START, END, ExplorationSettings(share=1.0))
    assert found.value is None and "below 1" in str(found.reason)


class TopItems:
    """Recommends the same five items to everybody, but none that was bought."""

    name = "top"
    item_ids = tuple(f"i{number}" for number in range(20))

    def search(self, requests, k, among=None) -> Ranking:
        rows = [[n for n in range(k + 1) if f"i{n}" not in request.exclude][:k] for request in requests]
        return Ranking(np.asarray(rows), np.ones((len(requests), k), np.float32))


def purchase(user: int, item: str, at: datetime, **more: str) -> dict[str, Any]:
    return {
        "at": at,
        "kind": "purchase",
        "item_id": item,
        "user_id": f"u{user}",
        "request_id": None,
        "query": None,
    } | more


def test_purchases_elsewhere_give_the_recall_that_they_have() -> None:
    """30 of 40 users bought a new item of the five; purchases by search or of old items do not count."""
    rows = [purchase(user, "i19", START - timedelta(days=2)) for user in range(40)]
    rows += [purchase(user, "i0" if user < 30 else "i12", START) for user in range(40)]
    rows += [purchase(user, "i13", START, query="lamp") for user in range(40)]
    rows += [purchase(user, "i14", START, request_id="r1") for user in range(40)]
    rows += [purchase(user, "i1", START) for user in range(40)]
    rows += [purchase(100 + user, "i0", START) for user in range(40)]
    found = outside_recall(
        pl.DataFrame(rows, infer_schema_length=None), TopItems(), {"i0", "i12", "i13", "i14"}, START, END, k=5
    )
    assert found.value == pytest.approx(30 / 40)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.75 < found.high
    few = outside_recall(
        pl.DataFrame(rows[:30], infer_schema_length=None), TopItems(), {"i0"}, START, END, k=5
    )
    assert few.value is None
    assert few.reason is not None


@pytest.mark.parametrize("fresh", [0, 1])
def test_what_users_had_before_is_no_choice_to_be_found(fresh: int) -> None:
    """Of twenty who bought a new item again, and one who bought his first, no share can be told."""
    rows = [purchase(user, "i0", START - timedelta(days=2)) for user in range(20)]
    rows += [purchase(user, "i1" if user < fresh else "i0", START) for user in range(20)]
    found = outside_recall(
        pl.DataFrame(rows, infer_schema_length=None), TopItems(), {"i0", "i1"}, START, END, k=5
    )
    assert (found.value, found.acts) == (None, fresh)


def test_a_request_carries_the_history_before_the_window() -> None:
    """What was bought is excluded, as the judge does."""
    asked: list[Request] = []

    class Recording(TopItems):
        def search(self, requests, k, among=None) -> Ranking:
            asked.extend(requests)
            return super().search(requests, k, among)

    rows = [purchase(user, "i3", START - timedelta(hours=1)) for user in range(20)]
    rows += [purchase(user, "i0", START) for user in range(20)]
    outside_recall(pl.DataFrame(rows, infer_schema_length=None), Recording(), {"i0"}, START, END, k=5)
    assert {(one.history, one.exclude) for one in asked} == {(("i3",), frozenset({"i3"}))}


def test_what_a_search_showed_before_was_not_bought_elsewhere() -> None:
    """A shop that joins clicks to requests, but not orders, would else count what the champion led to."""
    rows = [purchase(user, "i19", START - timedelta(days=2)) for user in range(40)]
    rows += [purchase(user, "i0", START + timedelta(hours=1)) for user in range(40)]
    led = [purchase(user, "i0", START, query="lamp") | {"kind": "search_click"} for user in range(30)]
    alone = outside_recall(pl.DataFrame(rows, infer_schema_length=None), TopItems(), {"i0"}, START, END, k=5)
    both = pl.DataFrame(rows + led, infer_schema_length=None)
    assert alone.value == 1.0
    assert outside_recall(both, TopItems(), {"i0"}, START, END, k=5).value is None


def test_an_item_that_the_index_does_not_hold_is_no_miss() -> None:
    """It was PUT after the index was built, and is found there where it is live."""
    rows = [purchase(user, "i19", START - timedelta(days=2)) for user in range(40)]
    rows += [purchase(user, "i0" if user < 20 else "put", START) for user in range(40)]
    found = outside_recall(
        pl.DataFrame(rows, infer_schema_length=None), TopItems(), {"i0", "put"}, START, END, k=5
    )
    assert found.value == 1.0
