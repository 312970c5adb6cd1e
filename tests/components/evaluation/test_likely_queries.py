"""What shoppers would type to find a new item."""

import numpy as np
import polars as pl

from components.evaluation.likely_queries import LikelyQuery, likely_queries

OWN, ASKED = "own words", "asked for similar items"


def catalogue(rows: list[dict[str, str]]) -> pl.DataFrame:
    columns = ("title", "brand", "category", "attributes")
    return pl.DataFrame(
        [{"item_id": f"i{n:03d}"} | {c: row.get(c) for c in columns} for n, row in enumerate(rows)],
        schema={"item_id": pl.String} | dict.fromkeys(columns, pl.String),
    )


def queries_of(
    rows: list[dict[str, str]], pairs: list[tuple[str, str]] | None = None
) -> tuple[LikelyQuery, ...]:
    """The likely queries of the last item, which is the only new one."""
    items = catalogue(rows)
    new = np.arange(len(items)) == len(items) - 1
    fields = ["title", "brand", "category", "attributes"]
    frame = None
    if pairs is not None:
        frame = pl.DataFrame(pairs, schema=["query", "item_id"], orient="row").with_columns(grade=3.0)
    return likely_queries(items, [len(items) - 1], fields, frame, new=new)[len(items) - 1]


OTHERS = [
    {"title": "Oak reading lamp", "brand": "Acme", "category": "Home > Lamps", "attributes": "colour: moss"},
    {"title": "Brass reading lamp", "brand": "Acme", "category": "Home > Lamps", "attributes": "colour: red"},
    {"title": "Oak lamp", "brand": "Bolt", "category": "Home > Lamps", "attributes": "colour: red"},
]
NEW = {
    "title": "Zorblax Oak Reading Lamp with Dimmer, 30 cm",
    "brand": "Acme",
    "category": "Home > Lighting > Lamps",
    "attributes": "colour: moss; finish: red; code: qx77z; note: made by hand in small runs; width: 30",
}


def test_own_words_are_rarest_words_shared_words_brand_and_kind_attribute_and_kind():
    """The rarest words hold the name that only this item has; the shared ones do not. Of the attribute values
    that another item has too the rarest is taken; codes, sentences and numbers are not. Two shared words fill
    up where no query was asked for a similar item."""
    assert queries_of([*OTHERS, NEW]) == (
        LikelyQuery("zorblax oak dimmer cm", OWN),
        LikelyQuery("oak reading lamp", OWN),
        LikelyQuery("acme lamps", OWN),
        LikelyQuery("moss lamps", OWN),
        LikelyQuery("oak reading", OWN),
    )


def test_queries_for_similar_items_fill_up_to_six():
    pairs = [(f"reading lamp {word}", "i000") for word in ("oak", "moss", "acme", "big", "tall")]
    found = queries_of([*OTHERS, NEW], pairs)
    assert [query.source for query in found] == [OWN] * 4 + [ASKED] * 2
    assert len({query.text for query in found}) == 6


def test_with_few_words_of_its_own_more_is_asked_for_similar_items():
    pairs = [(f"oak lamp {word}", "i002") for word in ("one", "two", "three", "four", "five", "six")]
    found = queries_of([*OTHERS, {"title": "Oak lamp"}], pairs)
    assert found[0] == LikelyQuery("oak lamp", OWN)
    assert [query.source for query in found] == [OWN] + [ASKED] * 5


def test_equal_queries_are_tried_once_and_keep_the_first_source():
    assert queries_of([*OTHERS, {"title": "Oak lamp"}], [("Oak  LAMP", "i002")]) == (
        LikelyQuery("oak lamp", OWN),
    )


def test_a_category_code_is_no_kind():
    found = queries_of([*OTHERS, {"title": "Oak", "brand": "Acme", "category": "c1 > abcat0701002"}])
    assert [query.text for query in found] == ["oak"]


def test_a_title_of_stop_words_is_asked_for_as_it_stands():
    assert queries_of([*OTHERS, {"title": "It"}]) == (LikelyQuery("it", OWN),)


def test_an_item_without_any_word_has_no_query():
    assert queries_of([*OTHERS, {"title": " "}], [("lamp", "i000")]) == ()


def test_a_shop_with_titles_alone_has_queries():
    """Columns that the catalogue does not have count as empty."""
    items = pl.DataFrame({"item_id": ["a", "b"], "title": ["oak lamp", "pine lamp"]})
    found = likely_queries(items, [1], ["title"], None, new=np.array([False, True]))
    assert found == {1: (LikelyQuery("pine lamp", OWN),)}


def test_the_queries_of_an_item_do_not_depend_on_which_others_are_asked_about():
    items = catalogue([*OTHERS, NEW, {"title": "Brass dimmer lamp"}])
    new = np.array([False, False, False, True, True])
    pairs = pl.DataFrame({"query": ["reading lamp", "lamp"], "item_id": ["i000", "i001"]})
    both = likely_queries(items, [3, 4], ["title"], pairs, new=new)
    assert list(both) == [3, 4]
    assert both[4] == likely_queries(items, [4], ["title"], pairs, new=new)[4]
