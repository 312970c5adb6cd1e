"""The dial of a shop that wants what is just listed shown more: added when serving, and nowhere else.

The judge ranks through the index, which knows nothing of it, so champion, challenger and peers are judged
without; a bonus for being new would buy recall of new items without anything learned.
"""

from collections.abc import Sequence
from datetime import datetime

from components.contract.serving import ServingRankingSettings


def freshened(
    scores: Sequence[float],
    listed: Sequence[datetime | None],
    settings: ServingRankingSettings,
    now: datetime,
) -> tuple[list[int], list[float]]:
    """The order, best first (of equals the first), and the scores of a ranking with the bonus added:
    freshness · ½ ** (age ÷ half-life); listed: naive UTC, None: not known, so no bonus."""
    raised = list(scores)
    if settings.freshness:
        for place, at in enumerate(listed):
            if at is not None:
                days = max(0.0, (now - at).total_seconds() / 86_400)
                raised[place] += settings.freshness * 0.5 ** (days / settings.half_life_days)
    return sorted(range(len(raised)), key=lambda place: -raised[place]), raised
