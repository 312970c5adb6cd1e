"""Judged lists are incomplete: the shown but unjudged pairs, pooled over systems, for people to label."""

from collections.abc import Sequence

import polars as pl

from components.contract.ports import Retriever
from components.split.judged import JudgedSet

SCHEMA = {"query": pl.String, "item_id": pl.String, "title": pl.String, "shown_by": pl.String}


def unjudged_pairs(
    retrievers: Sequence[Retriever], judged: JudgedSet, catalogue: pl.DataFrame, depth: int = 10
) -> pl.DataFrame:
    """Pairs in some retriever's top `depth` that have no judgement (depth-k pooling, as TREC does).

    Columns: query (a user's id where there is no text), item_id, title, shown_by (names, joined by
    ", "). Sorted so that pairs that fewer retrievers show – those that tell them apart – come first
    within a query.
    """
    shown: dict[tuple[int, int], list[str]] = {}
    for retriever in retrievers:
        rows = retriever.search(judged.requests, depth).rows
        for number, line in enumerate(rows.tolist()):
            for row in line:
                if row >= 0:
                    shown.setdefault((number, row), []).append(retriever.name)
    ids, titles = catalogue.get_column("item_id").to_list(), catalogue.get_column("title").to_list()
    pairs = []
    for (number, row), names in shown.items():
        request = judged.requests[number]
        if ids[row] not in judged.judged[request.request_id]:
            pairs.append((number, len(names), request.text or request.request_id, row, ", ".join(names)))
    pairs.sort()
    found = [(query, ids[row], titles[row], names) for _, _, query, row, names in pairs]
    return pl.DataFrame(found, schema=SCHEMA, orient="row")
