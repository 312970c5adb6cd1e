"""Why an item answers a query, or does not."""

import asyncio
from typing import Any

from components.contract.live import LiveItem
from components.contract.ports import Request
from components.encoder.texts import item_text
from components.index.columns import Columns, Filters
from components.service.index_thread import Found
from components.service.problems import ProblemError
from components.service.schemas import Explanation
from components.service.serving import Release, Serving

Share = tuple[str, float]
EXPLAINED_DEPTH = 100
"""Places in which the item is looked for."""


async def explain(
    serving: Serving, query: str, item_id: str, filters: Filters
) -> tuple[Explanation, Release]:
    """By the release that serves. Raises ProblemError 404 for an item that it does not have."""
    release = serving.release()
    row = known_row(release, item_id)
    search = serving.search(Request("explain", text=query), EXPLAINED_DEPTH, filters)
    found = await asyncio.wrap_future(search)
    parts = await asyncio.wrap_future(serving.run(lambda: release.index.parts(query, row)))
    return await asyncio.to_thread(explanation, release, query, row, filters, found, parts), release


def known_row(release: Release, item_id: str) -> int:
    row = release.index.row(item_id)
    if row is None:
        raise ProblemError(404, f"There is no item {item_id[:100]!r} now.")
    return row


def explanation(
    release: Release, query: str, row: int, filters: Filters, found: Found, parts: dict[str, float]
) -> Explanation:
    """The score's parts, each word's share, the filters. found: the first EXPLAINED_DEPTH places; parts:
    `LiveIndex.parts`. Takes a second or so, and more the first time: it loads the encoder in torch."""
    item = release.index.item(row)
    query_words, item_words, completeness = _shares(release, query, item_text(item, release.index.fields))
    return Explanation(
        release=release.digest,
        query=query,
        item_id=item["item_id"],
        title=item["title"] or "",
        parts=parts,
        query_words=query_words,
        item_words=item_words,
        completeness=completeness,
        place=_place(row, release, found),
        filters=filters.active(),
        passes_filters=passes(item, filters),
    )


def _shares(release: Release, query: str, text: str) -> tuple[list[Share], list[Share], float]:
    """Of the query's and of the item's words, and what they miss; none where either has no word."""
    from components.encoder.attribution import explain_match  # torch: only where it is asked for
    from components.encoder.words import NoWordError

    try:
        match = explain_match(release.fp32_encoder(), query, text)
    except NoWordError:
        return [], [], 0.0
    return list(match.query), list(match.item), match.completeness


def passes(item: dict[str, Any], filters: Filters) -> bool:
    """Whether the filters let an item through; told by its own columns, because the index's belong to the
    index thread."""
    columns = Columns()
    columns.append([LiveItem.model_construct(**item)])
    allowed = columns.mask(filters)
    return allowed is None or bool(allowed[0])


def _place(row: int, release: Release, found: Found) -> int | None:
    """From 1; None beyond what was searched, or where another release was switched to meanwhile."""
    same = found.index is release.index
    return found.rows.index(row) + 1 if same and row in found.rows else None
