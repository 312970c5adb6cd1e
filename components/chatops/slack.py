"""Slack's requests: signed, fresh, and each acted on once."""

import hashlib
import json
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from slack_bolt import Ack, App, BoltRequest, BoltResponse
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.signature import SignatureVerifier

from components.chatops.announcements import APPROVE, REASON, REJECT
from components.chatops.board import Thread
from components.chatops.commands import Verb
from components.chatops.conversation import Asked, Conversation
from components.chatops.nonces import Nonces

SIGNATURE, TIMESTAMP, RETRY = "x-slack-signature", "x-slack-request-timestamp", "x-slack-retry-num"
WAIT_SECONDS = 2.0
"""How long a repeated delivery waits for the first one's answer; Slack gives up after 3."""
STALE = "The request is not signed by this app's secret, or too old."
REPLAYED = "The request was received before."
UNREADABLE = "The body is not one of Slack's."
_SIGNED = {SIGNATURE: re.compile(r"v0=[0-9a-f]{64}"), TIMESTAMP: re.compile(r"[0-9]{1,12}")}
_DELIVERY = "debut_delivery"
_MALFORMED = (ValueError, TypeError, AttributeError, LookupError, RecursionError)


@dataclass(frozen=True)
class Reply:
    """What goes back over HTTP; from status 400 on the body is one sentence."""

    status: int
    body: str = ""
    content_type: str = "text/plain"


class SlackApp:
    """Slash command and buttons on slack_bolt, without any call to Slack's Web API of its own."""

    def __init__(
        self, conversation: Conversation, nonces: Nonces, *, signing_secret: str, max_age_seconds: int
    ) -> None:
        """max_age_seconds: slack_bolt's own 300 seconds are the most."""
        self._conversation = conversation
        self._nonces = nonces
        self._max_age = max_age_seconds
        self._verifier = SignatureVerifier(signing_secret)
        self._app = _bolt_app(signing_secret)
        self._app.use(self._once)
        self._app.command(re.compile("."))(self._command)  # whatever name the team gave this app's command
        self._app.action(re.compile(f"{APPROVE}|{REJECT}"))(self._button)

    def handle(self, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Answers a request within Slack's 3 seconds. headers: by lower-case name.

        Statuses: 401 not signed by the secret, or older than max_age_seconds; 409 the same request again;
        400 signed, but nothing of Slack's. A delivery that Slack repeats gets the first answer again.
        """
        if not self._is_signed(body, headers):
            return Reply(401, STALE)
        request = _read(body, headers)
        if request is None:
            return Reply(400, UNREADABLE)
        reply = _reply(self._app.dispatch(request))
        delivery = request.context.get(_DELIVERY)
        if delivery is not None:
            self._nonces.keep_answer(delivery, _encode(reply))
        return reply

    def _is_signed(self, body: bytes, headers: Mapping[str, str]) -> bool:
        """slack_bolt looks at the signature, too, but parses the body before."""
        if not all(shape.fullmatch(headers.get(name, "")) for name, shape in _SIGNED.items()):
            return False
        try:
            return bool(self._verifier.is_valid(body, headers[TIMESTAMP], headers[SIGNATURE]))
        except UnicodeDecodeError:  # Slack sends ASCII
            return False

    def _once(self, request: BoltRequest, next_: Callable[[], BoltResponse]) -> BoltResponse:
        """Runs after slack_bolt checked the signature. A signature counts once; so does a body, which Slack
        signs anew when it repeats a delivery. The header that says so is not signed: it spares a repeated
        request the refusal and no more."""
        if abs(time.time() - int(request.headers[TIMESTAMP][0])) > self._max_age:
            return BoltResponse(status=401, body=STALE)
        new = self._nonces.first(f"signature {request.headers[SIGNATURE][0]}")
        if not new and RETRY not in request.headers:
            return BoltResponse(status=409, body=REPLAYED)
        delivery = f"delivery {hashlib.sha256(request.raw_body.encode()).hexdigest()}"
        if not self._nonces.first(delivery):
            return self._first_answer(delivery)
        request.context[_DELIVERY] = delivery
        return next_()

    def _first_answer(self, delivery: str) -> BoltResponse:
        end = time.monotonic() + WAIT_SECONDS
        while (kept := self._nonces.answer(delivery)) is None and time.monotonic() < end:
            time.sleep(0.05)
        reply = Reply(**json.loads(kept)) if kept else Reply(200)
        return BoltResponse(
            status=reply.status, body=reply.body, headers={"content-type": [reply.content_type]}
        )

    def _command(self, ack: Ack, command: dict[str, Any]) -> BoltResponse:
        user = str(command.get("user_id", ""))
        asked = Asked(
            platform="slack",
            user=user,
            mention=f"<@{user}>",
            channel=str(command.get("channel_id", "")),
            response_url=str(command.get("response_url", "")),
        )
        text = self._conversation.command(asked, str(command.get("text", "")))
        return ack(text=text, response_type="ephemeral")

    def _button(self, ack: Ack, body: dict[str, Any], action: dict[str, Any]) -> BoltResponse:
        user, place = str(body["user"]["id"]), body["container"]
        message = Thread(str(place["channel_id"]), str(place["message_ts"]))
        asked = Asked(
            platform="slack",
            user=user,
            mention=f"<@{user}>",
            channel=message.channel,
            response_url=str(body.get("response_url", "")),
            message=message,
        )
        verb: Verb = "approve" if action["action_id"] == APPROVE else "reject"
        self._conversation.button(asked, verb, str(action.get("value", "")), _reason(body))
        return ack()


def _reason(body: dict[str, Any]) -> str:
    """What stands in the line beside the buttons; empty where nothing was typed."""
    lines = (body.get("state") or {}).get("values") or {}
    return str(((lines.get(REASON) or {}).get(REASON) or {}).get("value") or "").strip()


def _bolt_app(signing_secret: str) -> App:
    """An app that asks Slack nothing: with a token it would call auth.test on the first request."""
    return App(
        name="debut",
        logger=_quiet(),
        signing_secret=signing_secret,
        authorize=_no_token,
        process_before_response=True,  # the listeners only take on; the conversation's threads do the work
        ssl_check_enabled=False,
        url_verification_enabled=False,
        attaching_function_token_enabled=False,
    )


def _no_token(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)


def _quiet() -> logging.Logger:
    """slack_bolt logs whole bodies at INFO and WARNING; failures, at ERROR, keep their traceback."""
    bolt = logging.getLogger(f"{__name__}.bolt")
    bolt.setLevel(logging.ERROR)
    return bolt


def _read(body: bytes, headers: Mapping[str, str]) -> BoltRequest | None:
    """The request with the headers that count; slack_bolt takes orders from others, which are not signed."""
    kept = {name: headers[name] for name in (SIGNATURE, TIMESTAMP, RETRY) if name in headers}
    try:
        return BoltRequest(body=body.decode(), headers=dict(kept))
    except _MALFORMED:  # it parses the body at once
        return None


def _reply(response: BoltResponse) -> Reply:
    content_type = response.first_headers().get("content-type", "text/plain")
    if response.status == 401:
        return Reply(401, STALE)
    if response.status == 404:
        return Reply(400, UNREADABLE)
    if response.status >= 500:
        return Reply(response.status, "An error inside the service; its log has the cause.")
    return Reply(response.status, response.body, content_type)


def _encode(reply: Reply) -> bytes:
    return json.dumps(vars(reply)).encode()
