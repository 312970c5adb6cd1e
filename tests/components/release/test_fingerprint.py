from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.digests import hashed
from components.release.fingerprint import Fingerprint, overlap

T = datetime(2026, 1, 1)
LATER = datetime(2026, 2, 1)


@given(st.lists(st.text()), st.randoms())
def test_hashes_depend_on_the_set_alone(values, random):
    """Order and repeats do not matter, and no value can be read from the hashes."""
    shuffled = [*values, *values]
    random.shuffle(shuffled)
    assert hashed(shuffled) == hashed(values)
    assert all(len(code) == 16 for code in hashed(values))
    assert len(hashed(values)) == len(set(values))


def trained(fingerprint, cutoff, requests=(), items=()):
    return fingerprint.model_copy(
        update={"cutoff": cutoff, "requests": hashed(requests), "items": hashed(items)}
    )


def test_baseline_overlaps_nothing(fingerprint):
    """The untrained encoder has seen no row, whatever is judged."""
    assert overlap(fingerprint, cutoff=None, requests=["q"], new_items=["i"]) is None


@pytest.mark.parametrize(
    "settings", [{"ranking": {"learner": "lambdarank"}}, {"retrieval": {"history_encoders": ["gru"]}}]
)
def test_what_version_0_has_learned_beside_its_encoder_is_an_overlap(fingerprint, settings):
    """Of later rows than those of this test."""
    plain = fingerprint.model_copy(update={"baseline": True, "cutoff": LATER})
    learned = plain.model_copy(update={"settings": plain.settings | settings})
    assert overlap(plain, cutoff=T, requests=["q"], new_items=["i"]) is None
    assert "past this cut-off" in overlap(learned, cutoff=T, requests=["q"], new_items=["i"])
    assert overlap(learned, cutoff=LATER, requests=["q"], new_items=["i"]) is None


def test_dated_champion_may_know_the_query_from_earlier(fingerprint):
    """Before the cut-off the same query or user is fair; rows past the cut-off are not."""
    champion = trained(fingerprint, T, ["q"], ["old"])
    assert overlap(champion, cutoff=T, requests=["q"], new_items=["i"]) is None
    assert overlap(champion, cutoff=LATER, requests=["q"], new_items=["i"]) is None
    later = trained(fingerprint, LATER, ["q"], ["old"])
    assert "past this cut-off" in overlap(later, cutoff=T, requests=["q"], new_items=["i"])


def test_new_items_are_never_trained_on(fingerprint):
    """A champion that knows a new item is an overlap, dated or not."""
    for cutoff in (T, None):
        sentence = overlap(
            trained(fingerprint, cutoff, ["p"], ["i", "j"]), cutoff=cutoff, requests=[], new_items=["i"]
        )
        assert "1 of the items" in sentence


def test_undated_champion_must_not_know_a_judged_query(fingerprint):
    """Without dates a judged request in training is an overlap."""
    champion = trained(fingerprint, None, ["q", "p"], ["old"])
    assert "1 of the requests" in overlap(champion, cutoff=None, requests=["q"], new_items=["i"])
    assert "1 of the requests" in overlap(champion, cutoff=T, requests=["q"], new_items=["i"])
    assert overlap(champion, cutoff=None, requests=["new"], new_items=["i"]) is None


@pytest.mark.parametrize(
    ("split", "baseline", "until"),
    [
        ({"judge_window_days": 14}, False, datetime(2026, 2, 15)),
        ({"judge_window_days": 14, "validation_window_days": 7}, False, datetime(2026, 2, 22)),
        ({"refit_on_validation": True}, False, datetime(2026, 3, 1)),
        ({}, True, None),
    ],
)
def test_a_candidate_knows_until_when_it_was_trained(
    split: dict[str, Any], baseline: bool, until: datetime | None
) -> None:
    """The validation window lies before the cut-off, unless it was trained on in the end; version 0 was never
    trained."""
    fingerprint = Fingerprint(
        data_digest="d",
        encoder_digest="e",
        base_digest="b",
        lock_digest="l",
        code_digest="c",
        cutoff=datetime(2026, 3, 1),
        settings={"split": split},
        baseline=baseline,
    )
    assert fingerprint.learned_until == until


def test_a_query_side_update_leaves_what_its_encoder_knows(fingerprint: Fingerprint) -> None:
    """A warm start from it goes on where its encoder stopped, not where its map did; two in turn, too, and of
    version 0 the encoder was never trained."""

    def at(month: int, method: str) -> Fingerprint:
        settings = {"training": {"method": method}, "split": {"refit_on_validation": True}}
        return fingerprint.model_copy(
            update={"baseline": False, "cutoff": datetime(2026, month, 1), "settings": settings}
        )

    once = at(4, "query_side").after(at(3, "full"))
    twice = at(5, "query_side").after(once)
    assert [one.encoder_learned_until for one in (once, twice)] == [datetime(2026, 3, 1)] * 2
    assert twice.learned_until == datetime(2026, 5, 1)
    assert at(6, "full").after(twice).encoder_learned_until == datetime(2026, 6, 1)
    version_0 = fingerprint.model_copy(update={"baseline": True, "cutoff": datetime(2026, 3, 1)})
    assert at(4, "query_side").after(version_0).encoder_learned_until is None


def test_a_warm_start_has_learned_what_its_champion_learned(fingerprint):
    """An item that the champion was trained on is no new one for its successor either."""
    champion = trained(fingerprint, None, ["q"], ["i"])
    successor = trained(fingerprint, None, ["p"], ["j"]).after(champion)
    assert successor == trained(fingerprint, None, ["p", "q"], ["i", "j"])
    assert "1 of the items" in overlap(successor, cutoff=None, requests=[], new_items=["i"])


def test_a_warm_start_knows_until_when_its_champion_had_learned(fingerprint):
    """Also where the shop's cut-off was moved back in between, and over a second start."""
    march, april, may = (datetime(2026, month, 1) for month in (3, 4, 5))
    once = trained(fingerprint, march, ["p"], ["j"]).after(trained(fingerprint, may, ["q"], ["i"]))
    for successor in (once, trained(fingerprint, march, ["r"], ["k"]).after(once)):
        assert "past this cut-off" in overlap(successor, cutoff=april, requests=[], new_items=[])
        assert overlap(successor, cutoff=may, requests=[], new_items=[]) is None
