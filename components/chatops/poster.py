"""What posts: Slack's Web API, the address a command answers to, and plain webhooks.

A post that fails is tried again a few times and then logged; it never raises, so that no run ends because a
chat was away. Addresses are secrets too: of them only the host is logged.
"""

import logging
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.http_retry import RetryHandler
from slack_sdk.http_retry.builtin_handlers import (
    ConnectionErrorRetryHandler,
    RateLimitErrorRetryHandler,
    ServerErrorRetryHandler,
)
from slack_sdk.webhook import WebhookClient

from components.chatops.board import Thread
from components.contract.operations import ChatSettings

logger = logging.getLogger(__name__)

RETRIES = 3
"""After the first attempt; they wait about 0.5, 1 and 2 seconds."""
TIMEOUT_SECONDS = 10
_FAILURES = (SlackClientError, OSError, HTTPException, ValueError)


class Poster:
    """Posts as the settings say; without a bot token it reaches no Slack channel."""

    def __init__(self, settings: ChatSettings, bot_token: str | None) -> None:
        self._webhooks = settings.webhooks
        self._client = _web_client(settings.api_url, bot_token) if bot_token else None

    @property
    def reaches_slack(self) -> bool:
        """Whether there is a token to post with."""
        return self._client is not None

    def say(
        self, channel: str, text: str, *, thread: Thread | None = None, blocks: Sequence[Any] | None = None
    ) -> Thread | None:
        """Posts to a channel, under `thread` where one is given; the new message, None where that failed."""
        answer = self._call(
            lambda client: client.chat_postMessage(
                channel=channel, text=text, thread_ts=thread.ts if thread else None, blocks=blocks
            )
        )
        return Thread(str(answer["channel"]), str(answer["ts"])) if answer is not None else None

    def replace(self, message: Thread, text: str) -> None:
        """Puts a text in the place of a message and its buttons."""
        self._call(
            lambda client: client.chat_update(channel=message.channel, ts=message.ts, text=text, blocks=[])
        )

    def upload(self, place: Thread, files: Sequence[Path], comment: str) -> None:
        """Uploads files as one message under another."""
        uploads = [{"file": str(path), "filename": path.name, "title": path.name} for path in files]
        self._call(
            lambda client: client.files_upload_v2(
                file_uploads=uploads,
                channel=place.channel,
                thread_ts=place.ts,
                initial_comment=comment,
            )
        )

    def respond(self, response_url: str, text: str, *, public: bool) -> None:
        """Answers a command or a button at the address that came with it. public: the channel sees it too."""
        body = {"text": text, "response_type": "in_channel" if public else "ephemeral"}
        _send(response_url, body | {"replace_original": False})

    def notify(self, text: str) -> None:
        """Tells every webhook of the settings."""
        for url in self._webhooks:
            _send(url, {"text": text})

    def _call(self, act: Callable[[WebClient], Any]) -> Any | None:
        if self._client is None:
            logger.warning("Nothing was posted to Slack: DEBUT_SLACK_BOT_TOKEN is not set.")
            return None
        try:
            return act(self._client)
        except SlackApiError as error:
            logger.warning("Slack refused a post: %s.", error.response.get("error", "no reason given"))
        except _FAILURES as error:
            logger.warning("Slack was not reached: %s.", _reason(error))
        return None


def _send(url: str, body: dict[str, Any]) -> None:
    host = urlsplit(url).hostname
    try:
        client = WebhookClient(url, timeout=TIMEOUT_SECONDS, logger=_quiet(), retry_handlers=_retries())
        client.proxy = None  # urllib then reads the proxies of the environment, and no_proxy with them
        answer = client.send_dict(body)
    except _FAILURES as error:
        logger.warning("The webhook at %s was not reached: %s.", host, _reason(error))
        return
    if answer.status_code >= 300:
        logger.warning("The webhook at %s answered %s.", host, answer.status_code)


def _web_client(api_url: str, token: str) -> WebClient:
    client = WebClient(
        token=token,
        base_url=api_url,
        timeout=TIMEOUT_SECONDS,
        logger=_quiet(),
        retry_handlers=_retries(),
    )
    client.proxy = None  # as in `_send`
    return client


def _retries() -> list[RetryHandler]:
    return [
        ConnectionErrorRetryHandler(max_retry_count=RETRIES),
        RateLimitErrorRetryHandler(max_retry_count=RETRIES),
        ServerErrorRetryHandler(max_retry_count=RETRIES),
    ]


def _quiet() -> logging.Logger:
    """For the SDK, which logs whole addresses at INFO and texts at DEBUG."""
    sdk = logging.getLogger(f"{__name__}.sdk")
    sdk.setLevel(logging.CRITICAL)
    return sdk


def _reason(error: Exception) -> str:
    """Without the message where it may hold the address."""
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or type(error).__name__)
