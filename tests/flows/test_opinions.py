"""Opinions by the shop's champion: read by the monitor, told of once, answered by the service."""

import shutil
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
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
from flows.serving import shop_app
from flows.shop import Shop, open_shop

TASK = Task(
    name="sentiment", says="Sentiment", rows="SELECT 1", text=("text",), head="classification", opinions=True
)
WORDS = {"positive": "for the with", "negative": "of to in"}
"""Words that are no topic."""
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


def test_a_surge_is_told_of_once_and_the_service_knows_the_items(shop: Shop, monkeypatch: Any) -> None:
    """In words, with customers' own; reading again tells nothing new. Items have sentiment and count."""
    heard: list[str] = []
    monkeypatch.setattr(
        notifications, "surged", lambda _, sentence, examples: heard.extend([sentence, *examples])
    )
    with TestClient(shop_app(shop, anonymous_read=True)) as client:
        before = client.get("/opinions/i001")
        assert before.status_code == 404 and "debut monitor" in before.json()["detail"]
        report = opinions.watch(shop, tell=True)
        assert report is not None and heard
        assert "hammer" in heard[0] or "drill" in heard[0] or "steel" in heard[0]
        told = len(heard)
        again = opinions.watch(shop, tell=True)
        assert again == report and len(heard) == told
        # A release after it reads the same reviews by charts of its own: what was told is not told again.
        (shop.workspace / "monitoring" / opinions.TOLD).unlink()
        (shop.opinions / "predecessor").mkdir()
        assert opinions.watch(shop, tell=True) == report and len(heard) == told
        items = pl.read_parquet(shop.opinions / report.release / "items.parquet")
        known = items.row(by_predicate=pl.col("item_id") == "i001", named=True)
        answer = client.get("/opinions/i001").json()
        assert answer == {"release": report.release, "item_id": "i001", "sentiment": known["sentiment"],
                          "reviews": known["reviews"]}  # fmt: skip
        assert client.get("/opinions/i110").json()["sentiment"] is None  # nobody reviewed it
        assert client.get("/opinions/none").status_code == 404


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
