"""Normalised BM25 over a snapshot's items and later ones."""

import numpy as np
import pytest

from components.index.lexical import Lexical
from components.index.postings import Postings

TEXTS = ["red oak chair", "blue oak table", "lamp", "garden hose red red"]


@pytest.fixture
def lexical() -> Lexical:
    return Lexical(Postings.build(TEXTS))


def test_an_appended_text_scores_as_the_same_text_of_the_snapshot(lexical):
    """The same IDF and lengths, also for words that are asked for twice or not known."""
    lexical.append(TEXTS[:2])
    lexical.append([*TEXTS[2:]])
    for query in ("red oak", "lamp lamp", "garden unheard", "table red of"):
        scores = lexical.scores(query)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores[4:], scores[:4], rtol=1e-6)
        assert scores.max() > 0


def test_scores_are_between_none_and_about_all_of_the_words(lexical):
    scores = lexical.scores("red oak chair")
    assert scores[2] == 0
    assert 0.3 < scores[0] < 1.0
    assert scores[0] > scores[1] > 0


def test_a_word_that_only_later_items_have_is_found(lexical):
    """No item of the snapshot has it: the rarest IDF."""
    assert lexical.scores("walnut") is None
    lexical.append(["walnut desk", "oak"])
    scores = lexical.scores("walnut")
    assert scores[:4].tolist() == [0, 0, 0, 0]
    assert scores[4] > 0.3
    assert scores[5] == 0


@pytest.mark.parametrize("query", ["", "unheard", "the of", "x"])
def test_a_query_without_a_known_word_has_no_scores(lexical, query):
    lexical.append(["walnut desk", ""])
    assert lexical.scores(query) is None


def test_an_unknown_word_beside_a_known_one_lowers_its_share(lexical):
    """What is asked for and not there counts against every item alike."""
    assert 0 < lexical.scores("lamp unheard")[2] < lexical.scores("lamp")[2]
