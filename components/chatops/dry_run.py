"""`debut chat --dry-run`: one command by its real way, against a double of Slack."""

import secrets
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

from components.chatops.board import Board, Comparison, Drift, Status, Thread
from components.chatops.chat import open_chat
from components.chatops.credentials import Credentials
from components.chatops.recorder import Recorder
from components.chatops.slack import SIGNATURE, TIMESTAMP
from components.contract.errors import DebutError
from components.contract.operations import ChatSettings
from components.contract.records import Decision

USER, CHANNEL = "U0DRYRUN", "C0DRYRUN"


class DryRunError(DebutError):
    """What a dry run does not do."""


class ReadOnlyBoard:
    """A board whose changing verbs raise DryRunError, which says what they would do."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def start_retrain(
        self, shop: str | None, because: str, requester: str, thread: Thread | None
    ) -> NoReturn:
        place = " and tell its result here" if thread else ""
        _refuse(requester, f"ask for a retrain of {shop or 'the shop'}{place}: {because}")

    def status(self) -> Status:
        return self._board.status()

    def drift(self) -> Drift | None:
        return self._board.drift()

    def champion(self) -> Decision | None:
        return self._board.champion()

    def compare(self) -> Comparison | None:
        return self._board.compare()

    def approve(self, run_id: str, actor: str) -> NoReturn:
        _refuse(actor, f"approve the challenger of run {run_id}, if it waits")

    def reject(self, run_id: str, actor: str, reason: str) -> NoReturn:
        _refuse(actor, f"reject the challenger of run {run_id}, if it waits: {reason}")

    def rollback(self, actor: str, reason: str, to: str | None = None) -> NoReturn:
        _refuse(actor, f"roll back to {to or 'the champion before this one'}: {reason}")

    def gate_report(self, run_id: str) -> Path | None:
        return self._board.gate_report(run_id)

    def age_curve(self, run_id: str) -> Path | None:
        return self._board.age_curve(run_id)


def _refuse(actor: str, act: str) -> NoReturn:
    raise DryRunError(f"A dry run changes nothing. Given by {actor}, this would {act}.")


def dry_run(text: str, board: Board, settings: ChatSettings) -> list[dict[str, Any]]:
    """What `/debut <text>` would post, by an approver: the answer at once (method "reply"), then each call as
    `Recorder` keeps it, until the work is done. Nothing leaves this machine and nothing is changed: what
    reads, reads the board; what would change something is refused with what it would have done."""
    with TemporaryDirectory() as folder, Recorder(Path(folder)) as recorder:
        secret = secrets.token_hex(16)
        local = settings.model_copy(
            update={
                "roles": {**settings.roles, USER: "approver"},
                "api_url": recorder.api_url,
                "webhooks": tuple(
                    f"{recorder.url}hooks/webhook/{n}" for n, _ in enumerate(settings.webhooks, 1)
                ),
            }
        )
        credentials = Credentials(secret, "xoxb-dry-run")
        chat = open_chat(local, ReadOnlyBoard(board), Path(folder) / "nonces", credentials)
        assert chat.slack is not None
        body = _body(text, f"{recorder.url}hooks/response")
        reply = chat.slack.handle(body, signed(body, secret))
        chat.close()
        return [{"method": "reply", "status": reply.status, "body": reply.body}, *recorder.posts]


def signed(body: bytes, secret: str, at: float | None = None) -> dict[str, str]:
    """The headers with which Slack would send this body. at: Unix seconds; not given, now."""
    timestamp = str(int(time.time() if at is None else at))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    return {
        TIMESTAMP: timestamp,
        SIGNATURE: str(signature),
        "content-type": "application/x-www-form-urlencoded",
    }


def _body(text: str, response_url: str) -> bytes:
    form = {
        "command": "/debut",
        "text": text,
        "user_id": USER,
        "user_name": "dry-run",
        "channel_id": CHANNEL,
        "team_id": "T0DRYRUN",
        "response_url": response_url,
        "trigger_id": secrets.token_hex(8),
    }
    return urlencode(form).encode()
