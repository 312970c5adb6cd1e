"""Query-side tuning: queries learn to point at items whose vectors stay as they are."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from components.contract.errors import DataError
from components.contract.learning import TrainingSettings
from components.contract.records import TrainedModel
from components.contract.settings import Settings
from components.encoder.base import items_digest
from components.encoder.texts import item_texts
from components.encoder.transformer import TransformerEncoder
from components.training import query_side
from components.training.pairs import read_pairs
from components.training.query_side import tune_query_side

SETTINGS = TrainingSettings(method="query_side", start="champion", validation_items=100)


@pytest.fixture
def champion(shop: Any, tmp_path: Path) -> Path:
    shop.load().save(tmp_path / "champion")
    return tmp_path / "champion"


@pytest.fixture
def vectors(shop: Any) -> Any:
    items = pl.read_parquet(shop.split / "items.parquet")
    return shop.load().encode_items(item_texts(items, shop.encoder.item_fields))


@pytest.fixture
def tune(shop: Any, champion: Path, vectors: Any, tmp_path: Path, monkeypatch: Any) -> Any:
    monkeypatch.setattr(query_side, "PAIRS_PER_STEP", 16)
    monkeypatch.setattr(query_side, "RATE", 1e-2)

    def run(name: str = "out", **options: Any) -> TrainedModel:
        (tmp_path / name).mkdir()
        asked = {"part": "train", "settings": SETTINGS} | options
        return tune_query_side(shop.split, champion, vectors, tmp_path / name, **asked)

    return run


def _found_first(encoder: TransformerEncoder, split: Path, vectors: Any) -> float:
    """Share of the training pairs whose item is the nearest but for the query's other items."""
    pairs = read_pairs(split, "train", SETTINGS)
    asked = encoder.encode_queries(pairs.queries)
    hits = [(asked[a] @ vectors.T).argsort()[-5:] for a in range(len(pairs.queries))]
    searched = [(a, p) for a, p in zip(pairs.anchors, pairs.positives, strict=True) if a < len(hits)]
    return float(np.mean([positive in hits[anchor] for anchor, positive in searched]))


def test_queries_find_their_items_better_and_the_encoder_stays(
    shop: Any, champion: Path, vectors: Any, tune: Any, tmp_path: Path
) -> None:
    trained = tune(epochs=20)
    before, after = (TransformerEncoder.load_saved(f) for f in (champion, tmp_path / "out/encoder"))
    found = [_found_first(encoder, shop.split, vectors) for encoder in (before, after)]
    assert found[1] > found[0] + 0.15
    assert items_digest(tmp_path / "out/encoder") == items_digest(champion)
    assert trained.encoder_digest == after.digest != before.digest
    assert (trained.epochs, trained.best_validation_recall) == (20, None)


def test_validation_chooses_the_epoch(tune: Any, tmp_path: Path) -> None:
    trained = tune()
    lines = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    recalls = [line["recall"] for line in lines]
    assert trained.best_validation_recall == max(recalls)
    assert trained.epochs == recalls.index(max(recalls))  # 0: what it began with
    assert {"search/new/recall@10", "search/established/recall@10", "seconds"} <= lines[0].keys()
    assert "loss" in lines[1] and "loss" not in lines[0]
    told = json.loads((tmp_path / "out/examples.json").read_text())
    assert told["pairs"] == {"search": trained.pairs, "recommendation": 0}


def test_a_map_that_finds_more_than_any_epoch_stays(
    tune: Any, champion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a refit of no epochs, which validation chose, keeps it, too."""
    monkeypatch.setattr(query_side, "RATE", 10.0)
    for name, options in (("chosen", {}), ("refit", {"epochs": 0})):
        trained = tune(name, **options)
        before, after = (TransformerEncoder.load_saved(f) for f in (champion, tmp_path / name / "encoder"))
        assert trained.epochs == 0
        asked = ["red lamp", "oak chair"]
        np.testing.assert_allclose(after.encode_queries(asked), before.encode_queries(asked), atol=1e-6)


def test_the_same_again_gives_the_same_and_a_later_update_goes_on(
    shop: Any, vectors: Any, tune: Any, tmp_path: Path
) -> None:
    first, second = tune("first", epochs=2), tune("second", epochs=2)
    assert first.encoder_digest == second.encoder_digest
    (tmp_path / "third").mkdir()
    third = tune_query_side(
        shop.split, tmp_path / "first/encoder", vectors, tmp_path / "third", part="train", settings=SETTINGS,
        epochs=2,
    )  # fmt: skip
    losses = [
        json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[1])["loss"]
        for name in ("first", "third")
    ]
    assert third.encoder_digest != first.encoder_digest
    assert losses[1] < losses[0]


def test_what_a_querys_owner_likes_is_no_negative_nor_its_duplicate(shop: Any, vectors: Any) -> None:
    pairs, items = read_pairs(shop.split, "train", SETTINGS), pl.read_parquet(shop.split / "items.parquet")
    queries = np.zeros((len(pairs.queries), 32), dtype=np.float32)
    learner = query_side._Learner(pairs, items, "train", vectors, queries, SETTINGS)
    anchor = pairs.queries.index("chair red")
    known = learner._is_known(anchor, np.arange(len(items)))
    assert np.flatnonzero(known).tolist() == [0, 48]  # the duplicate is in another row


def test_without_searches_it_says_what_to_do(shop: Any, champion: Path, vectors: Any, tmp_path: Path) -> None:
    shutil.copytree(shop.split, tmp_path / "split")
    (tmp_path / "split/train/search.parquet").unlink()
    with pytest.raises(DataError, match=r"no query with a relevant item.*set training.method to full"):
        tune_query_side(
            tmp_path / "split", champion, vectors, tmp_path / "out", part="train", settings=SETTINGS
        )


def test_it_needs_an_index_to_tune_to() -> None:
    with pytest.raises(ValidationError, match="set start to champion"):
        TrainingSettings(method="query_side")


def test_written_queries_are_not_left_unread_silently() -> None:
    with pytest.raises(ValidationError, match=r"leave augment\.written_queries out"):
        Settings(shop="s", tables={"items": "SELECT 1"}, training=SETTINGS, augment={"written_queries": 2})


@pytest.mark.parametrize(
    "ignored",
    [{"fine_tuned_share": 0.3}, {"dropout": 0.3}, {"encode_chunk": 3}, {"lowest_grade_weight": 0.5}],
)
def test_a_setting_that_would_not_be_read_is_refused(ignored: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=rf"without {next(iter(ignored))}: leave that out"):
        TrainingSettings(method="query_side", start="champion", **ignored)


def test_max_pairs_are_searches(tune: Any, shop: Any) -> None:
    """Drawn over purchases as well, most of them would be thrown away in a shop that sells more than it is
    searched in."""
    searches = len(read_pairs(shop.split, "train", SETTINGS, searches_only=True))
    assert len(read_pairs(shop.split, "train", SETTINGS)) > searches > 20
    few = SETTINGS.model_copy(update={"max_pairs": 20})
    assert tune(settings=few).pairs == 20
    assert tune("all").pairs == searches
