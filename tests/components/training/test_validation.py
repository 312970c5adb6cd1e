"""Validation: what is ranked among what, and the number that decides on stopping."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.learning import TrainingSettings
from components.contract.ports import Request, Vectors
from components.split.judged import JudgedSet
from components.training.validation import read_validation, stopping_recall, validation_recall, with_new_only


class Oracle:
    """Encodes a text as the letters it has: a query's words are those of its item."""

    digest = "oracle"

    def encode_items(self, texts: Any) -> Vectors:
        vectors = np.asarray(
            [[text.count(chr(97 + n)) for n in range(26)] for text in texts], dtype=np.float32
        )
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)

    encode_queries = encode_items


def test_new_test_items_are_left_out(shop: Any) -> None:
    """The validation catalogue is the one before the cut-off, ascending, with validation's own new items."""
    validation = read_validation(shop.split, shop.encoder, TrainingSettings())
    assert len(validation.item_ids) == 49
    assert "i49" not in validation.item_ids
    assert list(validation.item_ids) == sorted(validation.item_ids)
    assert len(validation.new) == 6


def test_needed_items_stay_in_a_small_catalogue(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With little room the relevant items are all there, and others are drawn by seed up to the limit."""
    settings = TrainingSettings.model_construct(validation_items=20, seed=0)
    judgements = pl.read_parquet(shop.split / "validation/judgements.parquet").head(5)
    few = shop.split.parent / "few"
    (few / "validation").mkdir(parents=True, exist_ok=True)
    pl.read_parquet(shop.split / "items.parquet").write_parquet(few / "items.parquet")
    judgements.write_parquet(few / "validation/judgements.parquet")
    requests = pl.read_parquet(shop.split / "validation/requests.parquet")
    requests = requests.join(judgements.select("request_id").unique(), on="request_id", how="semi")
    requests.write_parquet(few / "validation/requests.parquet")
    first, again = (read_validation(few, shop.encoder, settings) for _ in range(2))
    assert len(first.item_ids) == 20
    assert set(judgements.get_column("item_id")) <= set(first.item_ids)
    assert first.item_ids == again.item_ids


def test_recall_is_split_into_new_and_established(shop: Any) -> None:
    """An encoder that reads letters finds every item by its words, in both slices."""
    validation = read_validation(shop.split, shop.encoder, TrainingSettings())
    oracle = Oracle()
    titles = pl.read_parquet(shop.split / "items.parquet").filter(
        pl.col("item_id").is_in(validation.item_ids)
    )
    vectors = oracle.encode_items(titles.get_column("title").to_list())
    recalls = validation_recall(validation, vectors, oracle)
    assert recalls["search"]["new"] == pytest.approx(1.0)
    assert recalls["search"]["established"] is not None
    worst = validation_recall(validation, vectors[::-1].copy(), oracle)
    assert worst["search"]["new"] is not None
    assert worst["search"]["new"] < 0.5


def test_new_items_are_also_ranked_among_themselves(shop: Any) -> None:
    """There they compete with each other alone, and a request without a new one does not count."""
    validation = read_validation(shop.split, shop.encoder, TrainingSettings())
    rng = np.random.default_rng(0)

    class Noise(Oracle):
        def encode_queries(self, texts: Any) -> Vectors:
            return rng.standard_normal((len(texts), 26)).astype(np.float32)

    vectors = Oracle().encode_items(validation.texts)
    exact, blind = (with_new_only(validation, vectors, one)["search"] for one in (Oracle(), Noise()))
    assert exact["new_only"] == exact["new"] == 1.0
    # A history is of established items, which still say what it is like.
    past = next(item for item in validation.item_ids if item not in validation.new)
    new = sorted(validation.new)[0]
    request, relevant = Request("u", history=(past,)), {"u": frozenset({new})}
    user = JudgedSet("recommendation", (request,), relevant, {"u": {new: 1.0}}, False, {})
    of_users = replace(validation, judged={"recommendation": user})
    assert with_new_only(of_users, vectors, Oracle())["recommendation"]["new_only"] == 1.0
    assert blind["new_only"] == 1.0 and blind["new"] is not None and blind["new"] < 1.0


def test_stopping_looks_at_the_primary_entrance() -> None:
    """New and established count alike; a slice without requests leaves it to the other."""
    recalls: Any = {
        "search": {"new": 0.2, "established": 0.6},
        "recommendation": {"new": None, "established": 0.3},
    }
    assert stopping_recall(recalls, "search") == pytest.approx(0.4)
    assert stopping_recall(recalls, "recommendation") == pytest.approx(0.3)
    assert stopping_recall({"search": {"new": None, "established": None}}, "search") is None
    assert stopping_recall({}, "search") is None
