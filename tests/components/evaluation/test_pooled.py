"""The pool of new items that could be labelled."""

import numpy as np

from components.evaluation.pooled import SCHEMA, SYSTEMS, pool


def systems_of(shop):
    """Three systems that differ."""
    scores = {
        "challenger": shop.scores,
        "champion": {name: line + (np.arange(len(line)) % 7) * 6 for name, line in shop.scores.items()},
        "bm25": {name: line[::-1].copy() for name, line in shop.scores.items()},
    }
    return {name: shop.retriever(name, scores[name]) for name in SYSTEMS}


def test_the_pool_is_every_shown_new_item_with_its_places_and_grade(make_shop):
    """Against a plain loop over each system's lists, of the full catalogue and of new items alone."""
    shop = make_shop(requests=8)
    systems = systems_of(shop)
    found = pool(systems, shop.judged, shop.catalogue, k=10)
    ids, new = shop.catalogue["item_id"].to_list(), shop.catalogue["is_new"].to_numpy()
    expected = {}
    for request in shop.judged.requests:
        for name, system in systems.items():
            for kind, among in (("place", None), ("new_place", new)):
                [line] = system.search([request], 10, among=among).rows
                for place, row in enumerate(line):
                    if row >= 0 and new[row]:
                        pair = expected.setdefault((request.request_id, ids[row]), {})
                        pair[f"{name}_{kind}"] = place + 1
    assert found.schema == SCHEMA
    assert set(found.select("request_id", "item_id").iter_rows()) == set(expected)
    for line in found.iter_rows(named=True):
        places = expected[line["request_id"], line["item_id"]]
        for name in SYSTEMS:
            for kind in ("place", "new_place"):
                assert line[f"{name}_{kind}"] == places.get(f"{name}_{kind}")
        grades = shop.judged.judged[line["request_id"]]
        assert line["grade"] == grades.get(line["item_id"])
        assert line["relevant"] == (line["grade"] >= 2 if line["item_id"] in grades else None)
        relevant = shop.judged.relevant[line["request_id"]]
        assert line["relevant_new"] == sum(new[ids.index(item_id)] for item_id in relevant)


def test_an_item_that_a_system_does_not_show_has_the_score_of_its_last_one(make_shop):
    """So that a score is there for every pair, and none is invented above what was shown."""
    shop = make_shop(requests=4)
    systems = systems_of(shop)
    found = pool(systems, shop.judged, shop.catalogue, k=5)
    new = shop.catalogue["is_new"].to_numpy()
    for line in found.filter(
        found["champion_new_place"].is_null() & found["champion_place"].is_null()
    ).iter_rows(named=True):
        request = next(r for r in shop.judged.requests if r.request_id == line["request_id"])
        [scores] = systems["champion"].search([request], 5, among=new).scores
        assert line["champion_score"] == scores.min()


def test_where_nothing_is_shown_the_pool_is_empty_with_its_columns(make_shop):
    shop = make_shop(requests=3)
    found = pool({}, shop.judged, shop.catalogue, k=10)
    assert len(found) == 0
    assert found.schema == SCHEMA
