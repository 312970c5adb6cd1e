"""`debut chat --dry-run`: one command by its real way, against a double of Slack."""

import secrets
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

from components.chatops.board import Board
from components.chatops.chat import open_chat
from components.chatops.credentials import Credentials
from components.chatops.recorder import Recorder
from components.chatops.slack import SIGNATURE, TIMESTAMP
from components.contract.operations import ChatSettings

USER, CHANNEL = "U0DRYRUN", "C0DRYRUN"


def dry_run(text: str, board: Board, settings: ChatSettings) -> list[dict[str, Any]]:
    """What `/debut <text>` would post, by an approver: the answer at once (method "reply"), then each call as
    `Recorder` keeps it, until the work is done. Nothing leaves this machine; but the board is the caller's,
    and what it is told to do it does."""
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
        chat = open_chat(local, board, Path(folder) / "nonces", Credentials(secret, "xoxb-dry-run"))
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
