"""Queries that were asked for items like a new one."""

import numpy as np
import polars as pl

from components.evaluation.asked_queries import AskedQueries
from components.evaluation.catalogue_words import CatalogueWords

TITLES = ["oak table lamp", "garden hose green", "steel table lamp", "", "oak desk lamp"]
IDS = ["a", "b", "c", "d", "n"]
NEW = np.array([False, False, False, False, True])
ASKED = [
    ("oak lamp", "a"),
    ("lamp", "a"),
    ("lamp", "c"),
    ("bedside light", "a"),
    ("steel lamp", "c"),
    ("lamp hose", "b"),
    ("blank lamp", "d"),
    ("oak lamp for me", "n"),
    ("gone lamp", "x"),
]


def asked(pairs: list[tuple[str, str]]) -> AskedQueries:
    items = pl.DataFrame({"item_id": IDS, "title": TITLES})
    frame = pl.DataFrame(pairs, schema=["query", "item_id"], orient="row").with_columns(grade=3.0)
    return AskedQueries(IDS, CatalogueWords(items, ["title"]), frame, NEW)


def test_queries_whose_words_the_item_has_come_first_and_the_more_telling_before_the_plain():
    """ "oak lamp" and "lamp" fit wholly, "steel lamp" in part; "bedside light" shares no word with the item,
    "lamp hose" was asked for an item without a common word, so that is no neighbour."""
    assert asked(ASKED).near([4]) == [["oak lamp", "lamp", "steel lamp"]]


def test_rows_of_new_unknown_and_wordless_items_are_ignored():
    """The new item's own training row would be a judgement of it."""
    found = asked(ASKED).near([4])[0]
    assert not {"oak lamp for me", "gone lamp", "blank lamp"} & set(found)


def test_the_order_of_the_training_rows_does_not_matter():
    rng = np.random.default_rng(0)
    shuffled = [[ASKED[n] for n in rng.permutation(len(ASKED))] for _ in range(5)]
    assert {tuple(asked(pairs).near([4])[0]) for pairs in shuffled} == {tuple(asked(ASKED).near([4])[0])}


def test_without_training_rows_there_are_no_queries():
    items = pl.DataFrame({"item_id": IDS, "title": TITLES})
    words = CatalogueWords(items, ["title"])
    assert AskedQueries(IDS, words, None, NEW).near([4, 3]) == [[], []]
    assert asked([("lamp", "n"), ("blank", "d")]).near([4]) == [[]]


def test_an_item_without_words_has_no_neighbours():
    assert asked(ASKED).near([3]) == [[]]
