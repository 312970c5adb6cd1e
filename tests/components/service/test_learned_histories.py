"""Recommendations of a release that scores histories by a learned encoder."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from components.contract.errors import StorageError
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index.histories import centred
from components.index.retrieval import HISTORIES, open_candidate, open_exact
from components.training.histories import HistoryModule

TITLES = [
    f"{colour} {thing}" for colour in ("red", "blue", "green", "oak") for thing in ("chair", "lamp", "mug")
]


@pytest.fixture
def digest(make_candidate: Callable[..., str], candidates: Path, tmp_path: Path) -> str:
    """With a recurrent encoder of random weights, whose answers no other scoring gives."""
    plain = open_candidate(candidates / make_candidate(TITLES), "plain")
    torch.manual_seed(5)
    module = HistoryModule("gru", len(plain.vector(0)))
    module.widen.weight.data *= 50
    module.encoder().save(tmp_path / "histories")
    plan = RetrievalPlan(history_scoring="gru", history_encoder_epochs=3, inference="onnx-int8")
    return make_candidate(TITLES, plan, histories=tmp_path / "histories")


def test_recommendations_are_by_the_encoder(
    digest: str, candidates: Path, releases: Any, service: Any
) -> None:
    """Its cosine and the similarity to past items; the order of the history is read, and an item that was PUT
    a moment ago is ranked."""
    releases.promote(digest)
    running = service()
    running.put({"item_id": "fresh", "title": "green chair"})
    body = {"history": ["100", "gone", "104", "107"], "k": 100}
    hits = running.client.post("/recommend", json=body).json()["results"]
    index = running.serving.release().index
    assert "fresh" in [hit["item_id"] for hit in hits] and len(hits) == len(TITLES) + 1 - 3
    vectors = np.stack([index.vector(row) for row in range(len(TITLES))]).astype(np.float64)
    mean, encoder = vectors.mean(axis=0), index.history_encoder
    moved = centred(vectors, mean)
    past = moved[[0, 4, 7]]
    expected = moved @ encoder.encode(past) + np.sort(past @ moved.T, axis=0)[-10:].mean(axis=0)
    for hit in hits:
        if hit["item_id"] != "fresh":
            assert hit["score"] == pytest.approx(expected[int(hit["item_id"]) - 100], abs=1e-5)
    turned = running.client.post("/recommend", json=body | {"history": ["107", "104", "100"]}).json()[
        "results"
    ]
    assert {hit["item_id"]: hit["score"] for hit in turned} != {hit["item_id"]: hit["score"] for hit in hits}
    assert index.user_vector(["100", "104", "107"]) == pytest.approx(encoder.encode(past), abs=1e-5)
    exact = open_exact(candidates / digest, "exact", candidates / digest / "index")
    assert exact.history_encoder is not None


def test_similar_items_are_so_by_their_texts(
    digest: str, make_candidate: Callable[..., str], candidates: Path, releases: Any, service: Any
) -> None:
    """What is bought after an item is no substitute for it."""
    plan = RetrievalPlan(history_scoring="centred_top10", inference="onnx-int8")
    texts = open_candidate(candidates / make_candidate(TITLES, plan), "texts")
    releases.promote(digest)
    hits = service().client.get("/similar/104", params={"k": 11}).json()["results"]
    asked = Request("x", history=("104",), exclude=frozenset({"104"}))
    rows = texts.search([asked], 11).rows[0]
    assert [hit["item_id"] for hit in hits] == [texts.item_ids[row] for row in rows]


def test_a_release_whose_encoder_is_missing_is_not_opened(
    digest: str, candidates: Path, tmp_path: Path
) -> None:
    """Rather than ranked by something else."""
    folder = tmp_path / "copy"
    shutil.copytree(candidates / digest, folder)
    (folder / HISTORIES / "gru.safetensors").unlink()
    with pytest.raises(StorageError):
        open_candidate(folder, "x")
