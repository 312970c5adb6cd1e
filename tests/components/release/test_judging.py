"""Judging a candidate end to end on a small split, with a real (tiny) encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contract.judging import JudgeSettings
from components.contract.records import PreparedData
from components.evaluation.scorecard import Scorecard
from components.release.judging import judge_bm25, judge_candidate


@pytest.mark.parametrize("shop", [None, "oak"], indirect=True)
def test_a_candidate_is_judged_through_its_own_files(
    tmp_path: Path,
    tiny_candidate: Any,
    shop: tuple[Path, PreparedData],
    request: pytest.FixtureRequest,
) -> None:
    """Queries that are titles find their item; bounds are measured; D is on the card that is left on disk."""
    split_folder, prepared = shop
    candidate, vectors = tiny_candidate(split_folder)
    out = tmp_path / "judged"
    out.mkdir()
    card = judge_candidate(
        candidate,
        vectors,
        split_folder,
        prepared,
        JudgeSettings(),
        name="challenger",
        out=out,
    )
    assert card.digest == candidate.name
    assert (card.mean("search", "new/recall@10") or 0) > 0.5
    assert card.bounds["size_mb"] and card.bounds["p95_latency_ms"]
    has_brand = request.node.callspec.params["shop"] is not None
    assert ("attribute_dropout_recall_loss" in card.not_applicable) is not has_brand
    again = Scorecard.read(out)
    np.testing.assert_equal(again.summary(), card.summary())


def test_bm25_is_judged_on_the_same_requests(tmp_path: Path, shop: tuple[Path, PreparedData]) -> None:
    """Its scorecard has no digest, and every title is found by its own words."""
    split_folder, prepared = shop
    card = judge_bm25(split_folder, prepared, JudgeSettings(), ("title",), tmp_path)
    assert card.digest is None
    assert card.mean("search", "new_only/recall@10") == 1.0
