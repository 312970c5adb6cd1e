"""The weights of the lexical side, chosen on validation."""

from itertools import product

import numpy as np
import polars as pl
import pytest

from components.contract.ports import Request
from components.contract.retrieving import RetrievalSettings
from components.index.fusion import (
    SHARES,
    WEIGHTS,
    Fusion,
    best_fusion,
    fused_recall,
    fusions,
    scored_queries,
)
from components.index.lexical import LexicalSnapshot
from components.index.live_rows import Snapshot
from components.split.judged import JudgedSet

TITLES = [
    f"{colour} {thing}" for thing in ("chair", "table", "lamp") for colour in ("red", "blue", "green", "oak")
]
IDS = [f"i{n:02}" for n in range(len(TITLES))]


class Blind:
    """An Encoder that tells nothing apart."""

    digest = "blind"

    def encode_queries(self, texts):
        return np.tile(np.eye(1, 4, dtype=np.float32), (len(texts), 1))

    encode_items = encode_queries


@pytest.fixture
def snapshot() -> Snapshot:
    items = pl.DataFrame({"item_id": IDS, "title": TITLES})
    return Snapshot(items, Blind().encode_items(TITLES), LexicalSnapshot.build(TITLES, "english"))


def judged(queries: dict[str, str]) -> JudgedSet:
    requests = tuple(Request(text, text=text) for text in queries)
    relevant = {text: frozenset([item]) for text, item in queries.items()}
    return JudgedSet("search", requests, relevant, {}, False, {})


def among(weights: tuple[float, ...], shares: tuple[float, ...]) -> list[Fusion]:
    return [Fusion(weight, share) for weight, share in product(weights, shares)]


def test_the_settings_leave_open_what_they_do_not_say():
    """None at all comes first, so that it is the choice where nothing decides."""
    assert fusions(RetrievalSettings(lexical_weight=0.3, grams_share=0.5)) == [Fusion(0.3, 0.5)]
    assert {one.share for one in fusions(RetrievalSettings(lexical_weight=0.3))} == set(SHARES)
    everything = fusions(RetrievalSettings())
    assert everything[0] == Fusion(0.0, 0.0)
    assert everything == among(WEIGHTS, SHARES)


def test_words_are_weighed_where_the_vectors_tell_nothing(snapshot):
    """Without them ties go by item_id, and the last items are never among ten."""
    queries = scored_queries(
        judged({"lamps green": IDS[10], "oak lamp": IDS[11]}), frozenset(IDS[10:]), snapshot, Blind()
    )
    assert fused_recall(queries, Fusion(0.0, 0.0).weights) == 0.0
    assert fused_recall(queries, Fusion(0.5, 0.0).weights) == 1.0
    assert best_fusion(queries, among((0.0, 0.1, 0.5), (0.0, 0.5))) == Fusion(0.1, 0.0)


def test_grams_are_weighed_where_words_are_misspelt(snapshot):
    queries = scored_queries(
        judged({"gren lmap": IDS[10], "oak lamp": IDS[11]}), frozenset(), snapshot, Blind()
    )
    assert fused_recall(queries, Fusion(1.0, 0.0).weights) == 0.5
    assert best_fusion(queries, among((0.0, 1.0), (0.0, 0.5))) == Fusion(1.0, 0.5)


def test_new_and_established_items_count_alike(snapshot):
    """Three queries for established items that are found, one for a new one that is not: a half."""
    asked = {"red chair": IDS[0], "blue chair": IDS[1], "green chair": IDS[2], "nothing known": IDS[11]}
    queries = scored_queries(judged(asked), frozenset([IDS[11]]), snapshot, Blind())
    assert fused_recall(queries, Fusion(1.0, 0.0).weights) == 0.5


def test_excluded_items_are_not_counted(snapshot):
    only = judged({"oak lamp": IDS[11]})
    request = Request("oak lamp", text="oak lamp", exclude=frozenset([IDS[11]]))
    [query] = scored_queries(
        JudgedSet("search", (request,), only.relevant, {}, False, {}), frozenset(), snapshot, Blind()
    )
    assert not query.relevant["established"][0].any()
