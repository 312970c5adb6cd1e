"""Mattermost's slash command: the same commands, known by the token that Mattermost sends with them.

There is no signature: who has the token may claim to be any user. Keep the way from Mattermost to the
service inside TLS or one machine.
"""

import binascii
import hmac
import json
import time
from base64 import b64decode
from urllib.parse import parse_qsl

from components.chatops.conversation import Asked, Conversation
from components.chatops.nonces import Nonces
from components.chatops.slack import REPLAYED, Reply
from components.chatops.texts import escaped

MOST_FIELDS = 50
"""Mattermost sends about a dozen, and one or two per user or channel that the command mentions."""
REFUSED = "The token is not this command's."
UNREADABLE = "The body is not one of Mattermost's."
STALE = "The request's trigger_id is missing, unreadable or too old."


class MattermostApp:
    """Answers Mattermost's custom slash command, set up with the method POST."""

    def __init__(
        self, conversation: Conversation, nonces: Nonces, *, token: str, max_age_seconds: int
    ) -> None:
        self._conversation = conversation
        self._nonces = nonces
        self._token = token.encode()
        self._max_age = max_age_seconds

    def handle(self, body: bytes) -> Reply:
        """Statuses: 400 no form; 401 another token, or a trigger_id that is too old; 409 a trigger_id that
        came before."""
        try:  # parsed before its token can be known, so not without an end
            pairs = parse_qsl(
                body.decode(errors="replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS
            )
        except ValueError:
            return Reply(400, UNREADABLE)
        form = dict(pairs)
        if not hmac.compare_digest(form.get("token", "").encode(), self._token):
            return Reply(401, REFUSED)
        trigger = form.get("trigger_id", "")
        if abs(time.time() - _made_at(trigger)) > self._max_age:
            return Reply(401, STALE)
        if not self._nonces.first(f"mattermost {trigger}"):
            return Reply(409, REPLAYED)
        answer = {
            "response_type": "ephemeral",
            "text": self._conversation.command(_asked(form), form["text"]),
        }
        return Reply(200, json.dumps(answer), "application/json")


def _asked(form: dict[str, str]) -> Asked:
    return Asked(
        platform="mattermost",
        user=form.get("user_id", ""),
        mention=escaped(f"@{form.get('user_name', '')}"),
        channel=form.get("channel_id", ""),
        response_url=form.get("response_url", ""),
    )


def _made_at(trigger_id: str) -> float:
    """Unix seconds in a trigger_id, base64 of "id:user:milliseconds:signature"; 0 where there are none."""
    try:
        return int(b64decode(trigger_id).decode().split(":")[2]) / 1000
    except (binascii.Error, ValueError, IndexError, OverflowError):
        return 0.0
