"""What sections of debut.yaml have to say of each other."""

import pytest

from components.contract.errors import ConfigError
from components.contract.settings import facets_of
from components.data.configuration import parse_settings

MINIMAL = "shop: corner\ntables:\n  items: SELECT 1\n"


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        parse_settings(text, "debut.yaml")
    return str(raised.value)


@pytest.mark.parametrize(
    ("rest", "refused"),
    [
        ("", "nothing says which brand a query implies: add query_brand to tasks or a rule for it to"),
        ("tasks: [query_price]\n", "which brand"),
        ("knowledge: {synonyms: [[sofa, couch]]}\n", "which brand"),
        ("tasks: [query_brand]\n", None),
        ("knowledge: {rules: [{words: [acme], brand: Acme}]}\n", None),
    ],
)
def test_a_weight_of_what_no_query_can_imply_is_refused(rest: str, refused: str | None) -> None:
    """It would be left out of the release in silence."""
    text = MINIMAL + "retrieval:\n  implied_weights: {brand: 0.3, price: 0}\n" + rest
    if refused:
        told = complaint(text)
        assert "retrieval.implied_weights: " in told and refused in told
    else:
        assert parse_settings(text, "debut.yaml").retrieval.implied_weights == {"brand": 0.3, "price": 0}


def test_the_facets_of_knowledge_are_its_trees_and_its_rules() -> None:
    """A tree that is switched off says no category; attributes have a task of another name."""
    weights = "retrieval:\n  implied_weights: {category: 0.1, price: 0.1, attributes: 0.1}\n"
    rules = "rules: [{words: [cheap], max_price: 9}, {words: [crimson], attributes: ['colour: red']}]"
    known = parse_settings(f"{MINIMAL}{weights}knowledge: {{{rules}}}\n", "debut.yaml")
    assert facets_of(known.tasks, known.knowledge) == {"category", "price", "attributes"}
    assert "add query_category" in complaint(f"{MINIMAL}{weights}knowledge: {{tree: false, {rules}}}\n")
    assert "add query_attribute to" in complaint(f"{MINIMAL}{weights}tasks: [query_category, query_price]\n")
