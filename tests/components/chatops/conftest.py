"""The real service with chat mounted, on a port of this machine; only the shop and Slack are doubles."""

import json
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from components.chatops.announcements import REASON
from components.chatops.board import Comparison, Drift, Status, Thread
from components.chatops.chat import open_chat
from components.chatops.credentials import Credentials
from components.chatops.dry_run import signed
from components.chatops.recorder import Recorder
from components.contract.errors import DebutError, PromotionError
from components.contract.operations import ChatSettings
from components.contract.ports import JobRun
from components.contract.records import Decision, Gate, GateReport, ReviewCase
from components.contract.serving import ServingSettings
from components.index.items_table import ItemsTable
from components.service.app import Parts, create_app
from components.service.auth import Gatekeeper
from components.service.keys import Keys
from components.service.limits import RateLimit
from components.service.metrics import Metrics
from components.service.privacy import SECRET_BYTES, LogPrivacy
from components.service.releases import Releases
from components.service.serving import Serving
from components.service.traffic import TrafficLog

SECRET, TOKEN, MATTERMOST = "signing-secret-of-tests", "xoxb-token-of-tests", "mattermost-token-of-tests"
READER, OPERATOR, APPROVER, STRANGER = "U0READER", "U0OPERATOR", "U0APPROVER", "U0STRANGER"
RUN = "20261124-020000-abc123"
CHANNEL = "C0SHOP"
NOW = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
CHALLENGER, CHAMPION = "c" * 64, "b" * 64

GATE = Gate(
    name="new/recall@10",
    kind="primary",
    champion=0.404,
    challenger=0.515,
    difference=0.111,
    low=0.09,
    high=0.131,
    margin=None,
    requests=3000,
    outcome="pass",
    sentence="New items: shown better.",
)
REPORT = GateReport(
    challenger_digest=CHALLENGER,
    champion_digest=CHAMPION,
    verdict="PROMOTE",
    sentence="New items are found better & nothing is lost.",
    gates=(GATE, GATE.model_copy(update={"name": "all/recall@10", "kind": "guardrail"})),
    queries_needed=None,
    policy={},
)
CASE = ReviewCase(
    run_id=RUN,
    shop="fashion",
    release=CHALLENGER,
    champion=CHAMPION,
    requester="slack:U0OPERATOR",
    because="<!channel> season",
    opened=NOW,
    expires=NOW + timedelta(days=7),
    after_record=1,
)


def decision(kind: str, actor: str, reason: str, run_id: str | None = None) -> Decision:
    return Decision(
        number=12,
        kind=kind,
        release=CHALLENGER,
        predecessor=CHAMPION,
        at=NOW,
        actor=actor,
        reason=reason,
        run_id=run_id,
        previous_hash=None,
    )


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class FakeBoard:
    """A shop that notes what it is told."""

    acts: list[tuple[Any, ...]] = field(default_factory=list)
    free: threading.Event = field(default_factory=_set)
    """While it is not set, no act ends."""
    refusal: Exception | None = None
    """What each act raises."""
    files: tuple[Path, Path] | None = None
    """Gate report and age curve."""
    empty: bool = False
    """Nothing was promoted, judged or watched yet."""
    settled: threading.Lock = field(default_factory=threading.Lock)

    def start_retrain(self, shop: str | None, because: str, requester: str, thread: Thread | None) -> JobRun:
        self._act("retrain", shop, because, requester, thread)
        return JobRun("f1", "retrain 7", "retrain", "Scheduled", "http://prefect.local/runs/f1")

    def status(self) -> Status:
        self._act("status")
        return Status("fashion", CHAMPION, CASE, (JobRun("f1", "retrain 7", "retrain", "Running"),))

    def drift(self) -> Drift | None:
        self._act("drift")
        return None if self.empty else Drift(NOW, True, "Queries: 12 % unknown words.", "runs/drift.html")

    def champion(self) -> Decision | None:
        self._act("champion")
        return None if self.empty else decision("promotion", "schedule", "judged", RUN)

    def compare(self) -> Comparison | None:
        self._act("compare")
        return None if self.empty else Comparison(RUN, REPORT)

    def approve(self, run_id: str, actor: str) -> Decision:
        self._once("approve", run_id, actor)
        return decision("promotion", actor, "approved in review", run_id)

    def reject(self, run_id: str, actor: str, reason: str) -> Decision:
        self._once("reject", run_id, actor, reason)
        return decision("rejection", actor, reason, run_id)

    def rollback(self, actor: str, reason: str, to: str | None = None) -> Decision:
        self._act("rollback", actor, reason, to)
        return decision("rollback", actor, reason)

    def gate_report(self, run_id: str) -> Path | None:
        return self.files[0] if self.files else None

    def age_curve(self, run_id: str) -> Path | None:
        return self.files[1] if self.files else None

    def _once(self, *act: Any) -> None:
        if not self.settled.acquire(blocking=False):
            raise PromotionError(f"Run {act[1]} is settled already.")
        self._act(*act)

    def _act(self, *act: Any) -> None:
        assert self.free.wait(60)
        if self.refusal is not None:
            raise self.refusal
        self.acts.append(act)


class NoReleases(Releases):
    """A shop without a champion, which a service starts with all the same."""

    def champion(self) -> str | None:
        return None

    def folder(self, digest: str) -> Path:
        raise DebutError(f"There is no {digest}.")

    def history(self) -> Sequence[Decision]:
        return ()

    def report(self, digest: str) -> Path | None:
        return None

    def figures(self, digest: str) -> dict[str, Any]:
        return {}

    def roll_back(self, *, to: str, reason: str, actor: str, expected_champion: str) -> Decision:
        raise PromotionError("There is none.")

    def undiscoverable(self, digest: str) -> Path | None:
        return None

    def history_of(self, user_id: str) -> Sequence[str]:
        return ()


@dataclass
class Service:
    """A running service and what a chat would send it."""

    client: httpx.Client
    board: FakeBoard
    recorder: Recorder
    folder: Path

    def command(self, text: str, user: str = APPROVER, **options: Any) -> httpx.Response:
        return self.send(self.form(text, user), **options)

    def button(
        self, action: str, user: str = APPROVER, value: str = RUN, reason: str | None = None, **options: Any
    ) -> httpx.Response:
        """A press on a button of the message 1700000001.000000; reason: what stands in the line beside it."""
        payload = {
            "type": "block_actions",
            "user": {"id": user},
            "team": {"id": "T0SHOP"},
            "container": {
                "type": "message",
                "channel_id": CHANNEL,
                "message_ts": "1700000001.000000",
            },
            "trigger_id": secrets.token_hex(8),
            "response_url": self.hook("response"),
            "state": {"values": {REASON: {REASON: {"type": "plain_text_input", "value": reason}}}},
            "actions": [{"type": "button", "action_id": action, "value": value, "block_id": "b"}],
        }
        return self.send(urlencode({"payload": json.dumps(payload)}).encode(), **options)

    def send(
        self,
        body: bytes,
        *,
        secret: str = SECRET,
        at: float | None = None,
        headers: dict[str, Any] | None = None,
    ) -> httpx.Response:
        return self.client.post(
            "/chat/slack", content=body, headers=signed(body, secret, at) | (headers or {})
        )

    def form(self, text: str, user: str = APPROVER) -> bytes:
        form = {
            "command": "/debut",
            "text": text,
            "user_id": user,
            "channel_id": CHANNEL,
            "team_id": "T0SHOP",
            "response_url": self.hook("response"),
            "trigger_id": secrets.token_hex(8),
        }
        return urlencode(form).encode()

    def mattermost(self, text: str, user: str = APPROVER, **fields: str) -> httpx.Response:
        form = {
            "token": MATTERMOST,
            "text": text,
            "user_id": user,
            "user_name": "ada",
            "channel_id": "mm1",
            "trigger_id": trigger_id(),
            "response_url": self.hook("mattermost"),
        }
        return self.client.post("/chat/mattermost", data=form | fields)

    def hook(self, name: str) -> str:
        return f"{self.recorder.url}hooks/{name}"

    def posted(self, method: str, count: int = 1, seconds: float = 30.0) -> list[dict[str, Any]]:
        """The first `count` calls of a method, for which it waits."""
        end = time.monotonic() + seconds
        while len(found := [post for post in self.recorder.posts if post["method"] == method]) < count:
            assert time.monotonic() < end, f"{method} was not called in time: {self.recorder.posts}"
            time.sleep(0.01)
        return found

    def answer(self, name: str = "response", count: int = 1) -> str:
        """The text of the last of `count` answers at a response_url."""
        return str(self.posted(f"/hooks/{name}", count)[count - 1]["text"])


def trigger_id(age: float = 0.0) -> str:
    """As Mattermost makes one: base64 of id, user, milliseconds and a signature that only it can check."""
    made = int((time.time() - age) * 1000)
    return b64encode(f"{secrets.token_hex(13)}:user:{made}:c2ln".encode()).decode()


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with Recorder(tmp_path / "recorder") as running:
        yield running


@pytest.fixture
def settings(recorder: Recorder) -> ChatSettings:
    return ChatSettings(
        roles={READER: "reader", OPERATOR: "operator", APPROVER: "approver"},
        channel="C0RESULTS",
        api_url=recorder.api_url,
        webhooks=(f"{recorder.url}hooks/one", f"{recorder.url}hooks/two"),
        max_age_seconds=300,
    )


@pytest.fixture
def start(tmp_path: Path, recorder: Recorder, settings: ChatSettings) -> Iterator[Callable[..., Service]]:
    """Starts a service; two of a test's are replicas with one folder of nonces.

    board: not given, a new one. credentials: not given, all three. Others are ChatSettings.
    """
    with ExitStack() as stack:

        def run(
            board: FakeBoard | None = None, credentials: Credentials | None = None, **options: Any
        ) -> Service:
            board = board or FakeBoard()
            folder = tmp_path / f"service-{secrets.token_hex(4)}"
            chat = open_chat(
                settings.model_copy(update=options),
                board,
                tmp_path / "nonces",
                credentials or Credentials(SECRET, TOKEN, MATTERMOST),
            )
            metrics, serving = Metrics(), ServingSettings()
            parts = Parts(
                serving=Serving(NoReleases(), ItemsTable.open(str(folder / "live")), serving, metrics),
                settings=serving,
                gatekeeper=Gatekeeper(Keys.open(folder / "keys.json"), RateLimit(1e9, 1_000_000), True),
                privacy=LogPrivacy(b"s" * SECRET_BYTES, serving.query_texts),
                log=TrafficLog(folder / "traffic"),
                metrics=metrics,
                version="0",
                chat=chat,
            )
            url = stack.enter_context(listening(create_app(parts)))
            client = stack.enter_context(httpx.Client(base_url=url, timeout=30))
            return Service(client, board, recorder, tmp_path)

        yield run


@pytest.fixture
def service(start: Callable[..., Service]) -> Service:
    return start()
