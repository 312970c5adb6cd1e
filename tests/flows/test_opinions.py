"""Opinions by the shop's champion: read by the monitor, told of once, answered by the service."""

import os
import shutil
import time
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from fastapi.testclient import TestClient

from components.contract.errors import DataError
from components.contract.settings import Settings
from components.contract.task import Task
from components.index.retrieval import (
    ENCODER,
    HISTORIES,
    INDEX,
    INFERENCE,
    ONNX_FILE,
    open_encoder,
    read_plan,
)
from components.release.candidate import build, load_fingerprint
from components.tasks.fit import fit_head
from flows import notifications, opinions
from flows.monitor import monitor
from flows.serving import shop_app
from flows.shop import Shop, open_shop

TASK = Task(
    name="sentiment", says="Sentiment", rows="SELECT 1", text=("text",), head="classification", opinions=True
)
WORDS = {"positive": "for the with", "negative": "of to in"}
"""Words that are no topic."""
REVIEWS_SQL = """
SELECT item_id, text, NULL::DOUBLE AS rating, "at" AS at, source_file, source_row FROM said
"""
SUBJECTS = ("chair table garden", "hammer drill steel", "towel cotton blue")


@pytest.fixture
def shop(retrained: Any) -> Shop:
    """The tiny shop, its champion with a sentiment head, and reviews: of hammers most turn negative for
    a week after the cut-off."""
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    digest = shop.decision_log().champion()
    assert digest is not None
    folder = shop.candidates / digest
    encoder = open_encoder(folder / ENCODER, folder / INFERENCE / ONNX_FILE, read_plan(folder))
    cutoff = load_fingerprint(folder).cutoff
    assert cutoff is not None
    rng, rows = np.random.default_rng(0), []
    for day in range(-40, 12):
        for _ in range(40):
            subject = SUBJECTS[rng.integers(3)]
            share = 0.6 if subject == SUBJECTS[1] and 0 <= day < 7 else 0.1
            mood = "negative" if rng.random() < share else "positive"
            words = rng.permutation(f"{subject} {WORDS[mood]}".split())
            text = " ".join(words) + f" {len(rows)}"
            rows.append((f"i{rng.integers(100):03d}", cutoff + timedelta(days=day, hours=1), text, mood))
    found = pl.DataFrame(rows, ["item_id", "at", "text", "mood"], orient="row")
    found.drop("mood").write_parquet(shop.newest_check() / "reviews.parquet")
    learnt = found.head(400)
    heads = retrained.folder / "heads"
    fit_head(TASK, encoder.encode_items(learnt["text"].to_list()), learnt["mood"].to_list()).save(
        heads / "sentiment"
    )
    graph = folder / INFERENCE / ONNX_FILE
    built = build(
        shop.candidates,
        encoder=folder / ENCODER,
        graph=graph if graph.is_file() else None,
        index=folder / INDEX,
        plan=read_plan(folder),
        fingerprint=load_fingerprint(folder),
        heads=heads,
        histories=folder / HISTORIES if (folder / HISTORIES).is_dir() else None,
    )
    shop.decision_log().append(
        "override", release=built.digest, actor="tester", reason="for a test", expected_champion=digest
    )
    return shop


@pytest.fixture
def heard(monkeypatch: Any) -> list[str]:
    """What people are told of surges: sentences and customers' own words."""
    told: list[str] = []
    monkeypatch.setattr(
        notifications, "surged", lambda _, sentence, examples: told.extend([sentence, *examples])
    )
    return told


def test_a_surge_is_told_of_once_and_the_service_knows_the_items(shop: Shop, heard: list[str]) -> None:
    """In words, with customers' own; reading again tells nothing new. Items have sentiment and count."""
    with TestClient(shop_app(shop, anonymous_read=True)) as client:
        before = client.get("/opinions/i001")
        assert before.status_code == 404 and "debut monitor" in before.json()["detail"]
        report = opinions.watch(shop, tell=True)
        assert report is not None and heard
        assert "hammer" in heard[0] or "drill" in heard[0] or "steel" in heard[0]
        told = len(heard)
        again = opinions.watch(shop, tell=True)
        assert again == report and len(heard) == told
        items = pl.read_parquet(shop.opinions / report.release / "items.parquet")
        known = items.row(by_predicate=pl.col("item_id") == "i001", named=True)
        answer = client.get("/opinions/i001").json()
        assert answer == {"release": report.release, "item_id": "i001", "sentiment": known["sentiment"],
                          "reviews": known["reviews"]}  # fmt: skip
        assert client.get("/opinions/i110").json()["sentiment"] is None  # nobody reviewed it
        assert client.get("/opinions/none").status_code == 404


def test_what_an_earlier_champion_watched_is_not_told_again(shop: Shop, heard: list[str]) -> None:
    """By charts of its own a release sees the same surges. All others are told, however long before its
    promotion they were: the check that made the promotion may be the first that holds them."""
    report = opinions.watch(shop, tell=True)
    assert report is not None and heard
    told, predecessor = list(heard), shop.opinions / "predecessor"
    last = max(surge.until for surge in report.surges)
    read = pl.read_parquet(shop.opinions / report.release / opinions.REVIEWS)

    def told_after(until: datetime, watched: float | None = 1.0) -> list[str]:
        heard.clear()
        (shop.workspace / "monitoring" / opinions.TOLD).unlink()
        predecessor.mkdir(exist_ok=True)
        read.filter(pl.col("at") < until).write_parquet(predecessor / opinions.REVIEWS)
        earlier = report.model_copy(update={"false_alarms_per_year": watched})
        (predecessor / opinions.REPORT).write_text(earlier.model_dump_json())
        assert opinions.watch(shop, tell=True) == report
        return list(heard)

    assert told_after(last + timedelta(days=2)) == []
    assert told_after(last + timedelta(days=2), watched=None) == told  # it looked for none
    assert told_after(last + timedelta(hours=2)) != []  # of that day it had not read all
    assert told_after(min(surge.since for surge in report.surges)) == told
    assert told_after(datetime.min) == told  # none had a date


def test_the_monitor_checks_the_shops_files_once_a_day(
    shop: Shop, retrained: Any, connected: Any, monkeypatch: Any
) -> None:
    """So that it reads what customers wrote since the last retrain. A check past its tolerance is told, once,
    and what was read before is read on."""
    problems: list[str] = []
    monkeypatch.setattr(notifications, "monitor_failed", lambda _, sentence: problems.append(sentence))
    file, settings = retrained.folder / "said.parquet", yaml.safe_load(retrained.config.read_text())
    retrained.configure(
        sources=settings["sources"] | {"said": {"path": file.name}},
        tables=settings["tables"] | {"reviews": REVIEWS_SQL},
    )
    said = pl.read_parquet(shop.newest_check() / "reviews.parquet")
    new = said.tail(50).with_columns(text=pl.concat_str("text", pl.lit(" again")))

    def monitored(reviews: pl.DataFrame, days: float = 0.0) -> int:
        """Reviews that the monitor reads, so many days after the newest check."""
        reviews.write_parquet(file)
        checked = time.time() - 86_400 * days
        os.utime(retrained.workspace / "newest_check.json", (checked, checked))
        told = monitor(str(retrained.config), None, str(retrained.workspace.parent))
        return int(told["opinions"]["reviews"])

    before, more = monitored(said), pl.concat([said, new])
    assert monitored(more) == before  # checked today
    assert monitored(more, days=1.1) == before + len(new)
    assert problems == []
    bad = more.with_columns(item_id=pl.lit(None, dtype=pl.String))
    for days in (1.1, 0.0, 0.0):
        assert monitored(bad, days) == before + len(new)
    [problem] = problems
    assert problem.startswith("Reviews are those of an earlier check of the shop's files: reviews:")
    file.unlink()
    os.utime(retrained.workspace / "newest_check.json", (0, 0))
    told = monitor(str(retrained.config), None, str(retrained.workspace.parent))
    assert told["opinions"]["reviews"] == before + len(new) and "said.parquet" in problems[-1]


def test_a_shop_without_reviews_is_not_checked_by_the_monitor(shop: Shop, monkeypatch: Any) -> None:
    def loaded(*_: Any) -> None:
        raise AssertionError("the files are read")

    monkeypatch.setattr(opinions, "load_and_check", loaded)
    os.utime(shop.workspace / "newest_check.json", (0, 0))
    opinions.renew_check(shop)  # its champion reads reviews, but it has none


def test_without_reviews_or_a_head_nothing_is_watched(shop: Shop) -> None:
    log = shop.decision_log()
    with_head, without = log.champion(), log.records()[0].release
    log.append("rollback", release=without, actor="tester", reason="for a test", expected_champion=with_head)
    assert opinions.watch(shop) is None
    log.append("rollback", release=with_head, actor="tester", reason="back", expected_champion=without)
    (shop.newest_check() / "reviews.parquet").unlink()
    assert opinions.watch(shop) is None
    shutil.rmtree(shop.newest_check())
    with pytest.raises(DataError, match="is gone: run `debut check`"):  # not as if nobody had written any
        opinions.watch(shop)


def test_opinions_change_no_release() -> None:
    """Their settings are of operation: a retrain after a change of them finds nothing new."""
    from components.contract.settings import OPERATING

    assert "opinions" in OPERATING and "opinions" in Settings.model_fields
