"""One randomised place in some of the answers, so that clicks on it are not the ranking's own doing.

Clicks on what a ranking chose say little about what it left out. An item drawn uniformly and put at a fixed
place with a known probability can be judged by its clicks: each click weighs 1 ÷ propensity (Horvitz and
Thompson, 1952).
"""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from components.contract.serving import ExplorationSettings

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Explored(Generic[Item]):
    """An answer and its drawn places."""

    items: tuple[Item, ...]
    positions: tuple[int, ...] = ()
    """1-based; empty or one."""
    propensities: tuple[float, ...] = ()
    """Per position, the probability that this item came to that place: share ÷ items it was drawn from."""


def explore(
    ranked: Sequence[Item],
    candidates: Sequence[Item],
    settings: ExplorationSettings,
    request_id: str,
    *,
    judging: bool = False,
) -> Explored[Item]:
    """`ranked` as it is, or with one of `candidates` drawn uniformly into the settings' position.

    The items from that position on move one place down and the last one leaves, so the length stays. Items
    that are in `ranked` are not drawn. Unchanged too: when judging, when nobody is left to draw, and where
    the answer ends before the position.

    All chance comes from the request_id's SHA-256, so the same arguments give the same answer again. The
    service must make that id itself: a client that chooses it chooses the outcome.
    """
    position = settings.position or len(ranked)
    whether, which = _two_numbers(request_id)
    if judging or not 1 <= position <= len(ranked) or whether >= settings.share * 2**64:
        return Explored(tuple(ranked))
    shown = set(ranked)
    eligible = [item for item in dict.fromkeys(candidates) if item not in shown]
    if not eligible:
        return Explored(tuple(ranked))
    drawn = eligible[which * len(eligible) >> 64]
    items = (*ranked[: position - 1], drawn, *ranked[position - 1 : -1])
    return Explored(items, (position,), (settings.share / len(eligible),))


def _two_numbers(request_id: str) -> tuple[int, int]:
    """Two independent uniform numbers in [0, 2⁶⁴)."""
    digest = hashlib.sha256(b"debut exploration:" + request_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]), int.from_bytes(digest[8:16])
