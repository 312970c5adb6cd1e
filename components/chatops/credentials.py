"""Chat's secrets, which come from the environment and are never shown."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Credentials:
    """None where a way in or out is not configured."""

    signing_secret: str | None = field(default=None, repr=False)
    """DEBUT_SLACK_SIGNING_SECRET: what Slack signs its requests with."""
    bot_token: str | None = field(default=None, repr=False)
    """DEBUT_SLACK_BOT_TOKEN: what posts to Slack's Web API."""
    mattermost_token: str | None = field(default=None, repr=False)
    """DEBUT_MATTERMOST_TOKEN: what Mattermost's slash command sends."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Credentials":
        """An empty variable counts as none."""
        return cls(
            signing_secret=environment.get("DEBUT_SLACK_SIGNING_SECRET", "").strip() or None,
            bot_token=environment.get("DEBUT_SLACK_BOT_TOKEN", "").strip() or None,
            mattermost_token=environment.get("DEBUT_MATTERMOST_TOKEN", "").strip() or None,
        )
