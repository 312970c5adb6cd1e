"""From a ranking to an answer: hits, the exploration slot, and the line in the traffic log."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.contract.digests import canonical_json
from components.contract.serving import ServingSettings
from components.encoder.query_features import query_features
from components.index.columns import Filters
from components.service.exploration import Explored, explore
from components.service.freshness import freshened
from components.service.index_thread import Found
from components.service.privacy import LogPrivacy
from components.service.schemas import Hit
from components.service.serving import Release
from components.service.traffic import TrafficLog
from components.service.traffic_records import Entrance, TrafficRecord

EXPLORED_DEPTH = 100
"""New items down to this place may be drawn into the exploration slot, fresh ones down to it may rise."""


@dataclass(frozen=True)
class Asked:
    """What a request asked for, as the traffic log needs it."""

    request_id: str
    entrance: Entrance
    k: int
    filters: Filters
    started: float
    """time.perf_counter() at its arrival."""
    query: str | None = None
    user_id: str | None = None


class Answering:
    def __init__(self, settings: ServingSettings, privacy: LogPrivacy, log: TrafficLog) -> None:
        self._settings = settings
        self._privacy = privacy
        self._log = log

    def depth(self, k: int) -> int:
        """How many places to ask the index for."""
        deeper = self._settings.exploration.share or self._settings.ranking.freshness
        return max(k, EXPLORED_DEPTH) if deeper else k

    def hits(self, asked: Asked, release: Release, found: Found) -> list[Hit]:
        """The answer's items, at most `asked.k`; logs what is shown."""
        now = datetime.now(UTC).replace(tzinfo=None)
        ranked_items = [found.index.item(row) for row in found.rows]
        listed = [_listed(item) for item in ranked_items]
        order, raised = freshened(found.scores, listed, self._settings.ranking, now)
        items = [ranked_items[place] for place in order]
        scores = {ranked_items[place]["item_id"]: raised[place] for place in order}
        by_id = {item["item_id"]: item for item in items}
        new = [item["item_id"] for item in items[asked.k :] if is_new(item, release)]
        ranked = [item["item_id"] for item in items[: asked.k]]
        shown = explore(ranked, new, self._settings.exploration, asked.request_id)
        hits = [hit_of(by_id[item_id], scores[item_id], release, now) for item_id in shown.items]
        for position in shown.positions:
            hits[position - 1].explored = True
        ranked_first = ranked_items[: asked.k] if self._settings.ranking.freshness else []
        self._write(asked, release, hits, shown, found, [item["item_id"] for item in ranked_first])
        return hits

    def _write(
        self,
        asked: Asked,
        release: Release,
        hits: Sequence[Hit],
        shown: Explored[str],
        found: Found,
        ranked_first: Sequence[str],
    ) -> None:
        features = query_features(asked.query or "", release.pieces)
        sealed = None if asked.query is None else self._privacy.seal(asked.query)
        self._log.write(
            TrafficRecord(
                request_id=asked.request_id,
                at=datetime.now(UTC),
                entrance=asked.entrance,
                release=release.digest,
                query_sealed=sealed,
                user=None if asked.user_id is None else self._privacy.pseudonym(asked.user_id),
                query_characters=features.characters,
                query_words=features.words,
                language=features.language,
                unknown_word_rate=features.unknown_word_rate,
                query_vector=found.vector if self._privacy.query_texts == "encrypted" else None,
                k=asked.k,
                filters=canonical_json(asked.filters.active()).decode(),
                item_ids=[hit.item_id for hit in hits],
                scores=[hit.score for hit in hits],
                exploration_positions=shown.positions,
                exploration_propensities=shown.propensities,
                ranked_item_ids=ranked_first,
                ranked_scores=found.scores[: len(ranked_first)],
                zero_result=not hits,
                latency_ms=(time.perf_counter() - asked.started) * 1_000,
            )
        )


def hit_of(item: dict[str, Any], score: float, release: Release, now: datetime) -> Hit:
    listed = _listed(item)
    return Hit(
        item_id=item["item_id"],
        title=item["title"] or "",
        brand=item.get("brand"),
        category=item.get("category"),
        price=item.get("price"),
        listed_at=None if listed is None else listed.replace(tzinfo=UTC),
        in_stock=item.get("in_stock", True),
        new=is_new(item, release),
        age_days=None if listed is None else round(max(0.0, (now - listed).total_seconds() / 86_400), 1),
        score=score,
    )


def is_new(item: dict[str, Any], release: Release) -> bool:
    """Listed or first seen at or after the release's cut-off; undated: PUT since, not in its snapshot."""
    listed = _listed(item)
    if listed is None or release.cutoff is None:
        return "in_stock" in item and not release.index.in_snapshot(item["item_id"])
    return bool(listed >= release.cutoff)


def _listed(item: dict[str, Any]) -> datetime | None:
    return item.get("listed_at") or item.get("first_seen")
