"""The live index leans on what a query implies, by the plan's weights."""

from typing import Any

import numpy as np
import pytest

from components.contract.knowledge import KnowledgeSettings
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index.analysis import Analyzer
from components.index.columns import Filters
from components.index.live import LiveIndex
from components.understanding.knowledge import Knowledge
from components.understanding.understanding import Understanding

ROWS: list[dict[str, Any]] = [
    {"item_id": "i1", "title": "oak table", "brand": "Tresk", "price": 90.0},
    {"item_id": "i2", "title": "oak table", "brand": "Orvane", "price": 15.0},
    {"item_id": "i3", "title": "pine table", "category": "Home > Tables", "brand": "Orvane"},
    {"item_id": "i4", "title": "settee", "category": "Home > Sofas", "price": 15.0},
    {"item_id": "i5", "title": "red lamp"},
]
KNOWN = KnowledgeSettings.model_validate(
    {
        "synonyms": [["couch", "settee"]],
        "rules": [{"words": ["noble"], "brand": "orvane"}, {"words": ["cheap"], "max_price": 20}],
    }
)


@pytest.fixture
def index(make_snapshot: Any, word_encoder: Any) -> Any:
    def make(rows: list[dict[str, Any]] = ROWS, exact: bool = False, **plan: Any) -> LiveIndex:
        categories = [row.get("category") for row in rows]
        known = Understanding([], Knowledge(KNOWN, categories, Analyzer("english").words))
        snapshot = make_snapshot(rows, encoder=word_encoder)
        given = RetrievalPlan.model_validate(plan)
        return LiveIndex("live", snapshot, word_encoder, given, ("title",), exact=exact, understanding=known)

    return make


def ranked(index: LiveIndex, query: str, k: int = 5, among: Any = None) -> list[tuple[str, float]]:
    found = index.search([Request("q", text=query)], k, among)
    return [
        (index.item_ids[row], float(score))
        for row, score in zip(found.rows[0], found.scores[0], strict=True)
        if row >= 0
    ]


def test_items_that_have_what_is_implied_come_first(index: Any) -> None:
    """Of equal texts the one of the implied brand; both where nothing is implied in the order of ids."""
    weighed = index(implied_weights={"brand": 0.3})
    assert [item for item, _ in ranked(weighed, "noble oak table")[:2]] == ["i2", "i1"]
    assert [item for item, _ in ranked(weighed, "oak table")[:2]] == ["i1", "i2"]


def test_a_score_is_the_sum_of_its_parts(index: Any) -> None:
    """Cosine, lexical side and each weighed facet, by the fast path and by the exact one."""
    plan = {"lexical_weight": 0.5, "implied_weights": {"brand": 0.3, "price": 0.2, "category": 0.1}}
    fast, exact = index(**plan), index(exact=True, **plan)
    query = "cheap noble table"
    assert dict(ranked(fast, query)) == pytest.approx(dict(ranked(exact, query)))
    for item_id, score in ranked(fast, query):
        parts = fast.parts(query, fast.row(item_id))
        assert parts["score"] == pytest.approx(score, abs=1e-6)
        implied = sum(value for name, value in parts.items() if name.startswith("implied "))
        total = parts["cosine"] + 0.5 * parts["lexical"] + implied
        assert parts["score"] == pytest.approx(total)
    parts = fast.parts(query, fast.row("i2"))
    assert (parts["implied brand"], parts["implied price"]) == pytest.approx((0.3, 0.2))
    told = {(one.facet, one.source) for one in fast.implied(query)}
    assert told == {("brand", "rule"), ("price", "rule"), ("category", "tree")}


def test_facets_without_a_weight_add_nothing_and_are_shown(index: Any) -> None:
    """The same scores as without any knowledge."""
    plain = index()
    assert plain.implied("noble table") and "implied brand" not in plain.parts("noble table", 0)
    for item_id, score in ranked(plain, "noble table"):
        assert score == pytest.approx(plain.parts("noble table", plain.row(item_id))["cosine"], abs=1e-6)


def test_a_soft_filter_hides_nothing_and_a_hard_one_everything_else(index: Any) -> None:
    """What is implied moves items; what is filtered decides who is there."""
    weighed = index(implied_weights={"brand": 5.0})
    assert len(ranked(weighed, "noble lamp")) == 5
    only = weighed.mask(Filters(brand="tresk"))
    assert [item for item, _ in ranked(weighed, "noble lamp", among=only)] == ["i1"]


def test_an_item_found_by_a_synonym_counts_by_its_share(index: Any) -> None:
    """ "settee" for "couch": nothing without the share, so much of its own words' score with it."""
    for share in (0.0, 0.5, 1.0):
        known = index(lexical_weight=1.0, synonym_share=share)
        own = known.parts("settee", known.row("i4"))["lexical"]
        assert known.parts("couch", known.row("i4"))["lexical"] == pytest.approx(share * own)
        assert known.parts("settee", known.row("i4"))["lexical"] == own > 0


def test_an_item_put_today_is_ranked_as_one_of_the_snapshot(index: Any) -> None:
    """Also after the dead rows were left out."""
    plan = {"implied_weights": {"brand": 0.3, "price": 0.2}}
    built, changed = index(**plan), index(ROWS[:3], **plan)
    stale = [LiveItem(item_id="i4", title="settee", brand="Orvane", price=15.0)]
    fresh = [LiveItem.model_validate(row) for row in ROWS[3:]]
    for seq, item in enumerate([*stale, *fresh], start=1):
        changed.apply(changed.encode([Change(item_id=item.item_id, seq=seq, item=item)]))
    for one in (changed, changed.compacted()):
        found, wanted = ranked(one, "cheap noble table"), ranked(built, "cheap noble table")
        assert [item for item, _ in found] == [item for item, _ in wanted]
        assert dict(found) == pytest.approx(dict(wanted))
    assert len(changed.compacted().item_ids) == len(changed.item_ids) - 1
    assert np.isfinite([score for _, score in ranked(changed, "couch")]).all()
