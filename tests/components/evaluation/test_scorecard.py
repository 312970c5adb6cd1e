"""Scorecards on disk and their means."""

import json
import math

import numpy as np
import pytest

from components.contract.errors import StorageError
from components.evaluation.scorecard import EntranceScores, Scorecard


@pytest.fixture
def scorecard():
    scores = EntranceScores(
        "search",
        ("p", "q", "größe"),
        {
            "new/recall@10": np.array([0.5, math.nan, 1.0]),
            "new/mrr": np.array([1.0, math.nan, 0.5]),
            "category:A/B/recall@10": np.array([math.nan, math.nan, math.nan]),
            "established/recall@10": np.array([0.0, 0.0, math.nan]),
        },
    )
    return Scorecard(
        name="challenger",
        digest="d" * 64,
        primary="search",
        entrances={"search": scores},
        bounds={"size_mb": 91.5, "typo_recall_loss": None, "exposure_small_brand_share_ratio": None},
        not_applicable={"exposure_small_brand_share_ratio": "no brands"},
        missing={"typo_recall_loss": "recall is 0"},
        gains="gain = grade",
    )


def test_means_leave_out_requests_without_a_relevant_item(scorecard):
    """A zero-hit slice shows 0.0; an empty one has no mean and no requests."""
    assert scorecard.mean("search", "new/recall@10") == 0.75
    assert scorecard.requests("search", "new/recall@10") == 2
    assert scorecard.mean("search", "established/recall@10") == 0.0
    assert scorecard.mean("search", "category:A/B/recall@10") is None
    assert scorecard.mean("search", "nothing/recall@10") is None
    assert scorecard.mean("recommendation", "new/recall@10") is None
    assert scorecard.requests("recommendation", "new/recall@10") == 0


def test_summary_is_plain_and_names_every_slice_with_its_count(scorecard):
    """A slash inside a category's name is kept; the summary is JSON as it stands."""
    summary = scorecard.summary()
    assert summary == {
        "new": {"requests": 2, "recall@10": 0.75, "mrr": 0.75},
        "category:A/B": {"requests": 0, "recall@10": None},
        "established": {"requests": 2, "recall@10": 0.0},
    }
    assert json.loads(json.dumps(summary)) == summary


def test_what_is_read_is_what_was_written(scorecard, tmp_path):
    scorecard.write(tmp_path)
    again = Scorecard.read(tmp_path)
    for name in ("name", "digest", "primary", "bounds", "not_applicable", "missing", "gains", "k"):
        assert getattr(again, name) == getattr(scorecard, name)
    ours, theirs = scorecard.entrances["search"], again.entrances["search"]
    assert theirs.request_ids == ours.request_ids
    assert list(theirs.measures) == list(ours.measures)
    for measure, values in ours.measures.items():
        np.testing.assert_array_equal(theirs.measures[measure], values)


def test_writing_twice_gives_the_same_bytes(scorecard, tmp_path):
    scorecard.write(tmp_path / "a")
    Scorecard.read(tmp_path / "a").write(tmp_path / "b")
    for name in ("scorecard.json", "search.parquet"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_missing_scorecard_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"scorecard\.json"):
        Scorecard.read(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"entrances": [], "colour": 1}'])
def test_a_damaged_description_says_to_judge_again(tmp_path, text):
    (tmp_path / "scorecard.json").write_text(text)
    with pytest.raises(StorageError, match="judge again"):
        Scorecard.read(tmp_path)


def test_damaged_or_missing_values_say_to_judge_again(scorecard, tmp_path):
    scorecard.write(tmp_path)
    (tmp_path / "search.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(StorageError, match="judge again"):
        Scorecard.read(tmp_path)
    (tmp_path / "search.parquet").unlink()
    with pytest.raises(StorageError, match=r"search\.parquet"):
        Scorecard.read(tmp_path)
