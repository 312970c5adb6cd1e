"""An index that is changed for months without a release: dead rows are left out, and nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index import coded_vectors, live_rows
from components.index.columns import Filters
from components.index.live import LiveIndex

TITLES = ("oak chair", "oak table", "red lamp", "blue lamp", "steel hammer", "garden hose", "oak chair red")
IDS = tuple("bdfhjl")


def put(item_id: str, title: str, seq: int, **columns) -> Change:
    return Change(item_id=item_id, seq=seq, item=LiveItem(item_id=item_id, title=title, **columns))


def delete(item_id: str, seq: int) -> Change:
    return Change(item_id=item_id, seq=seq, item=None)


@pytest.fixture(scope="module")
def index_of(make_snapshot, word_encoder):
    def make(scoring="mean") -> LiveIndex:
        rows = [{"item_id": name, "title": title} for name, title in zip(IDS, TITLES, strict=False)]
        plan = RetrievalPlan(lexical_weight=0.5, history_scoring=scoring)
        return LiveIndex("x", make_snapshot(rows, encoder=word_encoder), word_encoder, plan, ("title",))

    return make


def change(index: LiveIndex, *changes: Change) -> int:
    return index.apply(index.encode(changes))


def answers(index: LiveIndex) -> list[list[tuple[dict, float]]]:
    """What every kind of search shows: the items with all their columns, and their scores."""
    masks = [None, index.mask(Filters(max_price=5)), index.mask(Filters(in_stock=True, brand="nord"))]
    requests = [Request(text, text=text) for text in TITLES]
    requests += [Request("u", history=("b", "a", "d"), exclude=frozenset("d"))]
    rankings = [index.search(requests, 50, mask) for mask in masks]
    return [
        [(index.item(row), score) for row, score in zip(rows, scores, strict=True) if row >= 0]
        for ranking in rankings
        for rows, scores in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True)
    ]


ACTS = st.lists(
    st.tuples(
        st.sampled_from([*IDS, "a", "c", "k", "z"]),
        st.none() | st.sampled_from(TITLES),
        st.sampled_from([None, 3.0, 9.0]),
        st.booleans(),
    ),
    max_size=20,
)


@given(ACTS, ACTS, st.sampled_from(["mean", "top3", "centred_top10"]))
@settings(max_examples=300, deadline=None)
def test_a_compacted_index_answers_as_before_and_takes_later_changes_alike(index_of, earlier, later, scoring):
    """Scores to the last bit, columns, deletions, which changes are old; the first one stays as it is."""
    index = index_of(scoring)

    def played(acts, start) -> list[Change]:
        return [
            delete(name, seq)
            if title is None
            else put(name, title, seq, price=price, in_stock=in_stock, brand="Nord")
            for seq, (name, title, price, in_stock) in enumerate(acts, start=start)
        ]

    for one in played(earlier, 1):
        change(index, one)
    before = answers(index)
    compacted = index.compacted()
    assert answers(compacted) == before
    assert (len(compacted), compacted.wasteful) == (len(index), False)
    assert len(compacted.item_ids) <= len(index.item_ids)
    rows = len(index.item_ids)
    for one in played(later, 100):
        assert change(compacted, one) == 1
        assert compacted.unknown([one]) == []
    assert (answers(index), len(index.item_ids)) == (before, rows)
    for one in played(later, 100):
        change(index, one)
    assert answers(compacted) == answers(index)


def test_ten_thousand_updates_of_one_item_take_the_memory_of_a_thousand(index_of):
    """However long the next release is away: rows, and so a search's work, stay bounded."""
    index, most = index_of(), 0
    for number in range(10_000):
        change(index, put("b", f"oak chair number {number % 50}", number + 1))
        most = max(most, len(index.item_ids))
        index = index.compacted() if index.wasteful else index
    assert most <= len(IDS) + live_rows.DEAD_ROWS + 2
    assert index.item(index.row("b"))["title"] == "oak chair number 49"
    assert len(index) == len(IDS)


def test_deleted_items_do_not_stay_in_memory_either(index_of):
    """Listed and taken out again, each under an id of its own."""
    index = index_of()
    for number in range(3 * live_rows.DEAD_ROWS):
        change(index, put(f"n{number}", "red lamp", 2 * number + 1), delete(f"n{number}", 2 * number + 2))
        change(index, put(f"m{number}", "red lamp", 2 * number + 1))
        change(index, delete(f"m{number}", 2 * number + 2))
        index = index.compacted() if index.wasteful else index
    assert len(index.item_ids) <= len(IDS) + live_rows.DEAD_ROWS + 2
    assert change(index, put("m0", "red lamp", 1)) == 0


def test_a_release_whose_items_were_all_put_once_is_not_wasteful(index_of):
    """Their older rows are the snapshot's, which no compaction would leave out."""
    index = index_of()
    for seq, name in enumerate(IDS, start=1):
        change(index, put(name, "oak chair", seq))
    assert (index._dead, index.wasteful) == (0, False)


def test_an_item_whose_text_stays_is_not_encoded_again(index_of, word_encoder, monkeypatch):
    """A change of price or stock: the vector is the snapshot's, whatever the encoder would give now."""
    index, encoded = index_of(), []
    original = type(word_encoder).encode_items
    monkeypatch.setattr(
        word_encoder,
        "encode_items",
        lambda texts: (encoded.extend(texts), original(word_encoder, texts))[1],
        raising=False,
    )
    before = answers(index)
    change(index, put("b", TITLES[0], 1, price=4), put("d", "walnut desk", 1), put("new", TITLES[0], 1))
    assert encoded == ["walnut desk", TITLES[0]]
    assert index.item(index.row("b"))["price"] == 4
    np.testing.assert_array_equal(index.vector(index.row("b")), index.vector(0))
    (first, *_), (old, *_) = answers(index)[0], before[0]
    assert (first[0]["item_id"], first[1]) == (old[0]["item_id"], old[1])


@pytest.mark.parametrize("segment", [1, 3, 7, 100])
def test_appended_rows_are_packed_in_segments_and_stay_the_same(monkeypatch, segment):
    """To the last bit, whatever the length of the segments and of what is appended; `as_built` has none."""
    monkeypatch.setattr(coded_vectors, "SEGMENT", segment)
    rng = np.random.default_rng(segment)
    vectors = rng.standard_normal((60, 24)).astype(np.float32)
    whole = coded_vectors.CodedVectors(vectors).cosines(vectors[:5])
    for start in (0, 20):
        grown, first = coded_vectors.CodedVectors(vectors[:start]), start
        for length in (1, 1, 5, 0, 2, 11, 1, 19 if start else 39):
            grown.append(vectors[first : first + length])
            first += length
        assert len(grown) == first == 60
        np.testing.assert_array_equal(grown.cosines(vectors[:5]), whole)
        assert len(grown.as_built()) == start
        np.testing.assert_array_equal(grown.as_built().cosines(vectors[:5]), whole[:, :start])
