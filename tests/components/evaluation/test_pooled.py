"""The pool of unjudged pairs."""

from components.evaluation.pooled import SCHEMA, unjudged_pairs


def test_the_pool_is_every_shown_pair_without_a_judgement(make_shop):
    """Once each, with the names of all retrievers that show it; pairs that fewer show come first."""
    shop = make_shop(requests=8)
    shuffled = {name: scores[::-1].copy() for name, scores in shop.scores.items()}
    systems = [shop.retriever("champion"), shop.retriever("challenger", shuffled)]
    pool = unjudged_pairs(systems, shop.judged, shop.catalogue, depth=10)
    ids = shop.catalogue.get_column("item_id").to_list()
    expected = {
        (request.text, ids[row], ", ".join(names))
        for number, request in enumerate(shop.judged.requests)
        for row in range(len(ids))
        if ids[row] not in shop.judged.judged[request.request_id]
        for names in [[s.name for s in systems if row in s.search([request], 10).rows]]
        if names
    }
    assert set(pool.select("query", "item_id", "shown_by").iter_rows()) == expected
    assert pool.schema == SCHEMA
    assert pool.get_column("title").str.starts_with("title ").all()


def test_pairs_that_tell_the_systems_apart_come_first_within_a_query(make_shop):
    shop = make_shop(requests=1)
    other = {name: scores + (scores % 2) * 25 for name, scores in shop.scores.items()}
    systems = [shop.retriever("champion"), shop.retriever("challenger", other)]
    names = unjudged_pairs(systems, shop.judged, shop.catalogue).get_column("shown_by").str.count_matches(",")
    assert names.to_list() == sorted(names.to_list())
    assert names.max() == 1


def test_fully_judged_lists_give_an_empty_pool_with_the_columns(make_shop):
    shop = make_shop(requests=3)
    pool = unjudged_pairs([], shop.judged, shop.catalogue)
    assert len(pool) == 0
    assert pool.schema == SCHEMA


def test_users_are_named_by_their_id(make_shop):
    shop = make_shop(requests=2, recommendation=True)
    pool = unjudged_pairs([shop.retriever()], shop.judged, shop.catalogue)
    assert set(pool.get_column("query")) == {"r0000", "r0001"}
