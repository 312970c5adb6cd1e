"""Judged pairs as arrays, so that thousands of rankings are scored without a loop over requests.

Legend of shapes: n requests, p judged pairs, depth places of a ranking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.contract.errors import JudgeError
from components.split.judged import JudgedSet

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class JudgedPairs:
    """Every judged (request, item) of one entrance, in (request, catalogue row) order; arrays are (p,)."""

    requests: int
    items: int
    request: Numbers
    row: Numbers
    grade: NDArray[np.float64]
    relevant: Mask

    def find(self, rows: Numbers) -> Numbers:
        """(n, depth) catalogue rows, -1 = empty place → (n, depth) pair numbers, -1 = not judged."""
        keys = self.request * self.items + self.row
        wanted = np.arange(self.requests, dtype=np.int64)[:, None] * self.items + rows
        pair = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        return np.where((rows >= 0) & (keys[pair] == wanted), pair, -1)

    def relevant_per_request(self, selected: Mask) -> Numbers:
        """(n,): how many of the `selected` (p,) pairs are relevant."""
        return np.bincount(self.request[selected & self.relevant], minlength=self.requests).astype(np.int64)


def judged_pairs(judged: JudgedSet, item_ids: Sequence[str]) -> JudgedPairs:
    """Raises JudgeError where a judgement names an item that the catalogue does not have, or a relevant
    item has no grade."""
    row_of = {item_id: row for row, item_id in enumerate(item_ids)}
    pairs = [
        (number, _row(row_of, request.request_id, item_id), grade, item_id in relevant)
        for number, request in enumerate(judged.requests)
        for relevant in [_relevant(judged, request.request_id)]
        for item_id, grade in judged.judged[request.request_id].items()
    ]
    pairs.sort()
    request, row, grade, relevant = zip(*pairs, strict=True) if pairs else ((), (), (), ())
    return JudgedPairs(
        requests=len(judged.requests),
        items=len(item_ids),
        request=np.asarray(request, dtype=np.int64),
        row=np.asarray(row, dtype=np.int64),
        grade=np.asarray(grade, dtype=np.float64),
        relevant=np.asarray(relevant, dtype=np.bool_),
    )


def _row(row_of: dict[str, int], request_id: str, item_id: str) -> int:
    if item_id not in row_of:
        raise JudgeError(
            f"The judgement of request {request_id!r} names item {item_id!r}, which the catalogue does not "
            "have: split the data again, so that judgements and catalogue belong together."
        )
    return row_of[item_id]


def _relevant(judged: JudgedSet, request_id: str) -> frozenset[str]:
    relevant = judged.relevant.get(request_id, frozenset())
    without_grade = sorted(relevant - judged.judged.get(request_id, {}).keys())
    if without_grade or not relevant:
        what = (
            f"item {without_grade[0]!r} is relevant but has no grade"
            if without_grade
            else "has no relevant item"
        )
        raise JudgeError(f"Request {request_id!r}: {what}: the judged set is damaged; split the data again.")
    return relevant
