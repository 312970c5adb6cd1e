"""What items have beside what a query implies."""

import numpy as np
import polars as pl
import pytest

from components.contract.live import LiveItem
from components.index.facets import Facets
from components.understanding.implied import Implication, labels_of

ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c", "d"],
        "category": ["Home > Lamps", "home >  lamps > Desk", "Garden", None],
        "brand": ["Tresk", "TRESK", "Orvane", ""],
        "price": [10.0, 14.0, 100.0, None],
        "attributes": ["colour: red; size: 5", "Colour: Red", None, "size: 5"],
    }
)


def told(facet: str, value: str | None, probability: float = 1.0, **more: float) -> Implication:
    return Implication(facet, probability, "learned", "test", value, **more)  # type: ignore[arg-type]


def slowly(items: pl.DataFrame, implied: tuple[Implication, ...], facet: str) -> list[float]:
    """The same item by item: the best of the statements that hold for it; of attributes their sum."""
    add = sum if facet == "attributes" else max
    return [
        add([one.probability for one in implied if one.value in labels_of(facet, text)] or [0.0])  # type: ignore[arg-type,operator]
        for text in items.get_column(facet)
    ]


@pytest.mark.parametrize("facet", ["category", "brand", "attributes"])
def test_an_item_matches_what_it_has(facet: str) -> None:
    """A category matches all below it; letter case and space do not matter; an item without a value matches
    nothing."""
    values = {"category": ("home", "home > lamps > desk"), "brand": ("tresk", "nobody")}
    implied = tuple(
        told(facet, value, probability)
        for value, probability in zip(values.get(facet, ("colour: red", "size: 5")), (0.7, 0.9), strict=True)
    )
    found = Facets.of(ITEMS).match(implied)
    assert list(found) == [facet]
    np.testing.assert_allclose(found[facet], slowly(ITEMS, implied, facet), rtol=1e-6)  # type: ignore[index]


def test_a_price_matches_inside_its_band_and_less_outside() -> None:
    """1 inside, falling over half as much again, 0 far away and where no price is known; one end may be
    open."""
    facets = Facets.of(ITEMS)
    band = facets.match((told("price", None, 0.5, low=8.0, high=12.0),))["price"]
    assert band[0] == 0.5 and 0 < band[1] < 0.5 and band[2] == 0 and band[3] == 0
    cheap = facets.match((told("price", None, 1.0, high=20.0),))["price"]
    assert cheap.tolist() == [1, 1, 0, 0]


def test_a_band_may_end_at_or_below_zero() -> None:
    """A learned one does where prices are low: no price is below such a lower end, none in a band that ends
    there."""
    facets = Facets.of(ITEMS)
    for low in (-3.0, 0.0):
        found = facets.match((told("price", None, low=low, high=20.0),))["price"]
        assert found.tolist() == [1, 1, 0, 0]
    for high in (-1.0, 0.0):
        assert not facets.match((told("price", None, low=-3.0, high=high),))["price"].any()


def test_rows_that_are_asked_about_get_the_scores_of_all() -> None:
    """A re-ranker asks about its proposals alone."""
    implied = (told("brand", "tresk"), told("price", None, 0.5, low=50.0), told("category", "garden", 0.2))
    facets, rows = Facets.of(ITEMS), np.asarray([2, 0])
    everything, some = facets.match(implied), facets.match(implied, rows)
    assert {name: scores.tolist() for name, scores in some.items()} == {
        name: scores[rows].tolist() for name, scores in everything.items()
    }


def test_appended_and_compacted_rows_match_as_built_ones() -> None:
    """An item that was PUT, with a value nobody had before, is no different from one of the snapshot."""
    implied = (told("brand", "fresh"), told("attributes", "size: 5", 0.5), told("price", None, low=9.0))
    facets = Facets.of(ITEMS[:2])
    facets.append(
        [LiveItem(**row) for row in ITEMS[2:].iter_rows(named=True) for row in [row | {"title": ""}]]
    )
    facets.append([LiveItem(item_id="e", title="", brand="Fresh", price=9.5, attributes="size: 5")])
    fresh = {"item_id": "e", "category": None, "brand": "Fresh", "price": 9.5, "attributes": "size: 5"}
    built = Facets.of(pl.concat([ITEMS, pl.DataFrame([fresh], schema=ITEMS.schema)]))
    for name, scores in built.match(implied).items():
        assert facets.match(implied)[name].tolist() == scores.tolist()
    kept = np.asarray([0, 1, 4])
    fewer = facets.kept(kept)
    fewer.append([LiveItem(item_id="f", title="", brand="newest")])
    assert fewer.match(implied)["brand"].tolist() == [0, 0, 1, 0]
    assert len(facets.match(implied)["brand"]) == 5 and "newest" not in facets.labels("brand")


def test_texts_of_items_that_are_gone_are_forgotten() -> None:
    """An item whose attributes change by the minute does not fill the memory until the next release; the
    older rows, where they are still held, keep their matches."""
    facets = Facets.of(ITEMS)
    implied = (told("attributes", "colour: red"), told("category", "home"), told("brand", "orvane"))
    before = {name: scores.tolist() for name, scores in facets.match(implied).items()}
    fewer = facets.kept(np.arange(4))
    for number in range(3):
        texts = [f"colour: red; stock: {number * 5 + one}" for one in range(5)]
        fewer.append([LiveItem(item_id="p", title="", attributes=text, brand=text) for text in texts])
        rows = len(fewer.match(implied)["brand"])
        fewer = fewer.kept(np.asarray([0, 1, 2, 3, rows - 1]))
    assert sorted(fewer.labels("attributes")) == ["colour: red", "size: 5", "stock: 14"]
    assert sorted(fewer.labels("brand")) == ["colour: red; stock: 14", "orvane", "tresk"]
    assert {name: scores[:4].tolist() for name, scores in fewer.match(implied).items()} == before
    assert fewer.match(implied)["attributes"][4] == 1
    assert {name: scores.tolist() for name, scores in facets.match(implied).items()} == before
    fewer = fewer.kept(np.asarray([2]))
    assert list(fewer.labels("attributes")) == [] and fewer.match(implied)["brand"].tolist() == [1]


def test_facets_that_nobody_weighs_are_not_kept() -> None:
    """They would cost memory."""
    with pytest.raises(KeyError):
        Facets.of(ITEMS, ["brand"]).match((told("category", "home"),))
