"""Chat as one object that a service mounts: both ways in, over one conversation."""

from dataclasses import dataclass
from pathlib import Path

from components.chatops.board import Board
from components.chatops.conversation import Conversation
from components.chatops.credentials import Credentials
from components.chatops.mattermost import MattermostApp
from components.chatops.nonces import Nonces
from components.chatops.poster import Poster
from components.chatops.slack import SlackApp
from components.contract.operations import ChatSettings


@dataclass(frozen=True)
class Chat:
    """None where the secret of a way in is not configured."""

    conversation: Conversation
    slack: SlackApp | None
    mattermost: MattermostApp | None

    def close(self) -> None:
        """Waits for the commands that were taken on."""
        self.conversation.close()


def open_chat(settings: ChatSettings, board: Board, folder: Path, credentials: Credentials) -> Chat:
    """folder: of the nonces, shared by all replicas; it is made when the first request comes."""
    conversation = Conversation(settings, board, Poster(settings, credentials.bot_token))
    nonces, age = Nonces(folder, settings.max_age_seconds), settings.max_age_seconds
    secret, token = credentials.signing_secret, credentials.mattermost_token
    return Chat(
        conversation,
        SlackApp(conversation, nonces, signing_secret=secret, max_age_seconds=age) if secret else None,
        MattermostApp(conversation, nonces, token=token, max_age_seconds=age) if token else None,
    )
