"""What reviewers think of an item, over HTTP: from the files that the monitor leaves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.contract.task import Task
from components.index.retrieval import open_candidate
from components.monitoring.opinions import ITEMS
from components.service.opinions import OpinionRoutes
from components.service.problems import ProblemError
from components.tasks.fit import fit_head

TITLES = ["oak table", "steel lamp"]
SENTIMENT = Task(
    name="mood", says="Mood", rows="SELECT 1", text=("text",), head="classification", opinions=True
)
STARS = SENTIMENT.model_copy(update={"name": "stars"})
"""A task of opinions by its settings, whose labels tell no negative from positive."""


@pytest.fixture
def make_release(make_candidate: Callable[..., str], candidates: Path, tmp_path: Path) -> Callable[..., str]:
    """A candidate whose head of this task learned these labels of its titles."""

    def make(task: Task, labels: list[str]) -> str:
        encoder = open_candidate(candidates / make_candidate(TITLES), "plain").encoder
        folder = tmp_path / f"heads-{task.name}"
        fit_head(task, encoder.encode_items(TITLES), labels).save(folder / task.name)
        return make_candidate(TITLES, heads=folder)

    return make


def write_opinions(folder: Path, release: str, sentiment: float, at: int) -> None:
    """As the monitor did, so many seconds after 1970."""
    (folder / release).mkdir(parents=True)
    rows = {"item_id": ["100"], "sentiment": [sentiment], "reviews": [7]}
    pl.DataFrame(rows).write_parquet(folder / release / ITEMS)
    os.utime(folder / release / ITEMS, (at, at))


def test_until_the_monitor_has_run_by_a_new_champion_its_predecessor_answers(
    service: Callable[..., Any], releases: Any, make_release: Callable[..., str], tmp_path: Path
) -> None:
    """The newest of them, named in the answer; then the champion's own, though it be older."""
    release = make_release(SENTIMENT, ["negative", "positive"])
    releases.promote(release)
    running = service()
    routes = OpinionRoutes(running.serving, tmp_path / "opinions")
    with pytest.raises(ProblemError, match="debut monitor"):
        routes.of_item("100")
    write_opinions(tmp_path / "opinions", "a" * 64, 0.1, at=1_000)
    write_opinions(tmp_path / "opinions", "c" * 64, 0.3, at=3_000)
    write_opinions(tmp_path / "opinions", "b" * 64, 0.2, at=2_000)
    found = routes.of_item("100")
    assert (found.release, found.sentiment, found.reviews) == ("c" * 64, 0.3, 7)
    assert (routes.of_item("101").release, routes.of_item("101").sentiment) == ("c" * 64, None)
    write_opinions(tmp_path / "opinions", release, 0.9, at=500)
    found = routes.of_item("100")
    assert (found.release, found.sentiment) == (release, 0.9)


@pytest.mark.parametrize("stars", [False, True])
def test_a_release_without_a_task_of_opinions_says_so(
    service: Callable[..., Any],
    releases: Any,
    make_candidate: Callable[..., str],
    make_release: Callable[..., str],
    tmp_path: Path,
    stars: bool,
) -> None:
    """Also where an earlier release's figures lie there, which nobody will renew, and of unknown items."""
    releases.promote(make_release(STARS, ["one", "five"]) if stars else make_candidate(TITLES))
    routes = OpinionRoutes(service().serving, tmp_path / "opinions")
    for earlier in (None, "a" * 64):
        if earlier:
            write_opinions(tmp_path / "opinions", earlier, 0.1, at=1_000)
        for item in ("100", "none"):
            with pytest.raises(ProblemError, match=r"no task of opinions: add `sentiment`") as raised:
                routes.of_item(item)
            assert raised.value.status == 404
