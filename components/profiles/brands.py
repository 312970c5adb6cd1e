"""Brands to recommend to a user: those of the items that the release would recommend, less the user's own."""

from collections.abc import Collection, Sequence

from components.contract.records import Record

DEPTH = 100
"""Items of the ranking that are read."""


class RecommendedBrand(Record):
    brand: str
    score: float
    """Sum of 1/place over the brand's items in the ranking."""
    item_id: str
    """The brand's best item for this user."""


def recommended_brands(
    ranked: Sequence[tuple[str, str | None]], own: Collection[str], count: int
) -> list[RecommendedBrand]:
    """The best `count` brands, ties by name.

    ranked: item_id and brand of the items recommended, best first; own: brands the user acted on already. A
    brand's score is the sum of its items' reciprocal ranks, so that one item at the top is worth more than
    many far down: scores of the ways a history is scored are on no common scale.
    """
    scores: dict[str, float] = {}
    best: dict[str, str] = {}
    for place, (item_id, brand) in enumerate(ranked[:DEPTH], start=1):
        if brand is not None and brand not in own:
            scores[brand] = scores.get(brand, 0.0) + 1 / place
            best.setdefault(brand, item_id)
    order = sorted(scores, key=lambda brand: (-scores[brand], brand))[:count]
    return [RecommendedBrand(brand=b, score=round(scores[b], 4), item_id=best[b]) for b in order]
