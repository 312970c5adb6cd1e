"""What a shop's own words, tree and rules say of a query."""

from typing import Any

import polars as pl
import pytest

from components.contract.errors import ConfigError
from components.contract.knowledge import KnowledgeSettings
from components.index.analysis import Analyzer
from components.understanding.implied import Implication
from components.understanding.knowledge import MOST_VARIANTS, Knowledge, check_knowledge

ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c"],
        "category": ["Garden > Desk Lamps", "Home > Lamps", None],
        "brand": ["Tresk", None, "Orvane"],
        "attributes": ["colour: red; size: 5", None, ""],
    }
)


def knowledge(**settings: Any) -> Knowledge:
    given = KnowledgeSettings.model_validate(settings)
    return Knowledge(given, ITEMS.get_column("category"), Analyzer("english").words)


def test_a_query_that_names_a_category_is_after_its_items() -> None:
    """In whatever number and case; a name of two words counts only as a whole; a name at two places means
    both; tree: false says nothing."""
    found = {(one.value, one.because, one.source) for one in knowledge().implies("a LAMP for the desk")}
    assert found == {("home > lamps", "lamps", "tree")}
    both = [one.value for one in knowledge().implies("desk lamp")]
    assert both == ["garden > desk lamps", "home > lamps"]
    assert knowledge(tree=False).implies("desk lamp") == []


def test_a_rule_implies_all_that_it_names() -> None:
    """Its first word that is found is the reason; the price is a band with an open end."""
    rule = {"words": ["on a budget", "cheap"], "brand": "TRESK", "max_price": 20, "probability": 0.8}
    assert knowledge(rules=[rule]).implies("cheap mug") == [
        Implication("brand", 0.8, "rule", "cheap", "tresk"),
        Implication("price", 0.8, "rule", "cheap", None, None, 20.0),
    ]
    assert knowledge(rules=[rule]).implies("budget mug") == [
        Implication("brand", 0.8, "rule", "on a budget", "tresk"),
        Implication("price", 0.8, "rule", "on a budget", None, None, 20.0),
    ]
    assert knowledge(rules=[rule]).implies("cheapest") == []


def test_a_synonym_stands_for_its_group_in_the_query() -> None:
    """Phrases too, one at a time; what only the other words imply says so."""
    known = knowledge(synonyms=[["lamp", "light", "night lamp"], ["sofa", "couch"]])
    assert known.variants("Couches by night  lamp") == [
        "sofa by night  lamp",
        "Couches by lamp",
        "Couches by light",
        "Couches by night  light",
        "Couches by night  night lamp",
    ]
    assert known.variants("mug") == []
    [told] = known.implies("two lights")
    assert (told.value, told.source, told.because) == ("home > lamps", "synonym", "lamp for lights")
    many = knowledge(synonyms=[["lamp", *(f"word{n}" for n in range(50))]])
    assert len(many.variants("lamp")) == MOST_VARIANTS


def accessories(*given: tuple[str, str]) -> Knowledge:
    """Of a shop with lamps, bulbs that lie among them, shades elsewhere, and rules for what people say."""
    settings = {
        "rules": [{"words": ["bright"], "category": "Lamps > Bulbs"}],
        "synonyms": [["lamp", "light"]],
        "accessories": [{"category": category, "of": [other]} for category, other in given],
    }
    shop = ["Lamps > Table", "Lamps > Bulbs", "Textiles > Shades", "Lamps"]
    return Knowledge(KnowledgeSettings.model_validate(settings), shop, Analyzer("english").words)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("shade for a table lamp", {"textiles > shades"}),
        ("light with a shade", {"textiles > shades"}),
        ("bulbs for lamps", {"lamps > bulbs"}),
        ("bright lamp", {"lamps > bulbs"}),
        ("shade", {"textiles > shades"}),
        ("lamps", {"lamps"}),
    ],
)
def test_a_query_that_names_an_accessory_and_what_it_is_for_is_after_the_accessory(
    query: str, wanted: set[str]
) -> None:
    """Whether tree, rule or synonym says so, and where the accessory's category lies within the other's; a
    query that names one of them is after that one."""
    known = accessories(("Textiles > SHADES", "Lamps"), ("Lamps > Bulbs", "lamps"))
    assert {one.value for one in known.after_accessories(known.implies(query))} == wanted


def test_what_is_learned_gives_way_to_an_accessory_that_the_query_names() -> None:
    """But names nothing: a head that thinks of lamps does not make "shade" a question for both."""
    known = accessories(("Textiles", "Lamps"))
    lamps, shades = (
        Implication("category", 0.5, "learned", "query_category", value)
        for value in ("lamps > table", "textiles > shades")
    )
    red = Implication("attributes", 0.5, "learned", "query_attribute", "colour: red")
    told = known.implies("shade for a lamp")
    assert known.after_accessories([*told, lamps, shades, red]) == [
        *(one for one in told if one.value == "textiles > shades"),
        shades,
        red,
    ]
    inside = accessories(("Lamps > Bulbs", "Lamps"))
    for alone, asked in ((known, "shade"), (inside, "bulbs")):
        told = alone.implies(asked)
        assert alone.after_accessories([*told, lamps]) == [*told, lamps]


@pytest.mark.parametrize("query", ["lens for a camera", "lenses for cameras", "camera lens"])
@pytest.mark.parametrize("category", ["Lens", "Lenses"])
def test_a_word_is_found_in_either_number(query: str, category: str) -> None:
    """Though its stem in one is not its stem in the other."""
    settings = {"accessories": [{"category": category, "of": ["Cameras"]}]}
    known = Knowledge(
        KnowledgeSettings.model_validate(settings), [category, "Cameras"], Analyzer("english").words
    )
    assert [one.value for one in known.after_accessories(known.implies(query))] == [category.lower()]


def test_one_word_that_names_both_sides_gives_nothing_up() -> None:
    """A phone case is a case; the phone is given up by its own word alone."""
    shop = ["Accessories > Cases", "Phones > Cases", "Phones > Smart"]
    settings = {"accessories": [{"category": "Accessories > Cases", "of": ["Phones"]}]}
    known = Knowledge(KnowledgeSettings.model_validate(settings), shop, Analyzer("english").words)
    cases = ["accessories > cases", "phones > cases"]
    assert sorted(str(one.value) for one in known.after_accessories(known.implies("leather cases"))) == cases
    assert sorted(str(one.value) for one in known.after_accessories(known.implies("phone case"))) == cases


def test_an_accessory_is_none_of_its_own_accessory() -> None:
    """A query that names both would be after neither."""
    both = [{"category": "garden", "of": ["home"]}, {"category": "Home", "of": ["Garden"]}]
    with pytest.raises(ConfigError, match="the other way round; keep one of the two"):
        check_knowledge(KnowledgeSettings.model_validate({"accessories": both}), ITEMS)


def test_an_accessory_of_what_no_item_is_is_refused() -> None:
    """As a rule is."""
    settings = KnowledgeSettings.model_validate(
        {"accessories": [{"category": "home > lamps", "of": ["Home", "Gardn"]}]}
    )
    with pytest.raises(ConfigError) as error:
        check_knowledge(settings, ITEMS)
    assert "accessory 1 names the category 'gardn', which no item has; did you mean 'garden'?" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            {"brand": "Tresc"},
            "rule 2 ('x') implies the brand 'tresc', which no item has; did you mean",
        ),
        ({"category": "Toys"}, "implies the category 'toys', which no item has."),
        ({"attributes": ["colour: blue"]}, "attribute 'colour: blue', which no item has; did you mean"),
    ],
)
def test_a_rule_about_what_no_item_has_is_refused(rule: dict[str, Any], told: str) -> None:
    """One sentence, before anything is trained."""
    fine = {"words": ["x"], "brand": "tresk", "category": "garden", "attributes": ["Colour: red"]}
    settings = KnowledgeSettings.model_validate({"rules": [fine, {"words": ["x"], **rule}]})
    with pytest.raises(ConfigError) as error:
        check_knowledge(settings, ITEMS)
    assert told in str(error.value)
