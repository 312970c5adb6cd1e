"""Scores of items for the past items of a user, against their definitions."""

from functools import cache
from typing import Any, get_args

import numpy as np
import pytest
import torch

from components.contract.retrieving import HistoryEncoderKind, HistoryScoring
from components.index import histories as module
from components.index.coded_vectors import CodedVectors
from components.index.histories import BLOCK, Histories, centred, top_mean, unit
from components.index.history_encoder import HistoryEncoder
from components.training.histories import HistoryModule


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """300 items that lean towards one direction, as an encoder's do."""
    rng = np.random.default_rng(0)
    return unit_rows(rng.standard_normal((300, 24)) + 0.5)


def histories_of(scoring: Any, vectors: np.ndarray) -> Histories:
    """With an encoder of random weights, where the scoring is a learned one."""
    return Histories(scoring, vectors, encoder_of(scoring, vectors.shape[1]))


@cache
def encoder_of(scoring: Any, dimensions: int) -> HistoryEncoder | None:
    torch.manual_seed(0)
    learned = scoring in get_args(HistoryEncoderKind)
    return HistoryModule(scoring, dimensions).encoder() if learned else None


def by_definition(scoring: str, vectors: np.ndarray, past: list[int]) -> np.ndarray:
    wide = vectors.astype(np.float64)
    encoder = encoder_of(scoring, vectors.shape[1])
    if encoder is not None:
        moved = wide - wide.mean(axis=0)
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        return by_definition("centred_top10", vectors, past) + moved @ encoder.encode(moved[past])
    if scoring == "mean":
        return wide @ unit_rows(wide[past].mean(axis=0)[None])[0]
    if scoring == "centred_top10":
        wide = wide - wide.mean(axis=0)
        wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    count = 3 if scoring == "top3" else 10
    return np.sort(wide[past] @ wide.T, axis=0)[-count:].mean(axis=0)


@pytest.mark.parametrize("past", [[7], [3, 4], list(range(0, 90, 7)), list(range(250))])
@pytest.mark.parametrize("scoring", get_args(HistoryScoring))
def test_scores_are_the_definitions(vectors, scoring, past):
    """To the last digits for the items that are asked for, to a few hundredths by the scan of all."""
    histories, coded = histories_of(scoring, vectors), CodedVectors(vectors)
    expected = by_definition(scoring, vectors, past)
    some = [0, 7, 3, 299]
    np.testing.assert_allclose(histories.exact(vectors[some], vectors[past]), expected[some], atol=1e-6)
    scanned = histories.scan(vectors, coded, past)
    assert scanned.dtype == np.float32
    assert np.abs(scanned - expected).max() < (0.06 if encoder_of(scoring, 24) else 0.03)


@pytest.mark.parametrize("scoring", get_args(HistoryScoring))
def test_a_long_past_is_its_newest_items(vectors, monkeypatch, scoring):
    """In every scoring that compares one by one, by scan and exact. The direction of all is as cheap, and a
    learned encoder takes its own share of them."""
    monkeypatch.setattr(module, "NEWEST", 20)
    histories, coded = histories_of(scoring, vectors).of_texts, CodedVectors(vectors)
    whole, newest = list(range(70)), list(range(50, 70))
    for of_whole, of_newest in (
        (histories.scan(vectors, coded, whole), histories.scan(vectors, coded, newest)),
        (histories.exact(vectors, vectors[whole]), histories.exact(vectors, vectors[newest])),
    ):
        assert (of_whole.tobytes() == of_newest.tobytes()) is (scoring != "mean")


@pytest.mark.parametrize("scoring", ["top3", "top10", "centred_top10", "gru"])
@pytest.mark.parametrize("past", [[7], [3, 4, 9, 12], list(range(0, 180, 5)), list(range(250))])
def test_a_scan_compares_a_few_past_items_at_once(vectors, monkeypatch, scoring, past):
    """A thousand at once would take hundreds of MB of the thread that serves; to the last bit, the scores do
    not depend on how many they are."""
    compared = []

    class Coded(CodedVectors):
        def cosines(self, queries):
            compared.append(len(queries))
            return super().cosines(queries)

    histories, coded = histories_of(scoring, vectors), Coded(vectors)
    found = histories.scan(vectors, coded, past)
    assert max(compared) <= BLOCK
    for block in (1, 7, 1_000):
        monkeypatch.setattr(module, "BLOCK", block)
        assert histories.scan(vectors, coded, past).tobytes() == found.tobytes()
    if scoring in ("top3", "top10"):
        assert found.tobytes() == top_mean(coded.cosines(vectors[past]), int(scoring[3:])).tobytes()


@pytest.mark.parametrize("scoring", get_args(HistoryScoring))
def test_an_items_score_does_not_depend_on_the_others_asked_for(vectors, scoring):
    histories = histories_of(scoring, vectors)
    together = histories.exact(vectors, vectors[[5, 9, 11]])
    alone = np.concatenate([histories.exact(vectors[n : n + 1], vectors[[5, 9, 11]]) for n in range(300)])
    assert (together == alone).all()


def test_the_mean_that_is_taken_out_is_the_snapshots(vectors):
    """Items listed later do not move it."""
    histories = Histories("centred_top10", vectors[:200])
    wide = vectors.astype(np.float64)
    moved = wide - wide[:200].mean(axis=0)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    found = histories.exact(vectors[200:], vectors[[3]])
    np.testing.assert_allclose(found, moved[200:] @ moved[3], atol=1e-6)


def test_a_vector_that_equals_the_mean_scores_zero():
    """After centring it has no direction."""
    moved = centred(np.array([[1.0, 0.0], [0.6, 0.8]]), np.array([1.0, 0.0]))
    assert moved[0].tolist() == [0, 0]
    assert np.linalg.norm(moved[1]) == pytest.approx(1)
    catalogue = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    assert Histories("centred_top10", catalogue).exact(catalogue, catalogue[:1]).tolist() == [0, 0]


@pytest.mark.parametrize("scoring", get_args(HistoryScoring))
def test_a_users_vector_has_unit_length(vectors, scoring):
    """The direction of the mean where the scoring is not learned."""
    found = histories_of(scoring, vectors).user_vector(vectors[[5, 9]])
    assert found.dtype == np.float32 and np.linalg.norm(found) == pytest.approx(1, abs=1e-6)
    if scoring == "mean":
        np.testing.assert_allclose(found, unit_rows(vectors[[5, 9]].mean(axis=0)[None])[0], atol=1e-6)


def test_a_learned_scoring_needs_its_own_encoder(vectors):
    """And no other scoring takes one."""
    gru = encoder_of("gru", vectors.shape[1])
    for scoring, encoder in (("gru", None), ("attention", gru), ("mean", gru)):
        with pytest.raises(ValueError, match="another encoder"):
            Histories(scoring, vectors, encoder)


def test_opposite_past_items_have_no_direction():
    assert unit(np.zeros(3)).tolist() == [0, 0, 0]
    vectors = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    histories = Histories("mean", vectors)
    assert histories.exact(vectors, vectors[:2]).tolist() == [0, 0, 0]
    assert histories.scan(vectors, CodedVectors(vectors), [0, 1]).tolist() == [0, 0, 0]


def test_the_mean_of_the_largest_takes_what_there_is():
    cosines = np.array([[0.1, 0.9], [0.5, 0.2], [0.3, 0.4], [0.2, 0.3]], dtype=np.float32)
    np.testing.assert_allclose(top_mean(cosines, 3), [(0.5 + 0.3 + 0.2) / 3, (0.9 + 0.4 + 0.3) / 3])
    np.testing.assert_allclose(top_mean(cosines[:2], 3), [0.3, 0.55])
