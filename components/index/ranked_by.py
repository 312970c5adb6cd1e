"""What the second stage read of the items it ranked, and what each of that adds to their scores."""

import math
from dataclasses import dataclass

from components.contract.ports import Request
from components.index.columns import Mask
from components.index.live import LiveIndex
from components.ranking.features import FEATURES


@dataclass(frozen=True)
class RankedBy:
    features: dict[str, float | None]
    """None: not known of this item, or not of any."""
    shares: dict[str, float]
    """What each feature adds to the score; "all_items": what every item gets. They sum up to the score."""


def ranked_by(index: LiveIndex, request: Request, k: int, among: Mask | None) -> dict[int, RankedBy]:
    """Per row that the second stage scored; empty where the release has none for this request. In the thread
    that owns the index."""
    ranker = index.ranker_of(request)
    if ranker is None:
        return {}
    found = {}
    for _, proposed in index.proposals([request], k, [among]):
        if not len(proposed.rows):
            continue
        proposed = index.scored_again(proposed)
        values = index.features(proposed)
        mean, spread = proposed.level
        shares = spread * ranker.contributions(values)
        shares[:, -1] += mean
        for row, known, added in zip(proposed.rows.tolist(), values.tolist(), shares.tolist(), strict=True):
            features = {
                name: None if math.isnan(value) else value
                for name, value in zip(FEATURES, known, strict=True)
            }
            found[row] = RankedBy(features, dict(zip((*FEATURES, "all_items"), added, strict=True)))
    return found
