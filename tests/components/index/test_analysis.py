"""Texts as the lexical side's terms."""

from typing import get_args

import pytest

from components.contract.learning import Language
from components.index.analysis import Analyzer


def test_words_are_stemmed_without_stop_words_and_numbers_are_cut_off():
    """What is written in other forms, or with its unit joined on, meets in the same terms."""
    analyzer = Analyzer("english")
    assert analyzer.words("The Hinges for a 2x4 in. door") == analyzer.words("hinge 2 x 4in doors")
    assert analyzer.words("1.5 gal buckets") == ["1.5", "gal", "bucket"]


def test_without_a_language_words_stay_as_they_are():
    assert Analyzer("none").words("The Hinges of 椅子 Größe") == ["the", "hinges", "of", "椅子", "größe"]


def test_grams_mark_the_ends_of_words():
    assert Analyzer("english").grams("The oak x 12") == ["#oa", "oak", "ak#", "#x#", "#12", "12#"]


def test_a_misspelt_word_shares_most_of_its_grams():
    grams = Analyzer("english").grams
    right, wrong = set(grams("screwdriver")), set(grams("screwdrver"))
    assert len(right & wrong) >= len(right) - 4
    assert set(grams("back splash")) & set(grams("backsplash")) >= {"#ba", "bac", "ack", "spl", "ash", "sh#"}


@pytest.mark.parametrize("language", get_args(Language))
def test_every_language_of_the_settings_has_stop_words_and_a_stemmer(language):
    analyzer = Analyzer(language)
    assert analyzer.words("oak 12") != []
    assert analyzer.words("") == analyzer.grams("") == []
