"""Every measure against ir-measures (trec_eval) and against its definition."""

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ir_measures import RR, Judged, R, nDCG

from components.evaluation.measures import condense, slice_measures, slice_recall
from components.evaluation.pairs import judged_pairs

DEPTH = 100


def trec(shop, keep, rows):
    """qrels and run of a slice, as ir-measures takes them: items outside the slice are unjudged."""
    ids = shop.catalogue.get_column("item_id").to_list()
    qrels = [
        ir_measures.Qrel(request, item, int(grade))
        for request, grades in shop.judged.judged.items()
        for item, grade in grades.items()
        if item in keep
    ]
    run = [
        ir_measures.ScoredDoc(request.request_id, ids[row], float(DEPTH - place))
        for request, line in zip(shop.judged.requests, rows, strict=True)
        for place, row in enumerate(line)
        if row >= 0
    ]
    return qrels, run


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("population", ["new", "established", "all"])
def test_agrees_with_ir_measures_per_request(make_shop, seed, population):
    """recall@10/50/100, NDCG@10 with graded gains, and reciprocal rank, request by request."""
    shop = make_shop(seed=seed)
    ids = np.array(shop.catalogue.get_column("item_id").to_list())
    new = shop.catalogue.get_column("is_new").to_numpy()
    mask = {"new": new, "established": ~new, "all": np.ones_like(new)}[population]
    pairs = judged_pairs(shop.judged, ids.tolist())
    rows = shop.retriever().search(shop.judged.requests, DEPTH).rows
    ours = slice_measures(pairs.find(rows), rows >= 0, pairs, mask[pairs.row], (10, 50, 100))
    theirs = {
        R(rel=2) @ 10: "recall@10",
        R(rel=2) @ 50: "recall@50",
        R(rel=2) @ 100: "recall@100",
        nDCG @ 10: "ndcg@10",
        RR(rel=2): "mrr",
    }
    compared = 0
    for metric in ir_measures.iter_calc(list(theirs), *trec(shop, set(ids[mask]), rows)):
        value = ours[theirs[metric.measure]][int(metric.query_id[1:])]
        if not np.isnan(value):
            assert value == pytest.approx(metric.value, abs=1e-12), metric
            compared += 1
    populations = int(np.sum(~np.isnan(ours["recall@10"])))
    assert compared == len(theirs) * populations
    assert populations > 30


def test_judged_share_agrees_with_ir_measures(make_shop):
    shop = make_shop(seed=3)
    ids = shop.catalogue.get_column("item_id").to_list()
    pairs = judged_pairs(shop.judged, ids)
    rows = shop.retriever().search(shop.judged.requests, DEPTH).rows
    ours = slice_measures(pairs.find(rows), rows >= 0, pairs, np.ones_like(pairs.relevant), (10,))
    found = ir_measures.iter_calc([Judged @ 10], *trec(shop, set(ids), rows))
    assert {m.query_id: m.value for m in found} == pytest.approx(
        dict(zip(shop.judged.judged, ours["judged@10"], strict=True))
    )


def test_a_request_without_a_relevant_item_in_the_slice_is_nan(make_shop):
    """It is not part of the mean; a request whose relevant items were all missed is 0.0, not NaN."""
    shop = make_shop(requests=3)
    pairs = judged_pairs(shop.judged, shop.catalogue.get_column("item_id").to_list())
    nothing_found = np.full((3, DEPTH), -1)
    only_second = pairs.request == 1
    values = slice_measures(nothing_found, nothing_found >= 0, pairs, only_second, (10,))
    for measure in values.values():
        assert np.isnan(measure).tolist() == [True, False, True]
        assert measure[1] == 0.0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_recall_never_falls_with_k(make_shop, seed):
    shop = make_shop(items=80, requests=10, seed=seed)
    pairs = judged_pairs(shop.judged, shop.catalogue.get_column("item_id").to_list())
    found = pairs.find(shop.retriever().search(shop.judged.requests, 80).rows)
    everything = np.ones_like(pairs.relevant)
    values = np.array([slice_recall(found, pairs, everything, k) for k in range(1, 81)])
    assert (np.diff(values, axis=0) >= 0).all()
    assert (values[-1] == 1.0).all()


@given(seed=st.integers(0, 10_000), k=st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_condensing_never_lowers_recall(make_shop, seed, k):
    """Taking unjudged items out only moves judged ones up; their order stays."""
    shop = make_shop(items=80, requests=10, seed=seed)
    pairs = judged_pairs(shop.judged, shop.catalogue.get_column("item_id").to_list())
    found = pairs.find(shop.retriever().search(shop.judged.requests, 40).rows)
    condensed = condense(found)
    everything = np.ones_like(pairs.relevant)
    assert (slice_recall(condensed, pairs, everything, k) >= slice_recall(found, pairs, everything, k)).all()
    for before, after in zip(found, condensed, strict=True):
        assert before[before >= 0].tolist() == after[: (before >= 0).sum()].tolist()


def test_condensed_lists_by_hand():
    found = np.array([[-1, 4, -1, 2, 9], [-1, -1, -1, -1, -1]])
    assert condense(found).tolist() == [[4, 2, 9, -1, -1], [-1, -1, -1, -1, -1]]
