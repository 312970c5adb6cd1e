"""Written queries for items that nobody, or hardly anybody, has asked for: more pairs to train on.

Who writes is the caller's matter: a writer trained on the shop's own pairs (training.writer) or a service
(augment.endpoint). What comes back may be about something else, so a query is kept only where a search for it
finds its item (the round trip of Promptagator, Dai et al. 2023, section 3.2).
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import polars as pl

from components.augment.negatives import Flags
from components.contract.ports import Request, Retriever, Rows
from components.split.catalogue import plain_query

Writer = Callable[[Sequence[str], int], list[list[str]]]
"""Texts and how many queries each → per text at most so many."""


def low_click_rows(asked: Rows, eligible: Flags, below: int, at_most: int | None, seed: int) -> Rows:
    """Ascending rows of the eligible items with fewer than `below` training queries; `at_most` drawn by seed.

    asked: rows of the training pairs' items; eligible: (n,) true for the items that may be trained on.
    """
    counts = np.bincount(asked, minlength=len(eligible))
    rows = np.flatnonzero(eligible & (counts < below))
    if at_most is not None and len(rows) > at_most:
        rows = np.sort(np.random.default_rng((seed, len(rows))).choice(rows, at_most, replace=False))
    return rows.astype(np.int64)


def written_pairs(
    write: Writer,
    texts: Sequence[str],
    rows: Rows,
    count: int,
    *,
    retriever: Retriever,
    eligible: Flags,
    depth: int,
    judged: Collection[str],
) -> tuple[pl.DataFrame, dict[str, int]]:
    """query and row of what is kept, and how many queries were written and fell to each filter.

    texts: of the whole catalogue, in its order; rows: the items that are written for; depth: a query's item
    has to be among the first so many eligible ones; judged: texts, in lower case, of requests that something
    is judged or chosen on, which are not trained on.
    """
    written = write([texts[row] for row in rows], count)
    # One spelling: the same words in another would be another query, with other items for right and wrong.
    pairs = [
        (plain_query(query), int(row))
        for row, queries in zip(rows, written, strict=True)
        for query in queries
    ]
    allowed = [(query, row) for query, row in pairs if query and query not in judged]
    asked = list(dict.fromkeys(query for query, _ in allowed))
    found = retriever.search([Request(query, text=query) for query in asked], depth, eligible).rows
    rows_of = dict(zip(asked, found.tolist(), strict=True))
    kept = [(query, row) for query, row in allowed if row in rows_of[query]]
    counts = {
        "items": len(rows),
        "written": len(pairs),
        "judged": len(pairs) - len(allowed),
        "lost_on_the_way_back": len(allowed) - len(kept),
        "kept": len(kept),
    }
    return pl.DataFrame(kept, schema={"query": pl.String, "row": pl.Int64}, orient="row"), counts
