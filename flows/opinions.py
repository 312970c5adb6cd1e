"""What reviewers think, by the champion's sentiment head: read by the monitor, and told of where negatives
surge."""

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl

from components.contract.files import write_json
from components.index.retrieval import ENCODER, HEADS, INFERENCE, ONNX_FILE, open_encoder, read_plan
from components.monitoring.opinions import OpinionReport, TopicSurge, opinion_head, watch_opinions
from components.release import candidate as candidates
from components.release.decision_log import last_change
from components.tasks.heads import open_heads
from components.tasks.left_out import read_left_out
from flows import notifications
from flows.orchestrator import PrefectOrchestrator, has_server
from flows.shop import Shop
from flows.signing import verify_release

OPINION_EVENT = "debut.opinions"
TOLD = "opinions_told.json"
"""In the folder `monitoring`: surges that were told of."""


def watch(shop: Shop, *, tell: bool = False) -> OpinionReport | None:
    """Reads the reviews of the newest check; None where there are none, no champion, or it has no sentiment
    head. tell: whether surges that were not told of yet become events."""
    digest = shop.decision_log().champion()
    if digest is None or opinion_head(open_heads(shop.candidates / digest / HEADS)) is None:
        return None
    reviews = shop.newest_check(passed=True) / "reviews.parquet"
    if not reviews.is_file():
        return None
    folder = shop.candidates / candidates.read(shop.candidates, digest).digest
    verify_release(shop.settings.signing, folder)
    head = opinion_head(open_heads(folder / HEADS))
    assert head is not None
    encoder = open_encoder(folder / ENCODER, folder / INFERENCE / ONNX_FILE, read_plan(folder))
    report = watch_opinions(
        pl.read_parquet(reviews),
        head,
        read_left_out(folder / HEADS / head.task.name),
        encoder,
        digest,
        candidates.load_fingerprint(folder).cutoff,
        shop.settings.encoder.language,
        shop.settings.opinions,
        shop.opinions / digest,
    )
    if tell:
        _tell(shop, report)
    return report


def _tell(shop: Shop, report: OpinionReport) -> None:
    """Each surge once: as an event, to chat and to webhooks. It starts no retrain: customers are unhappy with
    what they bought, not with what they found. What surged before this release was the champion, its
    predecessor's reading told."""
    since = _read_since(shop, report.release)
    file = shop.workspace / "monitoring" / TOLD
    told: dict[str, str] = json.loads(file.read_bytes()) if file.is_file() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    for surge in report.surges:
        key = f"{report.release} {' '.join(surge.topic)} {surge.until:%Y-%m-%d}"
        if key in told:
            continue
        if surge.until < since:
            told[key] = datetime.now(UTC).isoformat()
            write_json(file, told)
            continue
        if has_server():
            payload = _payload(report, surge)
            orchestrator = PrefectOrchestrator(shop.settings.shop)
            orchestrator.emit(OPINION_EVENT, f"debut.shop.{shop.settings.shop}", payload)
        told[key] = datetime.now(UTC).isoformat()
        write_json(file, told)
        notifications.surged(shop, surge.sentence, surge.examples)


def _read_since(shop: Shop, release: str) -> datetime:
    """The day on which the release became the champion, where another one's reviews were read before it."""
    change = last_change(shop.decision_log().records())
    others = [folder for folder in shop.opinions.iterdir() if folder.name != release]
    if change is None or not others:
        return datetime.min
    return change.at.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def _payload(report: OpinionReport, surge: TopicSurge) -> dict[str, Any]:
    return {"release": report.release, "sentence": surge.sentence, **surge.model_dump(mode="json")}
