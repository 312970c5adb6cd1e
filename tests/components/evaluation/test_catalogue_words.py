"""The words of a catalogue: how many items hold them, and which of a title are the most telling."""

import math

import polars as pl
import pytest

from components.contract.errors import ConfigError
from components.contract.ports import Request
from components.evaluation.catalogue_words import CatalogueWords, spoken_words, word_count
from components.index.bm25 import BM25Index


def catalogue(titles: list[str], **columns: list[str | None]) -> pl.DataFrame:
    return pl.DataFrame({"item_id": [f"i{n:03d}" for n in range(len(titles))], "title": titles, **columns})


def test_items_holding_counts_items_not_occurrences_over_title_and_fields():
    words = CatalogueWords(catalogue(["oak oak", "pine", "elm"], brand=["Oak", None, "Elm"]), ["brand"])
    assert [words.items_holding(word) for word in ("oak", "pine", "elm", "ash")] == [1, 1, 1, 0]


def test_the_title_counts_although_the_encoder_does_not_read_it():
    words = CatalogueWords(catalogue(["oak"], brand=["acme"]), ["brand"])
    assert words.words_of(0) == {"oak", "acme"}


def test_idf_is_the_one_of_bm25():
    """Scores of one-word items of equal length differ by their IDF alone."""
    titles = ["oak", "oak", "oak", "pine"]
    ids = [f"i{n:03d}" for n in range(4)]
    scores = BM25Index("b", ids, titles).search([Request("q", text=w) for w in ("oak", "pine")], 1).scores
    words = CatalogueWords(catalogue(titles), ["title"])
    assert words.idf("oak") / words.idf("pine") == pytest.approx(float(scores[0, 0] / scores[1, 0]), rel=1e-5)
    assert words.idf("pine") == pytest.approx(math.log(1 + (4 - 1 + 0.5) / 1.5))


def test_the_most_telling_words_are_the_rarest_in_the_titles_order():
    words = CatalogueWords(
        catalogue(["oak table lamp dimmer", "oak table lamp", "oak table", "oak"]), ["title"]
    )
    assert words.most_telling("Oak table LAMP dimmer", 2) == ["lamp", "dimmer"]
    assert words.most_telling("Oak table LAMP dimmer", 2, held_by=2) == ["table", "lamp"]
    assert words.most_telling("Oak table LAMP dimmer", 2, held_by=9) == []


def test_of_equally_telling_words_the_first_is_taken():
    words = CatalogueWords(catalogue(["ash birch cedar"]), ["title"])
    assert words.most_telling("cedar ash birch", 2) == ["cedar", "ash"]


def test_a_compound_is_as_telling_as_its_rarest_part():
    words = CatalogueWords(catalogue(["zinc-plated screw", "plated bolt", "screw", "bolt screw"]), ["title"])
    assert words.most_telling("screw zinc-plated bolt", 1) == ["zinc-plated"]


@pytest.mark.parametrize(
    ("title", "spoken"),
    [
        ("The Lamp, of (Oak)!", ["lamp", "oak"]),
        ("7&#39; Chain &amp; hook", ["chain", "hook"]),
        ("Bit 12 x 3/4 18-Volt 2025", ["bit", "18-volt"]),
        ("1984 2001", ["1984", "2001"]),
        ("it", []),
        ("", []),
    ],
)
def test_spoken_words_leave_out_stop_words_and_numbers_beside_words(title, spoken):
    assert spoken_words(title) == spoken


@pytest.mark.parametrize(
    ("title", "count"),
    [
        ("", 0),
        ("the x", 0),
        ("Lamp", 1),
        ("lamp LAMP", 1),
        ("oak lamp", 2),
        ("木製テーブルランプ", 4),
        ("灯", 0),
    ],
)
def test_word_count_is_of_words_that_bm25_indexes_and_looks_into_unspaced_scripts(title, count):
    assert word_count(title) == count


def test_an_unknown_field_is_named():
    with pytest.raises(ConfigError, match="colour"):
        CatalogueWords(catalogue(["oak"]), ["colour"])
