"""The live index and what happens to items after its release."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.errors import EncoderError
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index.columns import Filters
from components.index.live import LiveIndex
from components.index.live_rows import EncodedChange

TITLES = ("oak chair", "oak table", "red lamp", "blue lamp", "steel hammer", "garden hose", "oak chair red")
IDS = tuple("bdfhjl")


def put(item_id: str, title: str, seq: int, **columns) -> Change:
    return Change(item_id=item_id, seq=seq, item=LiveItem(item_id=item_id, title=title, **columns))


def delete(item_id: str, seq: int) -> Change:
    return Change(item_id=item_id, seq=seq, item=None)


def found(index: LiveIndex, text: str, k: int = 50, **request) -> list[str]:
    rows = index.search([Request("q", text=text, **request)], k).rows[0]
    return [index.item_ids[row] for row in rows if row >= 0]


def scored(index: LiveIndex, request: Request) -> list[tuple[str, float]]:
    ranking = index.search([request], 50)
    return [
        (index.item_ids[row], score)
        for row, score in zip(ranking.rows[0].tolist(), ranking.scores[0].tolist(), strict=True)
        if row >= 0
    ]


@pytest.fixture
def build(make_snapshot, word_encoder):
    def make(titles: dict[str, str], **plan) -> LiveIndex:
        rows = [{"item_id": item_id, "title": title} for item_id, title in titles.items()]
        snapshot = make_snapshot(rows, encoder=word_encoder)
        return LiveIndex("live", snapshot, word_encoder, RetrievalPlan(**plan), ("title", "brand"))

    return make


def change(index: LiveIndex, *changes: Change) -> int:
    return index.apply(index.encode(changes))


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_new_item_is_found_by_its_own_title_at_once(build, weight):
    """Between the snapshot's ids or after them, alone or among many; the others stay."""
    index = build(dict(zip(IDS, TITLES, strict=False)), lexical_weight=weight)
    assert change(index, put("e", "folding garden chair", 5)) == 1
    assert change(index, *(put(f"z{n}", f"bracket number {n + 10}", 6) for n in range(300))) == 300
    assert found(index, "folding garden chair")[0] == "e"
    assert found(index, "bracket number 250")[0] == "z240"
    assert len(index) == len(IDS) + 301
    assert index.item(index.row("e"))["title"] == "folding garden chair"
    assert set(found(index, "oak chair", k=400)) == {*IDS, "e", *(f"z{n}" for n in range(300))}


def test_the_words_of_an_item_are_those_of_its_fields(build):
    """The release's fields: the brand is read, the description is not."""
    index = build({"a": "oak chair", "b": "oak table"}, lexical_weight=1.0)
    change(index, put("c", "lamp", 1, brand="Nordlicht", description="walnut"))
    row = index.row("c")
    assert index.parts("nordlicht", row)["lexical"] > 0
    assert index.parts("walnut", row)["lexical"] == 0


def test_an_update_replaces_the_older_row(build):
    """The new title is found, the old one's words say nothing of the item any more, which is ranked once."""
    index = build({"a": "oak chair", "b": "pine chair", "c": "lamp"}, lexical_weight=1.0)
    change(index, put("b", "steel hammer", 3))
    change(index, put("b", "garden hose", 4))
    assert found(index, "garden hose")[0] == "b"
    assert found(index, "pine").count("b") == 1
    for word in ("pine", "steel"):
        assert index.parts(word, index.row("b"))["lexical"] == 0
        ((_, score),) = [pair for pair in scored(index, Request("q", text=word)) if pair[0] == "b"]
        assert score == pytest.approx(index.parts(word, index.row("b"))["cosine"], abs=1e-6)
    assert (len(index), index.item(index.row("b"))["title"]) == (3, "garden hose")


def test_a_deleted_item_is_gone_until_it_is_put_again(build):
    index = build({"a": "oak chair", "b": "oak table"})
    assert change(index, delete("a", 2)) == 1
    assert (found(index, "oak chair"), len(index), index.row("a")) == (["b"], 1, None)
    assert found(index, "oak chair", exclude=frozenset({"a"})) == ["b"]
    change(index, put("a", "oak chair", 3))
    assert (found(index, "oak chair"), len(index)) == (["a", "b"], 2)
    change(index, delete("a", 4), delete("b", 4))
    assert (found(index, "oak chair"), len(index)) == ([], 0)


def test_deleting_what_is_not_there_is_no_error_and_is_remembered(build):
    """An older PUT that arrives later stays without effect."""
    index = build({"a": "oak chair"})
    change(index, delete("nobody", 9))
    assert change(index, put("nobody", "lamp", 8)) == 0
    assert index.row("nobody") is None


@pytest.mark.parametrize("first", [put("a", "lamp", 7), delete("a", 7)])
def test_a_change_that_is_older_than_what_is_known_is_left_out(build, first):
    index = build({"a": "oak chair", "b": "table"})
    change(index, first)
    before = scored(index, Request("q", text="oak chair"))
    assert change(index, put("a", "garden hose", 6), put("a", "garden hose", 7), delete("a", 5)) == 0
    assert scored(index, Request("q", text="oak chair")) == before
    assert [one.seq for one in index.unknown([put("a", "x", 7), delete("a", 8), put("n", "y", 1)])] == [8, 1]


def test_a_snapshots_row_in_the_table_changes_nothing(build):
    """seq 0: the table's copy of what the release was loaded with."""
    index = build({"a": "oak chair"})
    assert change(index, put("a", "lamp", 0), put("b", "lamp", 0)) == 0
    assert found(index, "lamp") == ["a"]


def test_within_one_call_the_newest_change_of_an_item_holds(build):
    """In whatever order they are given; of equal ones the last."""
    for changes in (
        [put("a", "lamp", 1), delete("a", 2), put("a", "garden hose", 3)],
        [put("a", "garden hose", 3), delete("a", 2), put("a", "lamp", 1)],
        [put("a", "lamp", 3), put("a", "garden hose", 3)],
    ):
        index = build({"a": "oak chair", "b": "table"}, lexical_weight=1.0)
        assert change(index, *changes) == 1
        assert index.item(index.row("a"))["title"] == "garden hose"
        assert index.parts("lamp", index.row("a"))["lexical"] == 0


def test_applying_a_call_twice_is_applying_it_once(build):
    """As polls with an overlap do: no row is added and no score moves."""
    changes = [put("a", "garden hose", 3), put("n", "red lamp", 4), delete("b", 5)]
    once, twice = (build(dict(zip("abc", TITLES, strict=False)), lexical_weight=0.5) for _ in range(2))
    change(once, *changes)
    assert (change(twice, *changes), change(twice, *changes)) == (3, 0)
    assert list(twice.item_ids) == list(once.item_ids)
    for text in TITLES:
        assert scored(twice, Request("q", text=text)) == scored(once, Request("q", text=text))


def test_equal_items_come_in_id_order_whenever_they_were_put(build):
    """The snapshot's and the later ones between each other."""
    index = build(dict.fromkeys("bdf", "oak chair"))
    change(index, put("e", "oak chair", 1), put("a", "oak chair", 2))
    change(index, put("c", "oak chair", 3), put("d", "oak chair", 4))
    assert found(index, "oak chair") == list("abcdef")
    assert found(index, "oak chair", k=3) == list("abc")


def test_filters_see_changed_items_as_they_are_now(build):
    index = build({"a": "oak chair", "b": "oak table"})
    change(index, put("b", "oak table", 1, price=5, brand="Nord", in_stock=False))
    change(index, put("c", "oak lamp", 2, price=7, category="Light > Lamps", listed_at=datetime(2026, 1, 1)))

    def kept(**filters) -> list[str]:
        mask = index.mask(Filters(**filters))
        ranking = index.search([Request("q", text="oak")], 10, mask)
        return sorted(index.item_ids[row] for row in ranking.rows[0] if row >= 0)

    assert kept(max_price=6) == ["b"]
    assert kept(in_stock=True) == ["a", "c"]
    assert kept(category="light") == ["c"]
    assert kept(listed_from=datetime(2026, 1, 1)) == ["c"]
    assert kept(brand="nord", min_price=5) == ["b"]
    change(index, put("b", "oak table", 3))
    assert kept(brand="nord") == []


def test_an_items_columns_are_the_changed_ones(build):
    index = build({"a": "oak chair"})
    change(index, put("a", "oak chair", 1, price=5, in_stock=False))
    item = index.item(index.row("a"))
    assert (item["price"], item["in_stock"], item["brand"]) == (5, False, None)
    assert index.in_snapshot("a") and not index.in_snapshot("b")


@pytest.mark.parametrize("scoring", ["mean", "top3", "top10", "centred_top10"])
def test_a_history_uses_its_items_as_they_are_now(build, scoring):
    """A past item that was changed pulls towards its new text; one that was deleted does not count."""
    titles = {"a": "oak chair", "b": "oak table", "c": "red lamp", "d": "blue lamp", "e": "garden hose"}
    index = build(titles, history_scoring=scoring)
    user = Request("u", history=("a",), exclude=frozenset({"a"}))
    assert scored(index, user)[0][0] == "b"
    change(index, put("a", "blue lamp small", 1))
    assert scored(index, user)[0][0] == "d"
    change(index, delete("a", 2))
    assert scored(index, user) == []
    both = Request("u", history=("a", "c"), exclude=frozenset({"c"}))
    assert scored(index, both) == scored(index, Request("u", history=("c",), exclude=frozenset({"c"})))


def test_a_title_may_be_empty(build):
    """Such an item is stored; no word finds it."""
    index = build({"a": "oak chair"}, lexical_weight=1.0)
    change(index, put("n", "", 1))
    assert sorted(found(index, "oak chair")) == ["a", "n"]
    assert index.parts("oak chair", index.row("n"))["lexical"] == 0


def test_no_changes_are_no_error(build):
    index = build({"a": "oak chair"})
    assert index.encode([]) == []
    assert change(index) == 0
    assert change(index, delete("a", 1)) == 1


def test_a_changed_items_vector_that_is_not_finite_is_refused(make_snapshot, lookup_encoder):
    """Before anything is applied: the index stays as it was."""
    encoder = lookup_encoder({"oak": [1.0, 0.0], "lamp": [np.nan, 0.0]})
    snapshot = make_snapshot([{"item_id": "a", "title": "oak"}], encoder=encoder)
    index = LiveIndex("x", snapshot, encoder, RetrievalPlan(), ("title",))
    with pytest.raises(EncoderError, match="changed items, number 1"):
        index.encode([put("n", "oak", 1), put("m", "lamp", 2)])
    assert found(index, "oak") == ["a"]


Act = tuple[str, str | None, int, bool]
ACTS = st.lists(
    st.tuples(
        st.sampled_from([*IDS, "a", "c", "k", "z"]),
        st.none() | st.sampled_from(TITLES),
        st.integers(-2, 3),
        st.booleans(),
    ),
    max_size=14,
)


def replayed(acts: list[Act]) -> tuple[list[list[Change]], dict[str, str]]:
    """Batches of changes as they arrive – some late, some repeated – and what the catalogue is in the end."""
    batches: list[list[Change]] = [[]]
    newest: dict[str, Change] = {}
    for clock, (item_id, title, lag, cut) in enumerate(acts, start=3):
        seq = 100 * (clock - lag) + clock  # no two are equal
        one = delete(item_id, seq) if title is None else put(item_id, title, seq)
        batches[-1].append(one)
        if item_id not in newest or one.seq > newest[item_id].seq:
            newest[item_id] = one
        if cut:
            batches.append(list(batches[-1]) if lag > 2 else [])
    titles = dict(zip(IDS, TITLES, strict=False)) | {
        name: one.item.title for name, one in newest.items() if one.item
    }
    return batches, {name: title for name, title in titles.items() if name not in newest or newest[name].item}


@given(ACTS, st.sampled_from(["mean", "top3", "top10"]))
@settings(max_examples=1_000, deadline=None)
def test_any_interleaving_ends_as_an_index_built_from_the_final_catalogue(
    make_snapshot, word_encoder, acts, scoring
):
    """Changes late, repeated, undone: the same items in the same order by (−score, item_id), for queries and
    histories. Not so for lexical scores, whose IDF is the snapshot's, and "centred", whose mean is."""
    batches, final = replayed(acts)
    plan = RetrievalPlan(history_scoring=scoring)

    def index_of(titles: dict[str, str]) -> LiveIndex:
        rows = [{"item_id": name, "title": title} for name, title in titles.items()]
        return LiveIndex("x", make_snapshot(rows, encoder=word_encoder), word_encoder, plan, ("title",))

    index = index_of(dict(zip(IDS, TITLES, strict=False)))
    for batch in batches:
        change(index, *batch)
    assert len(index) == len(final)
    requests = [Request("q", text="oak lamp"), Request("u", history=("b", "a", "d"))]
    if not final:
        assert all(scored(index, request) == [] for request in requests)
        return
    fresh = index_of(final)
    for request in requests:
        ours, theirs = scored(index, request), scored(fresh, request)
        assert [name for name, _ in ours] == [name for name, _ in theirs]
        assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-6)


def test_vectors_may_be_encoded_before_the_call_that_applies_them(build):
    """Another thread encodes; what was overtaken meanwhile is left out."""
    index = build({"a": "oak chair"})
    early = index.encode([put("a", "red lamp", 1)])
    change(index, put("a", "garden hose", 2))
    assert isinstance(early[0], EncodedChange)
    assert index.apply(early) == 0
    assert index.item(index.row("a"))["title"] == "garden hose"
