"""Scores by co-purchases against their definition, and what changes of a live index do to them."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from components.contract.errors import DataError
from components.contract.live import Change, LiveItem
from components.contract.ports import Request
from components.contract.records import RetrievalPlan
from components.index import co_purchases as module
from components.index import item_weights as weights_module
from components.index.co_purchases import HALF_LIFE_DAYS, SHRINKAGE, CoPurchases, CoPurchaseScores
from components.index.item_weights import KEPT, RIDGE
from components.index.live import LiveIndex
from components.index.live_rows import Snapshot

ITEMS, USERS = 60, 40
IDS = [f"i{number:02}" for number in range(ITEMS)]
PLAN = RetrievalPlan(history_scoring="centred_top10", co_purchase_weight=1.5)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit_rows(np.random.default_rng(0).standard_normal((ITEMS, 12)) + 0.4)


@pytest.fixture(scope="module")
def bought() -> np.ndarray:
    """(users, items) 0 or 1; nobody bought the last ten items, all bought the first one."""
    bought = np.random.default_rng(1).random((USERS, ITEMS)) < np.linspace(0.5, 0.02, ITEMS)
    bought[:, -10:], bought[:, 0] = False, True
    return bought


@pytest.fixture(scope="module")
def days() -> np.ndarray:
    """(users, items) days since a purchase; one of today."""
    days = np.random.default_rng(2).integers(0, 200, (USERS, ITEMS))
    days[0, 0] = 0
    return days


@pytest.fixture(scope="module")
def purchases(bought: np.ndarray, days: np.ndarray) -> pl.DataFrame:
    """Some again, later, which does not count, and some of an item that the catalogue does not have."""
    users, items = np.nonzero(bought)
    today = datetime(2026, 7, 1)
    rows = [
        (f"u{user}", IDS[item], today - timedelta(days=int(days[user, item])))
        for user, item in zip(users, items, strict=True)
    ]
    rows += [*((user, item, today) for user, item, _ in rows[:20]), ("u1", "gone", today)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "at"], orient="row")


def by_definition(bought: np.ndarray, days: np.ndarray, vectors: np.ndarray, past: list[int]) -> np.ndarray:
    """(items,) with dense matrices and every weight."""
    counts = bought.sum(axis=0)
    known = counts > 0
    matrix = np.where(bought, 0.5 ** (days / HALF_LIFE_DAYS), 0)[:, known]
    gram = matrix.T @ matrix
    inverse = np.linalg.inv(gram + RIDGE * gram.diagonal().mean() * np.eye(len(gram)))
    of_known = -inverse / inverse.diagonal()
    np.fill_diagonal(of_known, 0)
    of_known = np.maximum(of_known, 0)
    weights = np.zeros((ITEMS, ITEMS))
    weights[np.ix_(known, known)] = of_known / of_known.max(axis=0).mean()
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = centred @ centred.T
    np.fill_diagonal(cosines, -1)
    cosines[:, ~known] = -1
    sums = weights[past].sum(axis=0) / np.sqrt(len(past))
    share = SHRINKAGE / (counts + SHRINKAGE)
    lent = np.sqrt(np.maximum(cosines.max(axis=1), 0)) * sums[cosines.argmax(axis=1)]
    return (1 - share) * sums + share * lent


@pytest.mark.parametrize("past", [[3], [0, 7, 20], list(range(0, 50, 2))])
@pytest.mark.parametrize("block", [7, 256])
def test_scores_are_as_defined(vectors, bought, days, purchases, past, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(weights_module, "BLOCK", block)
    scores = CoPurchaseScores(CoPurchases.build(IDS, vectors, purchases), vectors).scores(past)
    np.testing.assert_allclose(scores, by_definition(bought, days, vectors, past), atol=1e-5)
    assert scores[-10:].max() > 0  # of items that nobody has bought


def test_each_item_keeps_its_largest_weights(vectors, purchases, monkeypatch):
    """Less than all of them, so the memory is bounded; their scale is one for all items."""
    whole = CoPurchases.build(IDS, vectors, purchases).weights.toarray()
    assert (whole > 0).sum(axis=0).max() <= KEPT
    monkeypatch.setattr(weights_module, "KEPT", 5)
    pruned = CoPurchases.build(IDS, vectors, purchases).weights.toarray()
    assert (pruned > 0).sum(axis=0).max() == 5 < (whole > 0).sum(axis=0).max()
    np.testing.assert_allclose(np.sort(pruned, axis=0)[-5:], np.sort(whole, axis=0)[-5:], rtol=1e-6)
    assert whole[:, :50].max(axis=0).mean() == pytest.approx(1, rel=1e-5)


def test_items_beyond_the_most_bought_borrow_like_new_ones(vectors, bought, purchases, monkeypatch):
    monkeypatch.setattr(weights_module, "MODELLED", 20)
    built = CoPurchases.build(IDS, vectors, purchases)
    modelled = np.flatnonzero(built.buyers)
    assert len(modelled) == 20
    assert set(built.weights.nonzero()[0]) | set(built.weights.nonzero()[1]) <= set(modelled)
    assert set(built.nearest) <= set(modelled)
    np.testing.assert_array_equal(built.buyers[modelled], bought.sum(axis=0)[modelled])


def test_what_was_bought_together_lately_says_more(vectors):
    """Ten users bought the first two items half a year ago, ten the first and the third of late."""
    long_ago, lately = datetime(2026, 1, 1), datetime(2026, 7, 1)
    rows = [(f"a{n}", item, long_ago) for n in range(10) for item in IDS[:2]]
    rows += [(f"b{n}", item, lately) for n in range(10) for item in (IDS[0], IDS[2])]
    rows += [(f"c{n}", IDS[3], lately) for n in range(10)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "at"], orient="row")
    weights = CoPurchases.build(IDS, vectors, frame).weights.toarray()
    assert weights[0, 2] > 2 * weights[0, 1] > 0


def test_what_is_saved_is_loaded(vectors, purchases, tmp_path):
    built = CoPurchases.build(IDS, vectors, purchases)
    built.save(tmp_path)
    loaded = CoPurchases.load(tmp_path)
    assert loaded is not None
    np.testing.assert_array_equal(loaded.weights.toarray(), built.weights.toarray())
    np.testing.assert_array_equal(loaded.buyers, built.buyers)
    np.testing.assert_array_equal(loaded.nearest, built.nearest)
    first = (tmp_path / module.CO_PURCHASES_FILE).read_bytes()
    CoPurchases.build(IDS, vectors, purchases.sample(fraction=1, shuffle=True, seed=1)).save(tmp_path)
    assert (tmp_path / module.CO_PURCHASES_FILE).read_bytes() == first  # the order of rows is no input


def test_a_folder_without_purchases_has_none_and_a_damaged_one_says_so(vectors, purchases, tmp_path):
    assert CoPurchases.load(tmp_path) is None
    built = CoPurchases.build(IDS, vectors, purchases)
    replace(built, nearest=built.nearest[1:]).save(tmp_path)
    with pytest.raises(DataError, match="of different catalogues"):
        CoPurchases.load(tmp_path)
    arrays = load_file(tmp_path / module.CO_PURCHASES_FILE)
    arrays["cosines"] = arrays.pop("weights")
    save_file(arrays, tmp_path / module.CO_PURCHASES_FILE)
    with pytest.raises(DataError, match="of an earlier version"):
        CoPurchases.load(tmp_path)


@pytest.mark.parametrize("rows", [[], [("u", "i00")], [("u", "gone")]])
def test_purchases_that_say_nothing_score_nothing(vectors, rows):
    """None, one alone, or of other items."""
    frame = pl.DataFrame(rows, schema={"user_id": pl.String, "item_id": pl.String}, orient="row")
    frame = frame.with_columns(at=pl.datetime(2026, 7, 1))
    scores = CoPurchaseScores(CoPurchases.build(IDS, vectors, frame), vectors).scores([0, 1])
    assert scores.tolist() == [0.0] * ITEMS


@pytest.fixture
def build(make_snapshot, vectors, purchases, lookup_encoder):
    """A live index over the items (their titles are their ids), and its encoder."""
    encoder = lookup_encoder(dict(zip(IDS, vectors, strict=True)))
    rows = [{"item_id": item, "title": item} for item in IDS]

    def make(plan: RetrievalPlan = PLAN, exact: bool = False, bought: bool = True) -> LiveIndex:
        part = CoPurchases.build(IDS, vectors, purchases) if bought else None
        plain: Snapshot = make_snapshot(rows, encoder=encoder)
        snapshot = replace(plain, co_purchases=part)
        return LiveIndex("live", snapshot, encoder, plan, ("title",), exact=exact)

    return make


def scored(index: LiveIndex, history: tuple[str, ...], **rest) -> dict[str, float]:
    ranking = index.search([Request("u", history=history, **rest)], 100)
    places = zip(ranking.rows[0].tolist(), ranking.scores[0].tolist(), strict=True)
    return {index.item_ids[row]: score for row, score in places if row >= 0}


def change(index: LiveIndex, item_id: str, title: str | None, seq: int, **columns) -> None:
    item = None if title is None else LiveItem(item_id=item_id, title=title, **columns)
    index.apply(index.encode([Change(item_id=item_id, seq=seq, item=item)]))


HISTORY = ("i00", "i07", "i20")


@pytest.mark.parametrize("exact", [False, True])
def test_a_ranking_adds_them_to_the_similarity_of_texts(build, bought, days, vectors, exact):
    by_text = scored(build(RetrievalPlan(history_scoring="centred_top10")), HISTORY)
    mixed = scored(build(exact=exact), HISTORY)
    added = by_definition(bought, days, vectors, [0, 7, 20])
    expected = {item: by_text[item] + 1.5 * added[IDS.index(item)] for item in IDS}
    assert mixed == pytest.approx(expected, abs=1e-5)
    assert list(mixed) == sorted(mixed, key=lambda item: (-mixed[item], item))


def test_similar_items_and_queries_are_ranked_by_texts_alone(build):
    plain = build(RetrievalPlan(history_scoring="centred_top10"))
    assert scored(build(), HISTORY, by_text=True) == scored(plain, HISTORY)
    query = [Request("q", text="i03")]
    assert build().search(query, 10).rows.tolist() == plain.search(query, 10).rows.tolist()


def test_without_purchases_a_history_is_scored_by_its_texts(build):
    """A release from before there were any, or a shop that knows no users."""
    plain = build(RetrievalPlan(history_scoring="centred_top10"))
    assert scored(build(bought=False), HISTORY) == scored(plain, HISTORY)


def test_an_item_listed_after_the_release_borrows_from_the_most_similar_text(build):
    """Its score is that of an item of the snapshot that nobody bought and that has the same text."""
    index = build()
    change(index, "fresh", IDS[-1], 1)
    scores = scored(index, HISTORY)
    assert scores["fresh"] == pytest.approx(scores[IDS[-1]], abs=1e-6)


def test_a_changed_item_keeps_its_buyers(build, bought, days, vectors):
    """A price changes nothing; another text, whom it borrows from and how it resembles the history."""
    index = build()
    before = scored(index, HISTORY)
    change(index, "i07", "i07", 1, price=3.0)  # of the history
    change(index, "i30", "i30", 2, in_stock=False)
    assert scored(index, HISTORY) == before
    change(index, "i30", "i31", 3)
    by_text = scored(build(RetrievalPlan(history_scoring="centred_top10")), HISTORY)
    as_if = vectors.copy()
    as_if[30] = vectors[31]
    counts = bought.sum(axis=0)
    sums = (by_definition(bought, days, as_if, [0, 7, 20]), by_definition(bought, days, vectors, [0, 7, 20]))
    assert counts[30] > 0 and counts[31] > 0
    # The mean that is taken out is the snapshot's, so as_if is off by what one vector moves it.
    assert scored(index, HISTORY)["i30"] == pytest.approx(by_text["i31"] + 1.5 * sums[0][30], abs=0.02)
    assert sums[0][30] != pytest.approx(sums[1][30], abs=1e-3)


def test_a_deleted_item_is_not_shown_and_no_past_item_but_still_lends(build):
    index, nearest = build(), build().co_purchases.nearest
    lender = IDS[nearest[ITEMS - 1]]
    before = scored(index, HISTORY)
    change(index, lender, None, 1)
    after = scored(index, HISTORY)
    assert lender not in after
    assert after == {item: score for item, score in before.items() if item != lender}
    change(index, "i07", None, 2)
    without = scored(build(), ("i00", "i20"))
    assert scored(index, HISTORY)[IDS[-1]] == without[IDS[-1]]


def test_a_compacted_index_scores_as_before(build):
    index = build()
    for seq, (item, title) in enumerate(
        [("fresh", "i59"), ("i30", "i31"), ("gone", "i02"), ("fresh", "i58"), ("gone", None)], start=1
    ):
        change(index, item, title, seq)
    compacted = index.compacted()
    assert len(compacted.item_ids) < len(index.item_ids)
    assert scored(compacted, HISTORY) == scored(index, HISTORY)
    for one in (compacted, index):
        change(one, "later", "i57", 9)
    assert scored(compacted, HISTORY) == scored(index, HISTORY)


def test_parts_of_another_catalogue_are_refused(make_snapshot, vectors, purchases, lookup_encoder):
    part = CoPurchases.build(IDS, vectors, purchases)
    snapshot = make_snapshot([{"item_id": "a", "title": "oak"}], np.eye(1, 12))
    with pytest.raises(ValueError, match="co-purchases of 60"):
        LiveIndex("x", replace(snapshot, co_purchases=part), lookup_encoder({}), PLAN, ("title",))
