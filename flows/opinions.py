"""What reviewers think, by the champion's sentiment head: read by the monitor, and told of where negatives
surge."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from components.contract.files import write_json
from components.index.retrieval import ENCODER, HEADS, INFERENCE, ONNX_FILE, open_encoder, read_plan
from components.monitoring.opinions import (
    REPORT,
    REVIEWS,
    OpinionReport,
    TopicSurge,
    opinion_head,
    watch_opinions,
)
from components.quality.checks import enforce
from components.release import candidate as candidates
from components.tasks.heads import open_heads
from components.tasks.left_out import read_left_out
from flows import notifications
from flows.orchestrator import PrefectOrchestrator, has_server
from flows.preparation import load_and_check
from flows.run import new_run
from flows.shop import Shop
from flows.signing import verify_release

OPINION_EVENT = "debut.opinions"
TOLD = "opinions_told.json"
"""In the folder `monitoring`: surges that were told of."""
CHECK_EVERY = timedelta(days=1)
"""The monitor runs more often, but each check of changed files leaves a copy of the tables."""


def renew_check(shop: Shop) -> None:
    """Loads and checks the shop's files where that was last done a day ago, so that new reviews are read
    between retrains; does nothing where none are read. Raises QualityError, too, as long as the newest check
    is past its tolerance."""
    if _champion(shop) is None or "reviews" not in shop.settings.tables:
        return
    checked = shop.checked_at()
    if checked is None or datetime.now(UTC) - checked >= CHECK_EVERY:
        load_and_check(new_run(shop))
    else:
        enforce(shop.newest_check(), shop.settings.quality)


def watch(shop: Shop, *, tell: bool = False) -> OpinionReport | None:
    """Reads the reviews of the newest check; None where there are none, no champion, or it has no sentiment
    head. tell: whether surges that were not told of yet become events."""
    digest = _champion(shop)
    if digest is None:
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


def _champion(shop: Shop) -> str | None:
    """None, too, where it has no sentiment head."""
    digest = shop.decision_log().champion()
    if digest is None or opinion_head(open_heads(shop.candidates / digest / HEADS)) is None:
        return None
    return digest


def _tell(shop: Shop, report: OpinionReport) -> None:
    """Each surge once: as an event, to chat and to webhooks. It starts no retrain: customers are unhappy with
    what they bought, not with what they found. What surged in days that an earlier champion watched was told
    then."""
    since = _unread_since(shop, report.release)
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


def _unread_since(shop: Shop, release: str) -> datetime:
    """The last day, of which maybe not all was there, of the reviews that another release watched."""
    newest = [_newest_watched(folder) for folder in shop.opinions.iterdir() if folder.name != release]
    last = max(filter(None, newest), default=datetime.min)
    return last.replace(hour=0, minute=0, second=0, microsecond=0)


def _newest_watched(folder: Path) -> datetime | None:
    """None where surges were not looked for, or no review is dated."""
    report = folder / REPORT
    if not report.is_file() or json.loads(report.read_bytes()).get("false_alarms_per_year") is None:
        return None
    newest = pl.read_parquet(folder / REVIEWS, columns=["at"]).get_column("at").max()
    return newest if isinstance(newest, datetime) else None


def _payload(report: OpinionReport, surge: TopicSurge) -> dict[str, Any]:
    return {"release": report.release, "sentence": surge.sentence, **surge.model_dump(mode="json")}
