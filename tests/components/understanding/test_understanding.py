"""What heads and knowledge together say of a query."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contract.errors import DataError
from components.contract.task import Task
from components.tasks.heads import Head
from components.understanding.understanding import LIKELIEST, Understanding

DIMENSIONS = 16


def task(**changes: Any) -> Task:
    given = {"name": "wish", "says": "Wish", "rows": "SELECT 1", "text": ("query",), "head": "classification"}
    return Task.model_validate(given | changes)


def of_labels(*labels: str, facet: str | None = "brand") -> Head:
    """Its label number i is as probable as coordinate i of the vector is high."""
    weights = 10 * np.eye(len(labels), DIMENSIONS, dtype=np.float32)
    return Head(task(facet=facet), weights, np.zeros(len(labels), dtype=np.float32), labels)


def of_price(half_width: float | None) -> Head:
    one = task(name="price", head="regression", facet="price", log_scale=True, coverage=0.5)
    rows = np.zeros((1, DIMENSIONS), dtype=np.float32)
    zero = np.zeros(1, dtype=np.float32)
    return Head(one, rows, zero + np.float32(np.log(20)), coefficients=zero, half_width=half_width)


def vector(place: int) -> Any:
    return np.eye(DIMENSIONS, dtype=np.float32)[place]


def test_a_head_implies_its_likeliest_labels() -> None:
    """As items write them, the improbable ones left out."""
    found = Understanding([of_labels("Tresk", "ORVANE  Ltd", "Other")], None).imply("q", vector(1))
    assert [(one.value, one.source, one.because) for one in found] == [("orvane ltd", "learned", "wish")]
    assert found[0].probability > 0.99
    even = Understanding([of_labels(*map(str, range(12)))], None).imply("q", vector(15))
    assert [one.probability for one in even] == pytest.approx([1 / 12] * LIKELIEST)


def test_a_category_stands_for_its_whole_path() -> None:
    """And its items are matched from that path down."""
    head = of_labels("Home >Lamps", "Garden", facet="category")
    [found] = Understanding([head], None).imply("q", vector(0))
    assert found.value == "home > lamps"


def test_a_price_is_a_band_with_its_coverage() -> None:
    """A head without an interval says nothing."""
    [band] = Understanding([of_price(np.log(2))], None).imply("q", vector(0))
    assert (band.low, band.high, band.probability) == (pytest.approx(10), pytest.approx(40), 0.5)
    assert Understanding([of_price(None)], None).imply("q", vector(0)) == ()


def test_only_the_facets_asked_for_are_worked_out() -> None:
    """Each head costs time."""
    both = Understanding([of_labels("a", "b"), of_price(0.1)], None)
    assert {one.facet for one in both.imply("q", vector(0), {"price"})} == {"price"}
    assert {one.facet for one in both.imply("q", vector(0))} == {"brand", "price"}


def test_a_release_that_knows_nothing_of_queries_has_none(tmp_path: Path) -> None:
    """Nor one whose heads are of items; a damaged file is one sentence."""
    of_labels("a", "b", facet=None).save(tmp_path / "heads" / "wish")
    words = str.split
    assert Understanding.open(tmp_path / "heads", tmp_path / "knowledge.json", [], words) is None
    of_labels("a", "b").save(tmp_path / "heads" / "wish")
    assert Understanding.open(tmp_path / "heads", tmp_path / "knowledge.json", [], words) is not None
    (tmp_path / "knowledge.json").write_text('{"rule": 1}')
    with pytest.raises(DataError, match="is damaged"):
        Understanding.open(tmp_path / "heads", tmp_path / "knowledge.json", [], words)


def test_a_head_gives_way_to_an_accessory_that_the_query_names(tmp_path: Path) -> None:
    """The head says lamps, and so does the tree; the shop knows that a shade is for a lamp."""
    of_labels("Lamps", "Garden", facet="category").save(tmp_path / "heads" / "wish")
    shop = {"accessories": [{"category": "Shades", "of": ["Lamps"]}]}
    (tmp_path / "knowledge.json").write_text(json.dumps(shop))
    known = Understanding.open(
        tmp_path / "heads", tmp_path / "knowledge.json", ["Lamps", "Shades"], lambda word: [word.lower()]
    )
    assert known is not None
    assert [one.value for one in known.imply("shades lamps", vector(0))] == ["shades"]
    assert [one.value for one in known.imply("lamps", vector(0))] == ["lamps", "lamps"]
