"""What reviewers think of an item, over HTTP: from the files that the monitor leaves."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.monitoring.opinions import ITEMS
from components.service.opinions import OpinionRoutes
from components.service.problems import ProblemError


def write_opinions(folder: Path, release: str, sentiment: float, at: int) -> None:
    """As the monitor did, so many seconds after 1970."""
    (folder / release).mkdir(parents=True)
    rows = {"item_id": ["100"], "sentiment": [sentiment], "reviews": [7]}
    pl.DataFrame(rows).write_parquet(folder / release / ITEMS)
    os.utime(folder / release / ITEMS, (at, at))


def test_until_the_monitor_has_run_by_a_new_champion_its_predecessor_answers(
    service: Callable[..., Any], releases: Any, make_candidate: Callable[..., str], tmp_path: Path
) -> None:
    """The newest of them, named in the answer; then the champion's own, though it be older."""
    release = make_candidate(["oak table", "steel lamp"])
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
