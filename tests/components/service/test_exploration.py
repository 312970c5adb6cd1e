"""The randomised place of an answer."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.contract.serving import ExplorationSettings
from components.service.exploration import explore

ALWAYS = ExplorationSettings(share=1.0)
RANKED = [f"top{number}" for number in range(10)]
CANDIDATES = [f"new{number}" for number in range(90)]


def test_nothing_is_explored_by_default() -> None:
    """The default share is 0."""
    for number in range(200):
        found = explore(RANKED, CANDIDATES, ExplorationSettings(), f"r{number}")
        assert (list(found.items), found.positions, found.propensities) == (RANKED, (), ())


def test_nothing_is_explored_when_judging() -> None:
    """Whatever the settings say: a judged ranking has no chance in it."""
    for number in range(200):
        assert list(explore(RANKED, CANDIDATES, ALWAYS, f"r{number}", judging=True).items) == RANKED


def test_the_last_place_is_the_default() -> None:
    """The first nine stay, the tenth is one of the candidates, marked with its propensity."""
    found = explore(RANKED, CANDIDATES, ALWAYS, "r1")
    assert list(found.items[:9]) == RANKED[:9]
    assert found.items[9] in CANDIDATES
    assert (found.positions, found.propensities) == ((10,), (1 / 90,))


def test_a_place_further_up_moves_the_others_down() -> None:
    """The last one leaves; the order of the rest stays."""
    found = explore(RANKED, CANDIDATES, ExplorationSettings(share=1.0, position=3), "r1")
    assert [item for item in found.items if item in RANKED] == RANKED[:9]
    assert found.items[2] in CANDIDATES


def test_share_and_draw_are_as_probable_as_they_say() -> None:
    """20,000 requests: the share within 4 standard deviations, every candidate within 5 of uniform."""
    settings = ExplorationSettings(share=0.25)
    found = [explore(RANKED, CANDIDATES[:20], settings, f"request-{number}") for number in range(20_000)]
    explored = [answer for answer in found if answer.positions]
    assert abs(len(explored) - 5_000) < 4 * (20_000 * 0.25 * 0.75) ** 0.5
    assert {answer.propensities for answer in explored} == {(0.25 / 20,)}
    counts = Counter(answer.items[9] for answer in explored)
    expected = len(explored) / 20
    assert set(counts) == set(CANDIDATES[:20])
    assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values())


def test_propensities_weigh_an_items_showing_back_to_one() -> None:
    """Mean of shown ÷ propensity over requests is 1 per candidate: what the weighted estimate rests on."""
    settings = ExplorationSettings(share=0.5)
    answers = [explore(RANKED, CANDIDATES[:2], settings, f"q{number}") for number in range(20_000)]
    for item in CANDIDATES[:2]:
        weighted = sum(
            1 / answer.propensities[0] for answer in answers if answer.positions and answer.items[9] == item
        )
        assert weighted / len(answers) == pytest.approx(1, abs=0.05)


@given(
    ranked=st.lists(st.integers(0, 30), unique=True, max_size=12),
    candidates=st.lists(st.integers(0, 30), max_size=20),
    share=st.floats(0, 1),
    position=st.none() | st.integers(1, 15),
    request_id=st.text(alphabet=st.characters(exclude_categories=())),
)
def test_an_answer_keeps_its_length_and_repeats_no_item(
    ranked: list[int], candidates: list[int], share: float, position: int | None, request_id: str
) -> None:
    """For any input, twice the same; at most one place differs and it holds what was not there."""
    settings = ExplorationSettings(share=share, position=position)
    found = explore(ranked, candidates, settings, request_id)
    assert found == explore(ranked, candidates, settings, request_id)
    assert len(found.items) == len(ranked) == len(set(found.items))
    if not found.positions:
        assert list(found.items) == ranked
        return
    (place,), (propensity,) = found.positions, found.propensities
    assert place == (position or len(ranked))
    drawn = found.items[place - 1]
    assert drawn in candidates
    assert drawn not in ranked
    assert propensity == pytest.approx(share / len(set(candidates) - set(ranked)))


@pytest.mark.parametrize(
    ("ranked", "candidates", "position"),
    [([], CANDIDATES, None), (RANKED[:3], CANDIDATES, 10), (RANKED, [], None), (RANKED, RANKED, None)],
)
def test_without_a_place_or_anyone_to_draw_the_answer_stays(
    ranked: list[str], candidates: list[str], position: int | None
) -> None:
    """Nothing found, an answer that ends before the position, no candidates, none that is not shown."""
    found = explore(ranked, candidates, ExplorationSettings(share=1.0, position=position), "r1")
    assert (list(found.items), found.positions) == (ranked, ())


@pytest.mark.parametrize("wrong", [{"share": 1.1}, {"share": -0.1}, {"position": 0}, {"shares": 0.1}])
def test_impossible_settings_are_refused(wrong: dict) -> None:
    """Where they are read."""
    with pytest.raises(ValidationError):
        ExplorationSettings(**wrong)
