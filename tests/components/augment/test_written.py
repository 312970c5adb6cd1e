"""Which items queries are written for, and which of these are kept."""

import numpy as np

from components.augment.written import low_click_rows, written_pairs
from components.contract.ports import Ranking


class _Words:
    """Finds the items that have the query's last word, in their order."""

    name = "words"

    def __init__(self, texts):
        self.item_ids = texts

    def search(self, requests, k, among=None):
        rows = np.full((len(requests), k), -1, dtype=np.int64)
        for line, request in enumerate(requests):
            word = request.text.split()[-1]
            found = [n for n, text in enumerate(self.item_ids) if word in text.split() and among[n]][:k]
            rows[line, : len(found)] = found
        return Ranking(rows, np.zeros(rows.shape, dtype=np.float32))


def test_items_that_few_asked_for_and_that_may_be_trained_on():
    asked, eligible = np.asarray([0, 0, 1, 3]), np.asarray([True, True, True, True, False])
    assert low_click_rows(asked, eligible, 1, None, 0).tolist() == [2]
    assert low_click_rows(asked, eligible, 2, None, 0).tolist() == [1, 2, 3]
    drawn = [low_click_rows(asked, eligible, 2, 2, 0).tolist() for _ in range(2)]
    assert drawn[0] == drawn[1] and len(drawn[0]) == 2 and set(drawn[0]) < {1, 2, 3}
    assert low_click_rows(np.empty(0, dtype=np.int64), eligible, 1, None, 0).tolist() == [0, 1, 2, 3]


def test_a_query_is_kept_where_it_finds_its_item_and_nobody_is_judged_by_it():
    """Depth 1: a second item of the same word is lost; an item that may not be trained on takes no place."""
    texts = ["oak lamp", "steel lamp", "glass mug", "new mug"]
    written = {"steel lamp": ["light lamp", "steel"], "glass mug": ["a mug", "Tea  Mug", "tea cup"]}
    asked = []

    def write(these, count):
        asked.append((list(these), count))
        return [written[text] for text in these]

    pairs, counts = written_pairs(
        write,
        texts,
        np.asarray([1, 2]),
        3,
        retriever=_Words(texts),
        eligible=np.asarray([True, True, True, False]),
        depth=1,
        judged={"tea mug"},
    )
    assert asked == [(["steel lamp", "glass mug"], 3)]
    assert pairs.rows() == [("steel", 1), ("a mug", 2)]
    assert counts == {"items": 2, "written": 5, "judged": 1, "lost_on_the_way_back": 2, "kept": 2}


def test_a_written_query_has_the_spelling_that_queries_are_compared_in():
    """Another one would be another query, whose items are wrong answers of the first."""
    pairs, _ = written_pairs(
        lambda these, count: [["The  LAMP", "the lamp"]],
        ["oak lamp"],
        np.asarray([0]),
        2,
        retriever=_Words(["oak lamp"]),
        eligible=np.asarray([True]),
        depth=1,
        judged=set(),
    )
    assert set(pairs.rows()) == {("the lamp", 0)}
