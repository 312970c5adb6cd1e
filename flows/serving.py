"""A shop's service: what the components need of the shop, and the server that runs them."""

import json
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI

from components.chatops.chat import Chat, open_chat
from components.chatops.credentials import Credentials
from components.contract.errors import ConfigError, DataError, QualityError
from components.contract.paths import at_home
from components.contract.records import Decision
from components.data.storage import open_store
from components.index.items_table import ItemsTable
from components.profiles.behaviour import Behaviour
from components.release.decision_log import last_change, last_verdict
from components.release.discoverability import CSV
from components.release.promotion import aliases
from components.service.app import Parts, create_app
from components.service.auth import Gatekeeper
from components.service.keys import Keys
from components.service.limits import RateLimit
from components.service.metrics import Metrics
from components.service.mlflow_hook import mlflow_hook
from components.service.privacy import LogPrivacy
from components.service.releases import AgePlot, Challenger
from components.service.serving import Serving
from components.service.traffic import TrafficLog
from components.tracking.webhook import SECRET_VARIABLE
from flows import acts
from flows.chat import ShopBoard, record_roles
from flows.judged_runs import JudgedRuns
from flows.reviews import read_mlflow_tag
from flows.shop import Shop
from flows.signing import verify_release

logger = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LOG_SECRET = "DEBUT_LOG_SECRET"
SWITCH_SECONDS = 50e-6
"""How long the web server's thread and the index's keep Python's lock while the other waits for it. With the
default of 5 ms the index stands still after every call that gave the lock up: 13 % fewer answers per second
with 32 clients (measured, two cores)."""


class ShopReleases:
    """`components.service.releases.Releases` by a shop's workspace and decision log."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._decisions = open_store(shop.decisions)
        self._champion: tuple[list[str], str | None] | None = None
        self._runs = JudgedRuns(shop.runs)
        self._checked: tuple[Path, Behaviour | None] | None = None
        self._told = ""
        self._reading = Lock()

    def champion(self) -> str | None:
        """Asked every second: the records, which never change, are read again only when there are more."""
        keys = self._decisions.keys()
        if self._champion is None or self._champion[0] != keys:
            self._champion = keys, self._shop.decision_log().champion()
        return self._champion[1]

    def challenger(self) -> Challenger | None:
        waiting = self._shop.reviews().waiting()
        if waiting is not None:
            return Challenger(waiting.release, "waiting")
        records = self._shop.decision_log().records()
        refused, change = aliases(records)["challenger"], last_change(records)
        if refused is not None:
            verdict = last_verdict(records, refused)
            rejected = verdict is not None and verdict.kind == "rejection"
            return Challenger(refused, "rejection" if rejected else "inconclusive")
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
        judged = self._runs.file(digest, "result.json")
        if judged is not None:
            return _of(judged, "challenger", "champion", "bm25", "bounds")
        against = self._runs.file(digest, "result.json", champion=True)  # version 0 was never a challenger
        return _of(against, "champion", "bm25") if against is not None else {}

    def undiscoverable(self, digest: str) -> Path | None:
        """The last list of those that the command and the runs made."""
        asked = self._shop.undiscoverable / digest / CSV
        listed = [
            asked if asked.is_file() else None,
            self._runs.file(digest, CSV),
            self._runs.file(digest, f"champion_{CSV}", champion=True),
        ]
        return max(filter(None, listed), key=lambda path: path.stat().st_mtime, default=None)

    def roll_back(self, *, to: str, reason: str, actor: str, expected_champion: str) -> Decision:
        return acts.roll_back(self._shop, actor, to=to, reason=reason, expected_champion=expected_champion)

    def history_of(self, user_id: str) -> Sequence[str]:
        known = self.behaviour()
        return known.past(user_id) if known is not None else ()

    def behaviour(self) -> Behaviour | None:
        """Of the newest check, read again when there is a newer one. Where there is none – releases came here
        alone – None; where its folder is gone, what was read of it. The log says so once."""
        try:
            check = self._shop.newest_check(passed=True)
        except (DataError, QualityError) as error:
            return self._behaviour_without(str(error))
        with self._reading:  # many may ask at once after a start
            if self._checked is None or self._checked[0] != check:
                self._checked = check, Behaviour.read(check)
            return self._checked[1]

    def _behaviour_without(self, reason: str) -> Behaviour | None:
        with self._reading:
            if reason != self._told:
                logger.warning("No newer histories of users are read: %s", reason)
                self._told = reason
            return self._checked[1] if self._checked else None


def _of(result: Path, *names: str) -> dict[str, Any]:
    figures = json.loads(result.read_bytes())
    return {name: figures[name] for name in names if name in figures}


def shop_app(shop: Shop, *, anonymous_read: bool, anonymous_names: tuple[str, ...] | None = None) -> FastAPI:
    """The shop's service; its live items, keys and logs are in the workspace unless configured elsewhere.
    anonymous_names: as of `Gatekeeper`."""
    settings = shop.settings.serving
    metrics = Metrics()
    table = ItemsTable.open(shop.live_items)
    return create_app(
        Parts(
            serving=Serving(ShopReleases(shop), table, settings, metrics),
            settings=settings,
            gatekeeper=Gatekeeper(
                shop_keys(shop),
                RateLimit(settings.requests_per_minute, settings.burst),
                anonymous_read,
                anonymous_names,
            ),
            privacy=_privacy(shop),
            log=TrafficLog(shop.traffic, rotate_seconds=settings.log_seconds),
            metrics=metrics,
            version=version("debut"),
            opinions=shop.opinions,
            chat=shop_chat(shop),
            mlflow_hook=_mlflow_hook(shop),
            options=shop.options,
            shop=shop.settings.shop,
        )
    )


def shop_chat(shop: Shop) -> Chat | None:
    """None where neither Slack's nor Mattermost's secret is in the environment."""
    credentials = Credentials.from_environment()
    if credentials.signing_secret is None and credentials.mattermost_token is None:
        return None
    record_roles(shop)
    folder = shop.workspace / "serving" / "nonces"
    return open_chat(shop.settings.chat, ShopBoard(shop), folder, credentials)


def _mlflow_hook(shop: Shop) -> APIRouter | None:
    secret = os.environ.get(SECRET_VARIABLE)
    return mlflow_hook(secret, lambda: read_mlflow_tag(shop)) if secret else None


def shop_keys(shop: Shop) -> Keys:
    path = shop.settings.serving.key_file
    return Keys.open(at_home(path) if path else shop.workspace / "serving" / "keys.json")


def take_address(host: str, port: int) -> socket.socket:
    """Listens on the address (port 0: a free one) before the service is loaded: who connects meanwhile waits.

    Raises ConfigError where it is taken, not this machine's, or not allowed.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except TypeError as error:  # Python's for a name that no resolver is asked about
        raise ConfigError(f"--host {host[:60]!r} is no name that a host can have.") from error
    except OSError as error:
        number = error.errno or 0  # below 0: the resolver's
        reason = os.strerror(number) if number > 0 else "No such host is known"
        raise ConfigError(
            f"The service cannot listen on {host}, port {port}: {reason}. Give another --host or --port."
        ) from error


def serve(
    shop: Shop,
    listening: socket.socket,
    *,
    anonymous_read: bool,
    anonymous_names: tuple[str, ...] | None = None,
) -> None:
    """Serves until SIGTERM or Ctrl-C; requests in flight are answered first."""
    set_up_logging()
    app = shop_app(shop, anonymous_read=anonymous_read, anonymous_names=anonymous_names)
    sys.setswitchinterval(SWITCH_SECONDS)
    # One process: the index is its memory, and metrics are per process. More replicas: more processes.
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=20)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def set_up_logging() -> None:
    """JSON lines on stderr from INFO on; httpx would add a line with the address to each of its requests."""
    logging.basicConfig(level=logging.INFO, handlers=[_JsonLines()], force=True)  # Prefect set its own
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _privacy(shop: Shop) -> LogPrivacy:
    settings = shop.settings.serving
    sent = os.environ.get(LOG_SECRET)
    if sent:
        return LogPrivacy.from_text(sent, settings.query_texts)
    path = at_home(settings.log_secret or shop.workspace / "serving" / "log.secret")
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
