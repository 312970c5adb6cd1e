"""A shop's service: what the components need of the shop, and the server that runs them."""

import json
import logging
import os
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
import uvicorn
from fastapi import FastAPI

from components.contract.records import Decision
from components.data.storage import open_store
from components.index.items_table import ItemsTable
from components.release.decision_log import last_change
from components.release.promotion import aliases
from components.service.app import Parts, create_app
from components.service.auth import Gatekeeper
from components.service.keys import Keys
from components.service.limits import RateLimit
from components.service.metrics import Metrics
from components.service.privacy import LogPrivacy
from components.service.releases import AgePlot, Challenger
from components.service.serving import Serving
from components.service.traffic import TrafficLog
from flows import acts
from flows.judged_runs import JudgedRuns
from flows.results import newest_result
from flows.shop import Shop
from flows.signing import verify_release

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOG_SECRET = "DEBUT_LOG_SECRET"


class ShopReleases:
    """`components.service.releases.Releases` by a shop's workspace and decision log."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._decisions = open_store(shop.decisions)
        self._champion: tuple[list[str], str | None] | None = None
        self._runs = JudgedRuns(shop.runs)

    def champion(self) -> str | None:
        """Asked every second: the records, which never change, are read again only when there are more."""
        keys = self._decisions.keys()
        if self._champion is None or self._champion[0] != keys:
            self._champion = keys, self._shop.decision_log().champion()
        return self._champion[1]

    def challenger(self) -> Challenger | None:
        records = self._shop.decision_log().records()
        refused, change = aliases(records)["challenger"], last_change(records)
        if refused is not None:
            return Challenger(refused, "refused")
        previous = change.predecessor if change else None
        return Challenger(previous, "previous") if previous is not None else None

    def folder(self, digest: str) -> Path:
        folder = self._shop.candidates / digest
        verify_release(self._shop.settings.signing, folder)
        return folder

    def history(self) -> Sequence[Decision]:
        return self._shop.decision_log().records()

    def report(self, digest: str) -> Path | None:
        return self._runs.file(digest, "gate_report.html")

    def recall_by_age(self, digest: str) -> AgePlot | None:
        return self._runs.recall_by_age(digest)

    def figures(self, digest: str) -> dict[str, Any]:
        result = newest_result(self._shop, digest) or {}
        return {name: result[name] for name in ("challenger", "champion", "bm25", "bounds") if name in result}

    def undiscoverable(self, digest: str) -> Path | None:
        newest = self._shop.undiscoverable / digest / "undiscoverable.csv"
        return newest if newest.is_file() else self._of_run(digest, "undiscoverable.csv")

    def roll_back(self, *, to: str | None, reason: str, actor: str) -> Decision:
        return acts.roll_back(self._shop, actor, to=to, reason=reason)

    def history_of(self, user_id: str) -> Sequence[str]:
        return self._histories.get(user_id, ())

    @cached_property
    def _histories(self) -> dict[str, list[str]]:
        """Per user the distinct items of all acts that the newest check knows, oldest first."""
        events = self._shop.newest_check() / "events.parquet"
        if not events.is_file():
            return {}
        acts_of = pl.read_parquet(events, columns=["user_id", "item_id", "at"]).drop_nulls().sort("at")
        by_user = acts_of.group_by("user_id").agg(pl.col("item_id").unique(maintain_order=True))
        return dict(by_user.iter_rows())

    def _of_run(self, digest: str, name: str) -> Path | None:
        result = newest_result(self._shop, digest)
        path = self._shop.runs / result["run_id"] / name if result else None
        return path if path is not None and path.is_file() else None


def shop_app(shop: Shop, *, anonymous_read: bool) -> FastAPI:
    """The shop's service; its live items, keys and logs are in the workspace unless configured elsewhere."""
    settings, place = shop.settings.serving, shop.workspace / "serving"
    metrics = Metrics()
    table = ItemsTable.open(shop.live_items)
    return create_app(
        Parts(
            serving=Serving(ShopReleases(shop), table, settings, metrics),
            settings=settings,
            gatekeeper=Gatekeeper(
                shop_keys(shop), RateLimit(settings.requests_per_minute, settings.burst), anonymous_read
            ),
            privacy=_privacy(shop),
            log=TrafficLog(Path(settings.traffic) if settings.traffic else place / "traffic"),
            metrics=metrics,
            version=version("debut"),
        )
    )


def shop_keys(shop: Shop) -> Keys:
    path = shop.settings.serving.key_file
    return Keys.open(Path(path) if path else shop.workspace / "serving" / "keys.json")


def serve(shop: Shop, host: str, port: int, *, anonymous_read: bool) -> None:
    """Serves until SIGTERM or Ctrl-C; requests in flight are answered first."""
    logging.basicConfig(level=logging.INFO, handlers=[_JsonLines()], force=True)  # Prefect set its own
    app = shop_app(shop, anonymous_read=anonymous_read)
    # One process: the index is its memory, and metrics are per process. More replicas: more processes.
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=20)


def _privacy(shop: Shop) -> LogPrivacy:
    settings = shop.settings.serving
    sent = os.environ.get(LOG_SECRET)
    if sent:
        return LogPrivacy.from_text(sent, settings.query_texts)
    path = Path(settings.log_secret) if settings.log_secret else shop.workspace / "serving" / "log.secret"
    return LogPrivacy.from_file(path, settings.query_texts)


class _JsonLines(logging.StreamHandler):  # type: ignore[type-arg]
    """One JSON object per line on stderr."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": logging.Formatter().formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = logging.Formatter().formatException(record.exc_info)
        return json.dumps(line)
