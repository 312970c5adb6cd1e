"""The reason of an undiscoverable item is the first that holds, and its fix can be carried out."""

import numpy as np
import polars as pl
import pytest

from components.evaluation.undiscoverable_reasons import Attempt, Explainer, Explanation

TITLES = [
    "Oak table lamp small dimmer switch cable shade bulb foot",  # 0: nine of ten words of item 5
    "Oak table lamp small dimmer switch cable",
    "Brass cordless ceiling lamp",
    "Steel cordless floor lamp",
    "Pine cordless lamp 40",
    "Oak table lamp small dimmer switch cable shade bulb base",  # 5: the new item
    "",
    "Lamp",
    "zorblax quuxen lamp",
]
GROUPS = ["g0", "g1", "g2", "g5", "g4", "g5", "g6", "g7", "g8"]
NEW = 5


def explainer(groups: bool = False, **given: object) -> Explainer:
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(len(TITLES))], "title": TITLES})
    if groups:
        items = items.with_columns(group=pl.Series(GROUPS))
    return Explainer(items, ["title"], **given)  # type: ignore[arg-type]


def explained(row: int, top: tuple[int, ...], place: int | None = 14, **given: object) -> Explanation:
    return explainer(**given).explain(Attempt(row, "oak lamp", place, top))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "fix"), [(6, "Title has no word that search can use: add"), (7, "Title has 1 word: add brand")]
)
def test_an_empty_or_one_word_title_is_the_reason_whatever_else_holds(row, fix):
    found = explained(row, (1, 2, 3, 4), unknown_words=lambda word: 0)
    assert found.reason == "no title"
    assert found.fix.startswith(fix)


def test_words_that_the_tokenizer_cuts_up_or_lacks_are_the_reason_when_they_are_the_most():
    """Two of the three telling words: one in five pieces, one without any."""
    pieces = {"zorblax": 5, "quuxen": 0}
    found = explained(8, (1, 2), unknown_words=lambda word: pieces.get(word, 1))
    assert found.reason == "unknown words"
    assert "“zorblax” and “quuxen”" in found.fix


def test_half_unknown_words_or_three_pieces_are_not_the_reason():
    four = {"zorblax": 4}
    assert explained(8, (1, 2), unknown_words=lambda word: four.get(word, 1)).reason == "outranked"
    assert explained(8, (1, 2), unknown_words=lambda word: 3).reason == "outranked"
    assert explained(8, (1, 2), unknown_words=lambda word: 4).reason == "unknown words"


def test_a_hidden_item_names_the_filter():
    found = explained(NEW, (0, 0, 0), filtered=lambda item_id: "not in stock" if item_id == "i5" else None)
    assert found.reason == "filtered"
    assert "not in stock" in found.fix


def test_an_earlier_reason_still_says_that_the_item_is_hidden():
    found = explained(7, (1,), filtered=lambda item_id: "not in stock")
    assert found.reason == "no title"
    assert found.fix.endswith("It is hidden as well: not in stock.")


def test_half_of_the_places_held_by_nearly_the_same_words_are_near_duplicates():
    """Item 0 differs in one word of ten, item 1 in three."""
    found = explained(NEW, (0, 2))
    assert (found.reason, found.crowding) == ("near-duplicates", (0,))
    assert "1 of the first 2 places" in found.fix
    assert "(i0)" in found.fix
    assert explained(NEW, (0, 2, 3)).reason == "outranked"
    assert explained(NEW, (1, 2)).reason == "outranked"


def test_sizes_of_one_product_are_near_duplicates_and_other_numbers_are_not():
    titles = ["Oak lamp 30 cm", "Oak lamp 40 cm", "1984", "2001"]
    items = pl.DataFrame({"item_id": list("abcd"), "title": titles})
    by_row = Explainer(items, ["title"])
    assert by_row.explain(Attempt(0, "oak lamp", 12, (1,))).reason == "near-duplicates"
    assert not by_row._nearly_equal(2, 3)


def test_the_same_duplicate_group_is_a_near_duplicate():
    assert explained(NEW, (3, 2)).reason == "outranked"
    assert explained(NEW, (3, 2), groups=True).reason == "near-duplicates"


def test_a_cosine_above_95_percent_is_a_near_duplicate():
    vectors = np.zeros((len(TITLES), 2), dtype=np.float32)
    vectors[:, 1] = 1.0
    vectors[NEW] = (1.0, 0.0)
    vectors[2] = (0.96, 0.28)
    vectors[3] = (0.94, np.sqrt(1 - 0.94**2))
    assert explained(NEW, (2, 4), vectors=vectors).crowding == (2,)
    assert explained(NEW, (2, 4), vectors=vectors).reason == "near-duplicates"
    assert explained(NEW, (3, 4), vectors=vectors).reason == "outranked"


def test_an_outranked_item_names_the_three_leaders_and_what_they_say_that_it_does_not():
    found = explained(NEW, (2, 3, 4, 1))
    assert (found.reason, found.crowding) == ("outranked", (2, 3, 4))
    assert "in place 14" in found.fix
    assert all(TITLES[row] in found.fix for row in (2, 3, 4))
    assert "Their titles say “cordless”, this item nowhere" in found.fix


def test_the_words_of_the_query_come_first_among_those_that_are_missing():
    titles = ["grey sofa big seat", "grey sofa big seat", "grey couch", "big seat", "big seat"]
    items = pl.DataFrame({"item_id": list("abcde"), "title": titles})
    found = Explainer(items, ["title"]).explain(Attempt(2, "grey sofa", None, (0, 1, 3)))
    assert "say “sofa”, “big” and “seat”" in found.fix
    assert "not in the first 100 places" in found.fix


def test_leaders_with_nothing_in_common_lead_to_the_general_advice():
    assert "size, material, use" in explained(NEW, (1, 2)).fix


def test_an_item_whose_queries_find_nothing_is_said_so():
    found = explained(NEW, (), place=None)
    assert (found.reason, found.crowding) == ("outranked", ())
    assert "find nothing at all" in found.fix


def test_long_titles_are_cut_in_a_fix():
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["oak lamp", "word " * 40]})
    fix = Explainer(items, ["title"]).explain(Attempt(0, "q", 12, (1,))).fix
    assert "word…”" in fix
    assert len(fix) < 250
