"""Normalised BM25 of words and grams, over a snapshot's items and later ones."""

import numpy as np
import pytest

from components.contract.errors import DataError
from components.index.lexical import Lexical, LexicalSnapshot

TEXTS = ["red oak chair", "blue oak table", "lamp", "garden hose red red"]


def lexical_of(share: float = 0.0) -> Lexical:
    return Lexical(LexicalSnapshot.build(TEXTS, "english"), share)


@pytest.fixture
def lexical() -> Lexical:
    return lexical_of()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_an_appended_text_scores_as_the_same_text_of_the_snapshot(share):
    """The same IDF and lengths, also for words that are asked for twice, misspelt or not known."""
    lexical = lexical_of(share)
    lexical.append(TEXTS[:2])
    lexical.append([*TEXTS[2:]])
    for query in ("red oaks", "lamp lamp", "gardne lamp", "table red of"):
        scores = lexical.scores(query)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores[4:], scores[:4], rtol=1e-5)
        assert scores.max() > 0


def test_scores_are_between_none_and_about_all_of_the_words(lexical):
    scores = lexical.scores("red oak chairs")
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


@pytest.mark.parametrize("query", ["", "unheard", "the of", "zz"])
def test_a_query_without_a_known_word_has_no_scores(lexical, query):
    lexical.append(["walnut desk", ""])
    assert lexical.scores(query) is None


def test_an_unknown_word_beside_a_known_one_lowers_its_share(lexical):
    """What is asked for and not there counts against every item alike."""
    assert 0 < lexical.scores("lamp unheard")[2] < lexical.scores("lamp")[2]


def test_grams_find_what_words_do_not():
    """A misspelt word, and one that is written together."""
    assert lexical_of(0.0).scores("gardn") is None
    assert int(np.argmax(lexical_of(0.5).scores("gardn"))) == 3
    assert int(np.argmax(lexical_of(1.0).scores("oaktable"))) == 1


def test_the_score_is_the_mix_of_its_parts():
    words, grams = lexical_of().parts("blue oak tabel")
    for share in (0.0, 0.3, 1.0):
        mixed = lexical_of(share).scores("blue oak tabel")
        np.testing.assert_allclose(mixed, (1 - share) * words + share * grams, rtol=1e-6)


def test_a_part_without_a_known_term_is_zero():
    """Words of no item, and grams of none: the other part counts by its share alone."""
    words, grams = lexical_of().parts("gardn")
    assert not words.any()
    np.testing.assert_allclose(lexical_of(0.25).scores("gardn"), 0.25 * grams)
    assert lexical_of(0.25).scores("zzz") is None


def test_what_is_loaded_is_what_was_saved(tmp_path):
    LexicalSnapshot.build(TEXTS, "german").save(tmp_path)
    again = LexicalSnapshot.load(tmp_path)
    assert (again.language, again.items) == ("german", 4)
    scores = Lexical(again, 0.5).scores("red oak")
    np.testing.assert_array_equal(
        scores, Lexical(LexicalSnapshot.build(TEXTS, "german"), 0.5).scores("red oak")
    )


def test_words_and_grams_of_two_catalogues_are_refused(tmp_path):
    LexicalSnapshot.build(TEXTS, "english").save(tmp_path)
    words = {path.name: path.read_bytes() for path in tmp_path.glob("words.*")}
    LexicalSnapshot.build(TEXTS[:2], "english").save(tmp_path)
    for name, content in words.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="two indexes; build it again"):
        LexicalSnapshot.load(tmp_path)
