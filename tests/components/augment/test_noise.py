"""Noise: one realistic typing error, and the fields that are left without attributes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.augment.noise import drop_attributes, typos


def _edits(left: str, right: str) -> int:
    """Damerau–Levenshtein distance (optimal string alignment), by its definition."""
    cost = [[max(i, j) if not i or not j else 0 for j in range(len(right) + 1)] for i in range(len(left) + 1)]
    for i in range(1, len(left) + 1):
        for j in range(1, len(right) + 1):
            same = left[i - 1] == right[j - 1]
            options = [cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (not same)]
            if i > 1 and j > 1 and left[i - 1] == right[j - 2] and left[i - 2] == right[j - 1]:
                options.append(cost[i - 2][j - 2] + 1)
            cost[i][j] = min(options)
    return cost[-1][-1]


@given(text=st.text(alphabet="abcxyzäéABC 129-/", max_size=30), seed=st.integers(0, 2**32))
def test_a_typing_error_is_exactly_one_edit_and_spares_digits(text: str, seed: int) -> None:
    """A text with a word of three letters changes by one edit; any other comes back as it is."""
    noisy = typos(text, np.random.default_rng(seed))
    has_word = any(len(word) >= 3 for word in "".join(c if c.isalpha() else " " for c in text).split())
    assert _edits(text, noisy) == (1 if has_word else 0)
    assert [c for c in noisy if not c.isalpha()] == [c for c in text if not c.isalpha()]


def test_the_same_generator_state_gives_the_same_error() -> None:
    """What is corrupted depends on the generator alone."""
    first, second = (typos("folding garden chair", np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_all_four_kinds_of_error_come_up() -> None:
    """Over many draws a word is shortened, lengthened, swapped within and hit on a neighbouring key."""
    seen = {typos("lamp", np.random.default_rng(seed)) for seed in range(300)}
    assert {"amp", "llamp", "almp", "kamp"} <= seen


def test_a_letter_without_neighbours_is_still_mistyped() -> None:
    """Letters that no QWERTY key has are swapped, dropped or doubled."""
    assert all(_edits("äöü", typos("äöü", np.random.default_rng(seed))) == 1 for seed in range(30))


@pytest.mark.parametrize("text", ["", "2x4", "12 ft", "a b c"])
def test_texts_without_a_word_stay(text: str) -> None:
    """Sizes, units and single letters are no words."""
    assert typos(text, np.random.default_rng(0)) == text


def test_attribute_dropout_keeps_title_and_description() -> None:
    """Brand, category and attributes leave; a text that has nothing else keeps its fields."""
    assert drop_attributes(("title", "brand", "description", "category")) == ("title", "description")
    assert drop_attributes(("brand", "attributes")) == ("brand", "attributes")
