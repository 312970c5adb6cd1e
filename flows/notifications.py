"""What the loop tells people: chat and webhooks. Nothing here fails a run; what was not reached is logged."""

from collections.abc import Sequence
from typing import Any

from components.chatops.announcements import Announcements
from components.chatops.board import Drift, Thread
from components.chatops.credentials import Credentials
from components.chatops.poster import Poster
from components.contract.errors import DebutError
from components.contract.records import Decision
from flows.acts import report_of_run
from flows.chat import ShopBoard
from flows.shop import Shop

ThreadValues = dict[str, str] | None
"""chatops.board.Thread as a flow's parameter."""


def retrained(shop: Shop, result: dict[str, Any], thread: ThreadValues) -> None:
    """The verdict with its report, and the buttons where the challenger waits."""
    announcements, run_id = _announcements(shop), result["run_id"]
    place = _place(thread)
    announcements.finished(ShopBoard(shop), run_id, report_of_run(shop, run_id), place)
    if result["decision"] is None:
        announcements.waiting(shop.reviews().get(run_id), place)


def nothing_new(shop: Shop, result: dict[str, Any], thread: ThreadValues) -> None:
    _announcements(shop).unchanged(result["run_id"], result["verdict"], _place(thread))


def failed(shop: Shop, run_id: str, error: BaseException, thread: ThreadValues) -> None:
    """A run that ended by an exception. Of one that is no DebutError only the type is told: its message may
    hold a secret."""
    _announcements(shop).failed(run_id, _sentence(error), _place(thread))


def lost(shop: Shop, name: str, sentence: str, thread: Any) -> None:
    """A run that could not tell its end. thread: as the run was given it, unchecked."""
    _announcements(shop).failed(name, sentence, _place(thread))


def decided(shop: Shop, decision: Decision) -> None:
    """A decision that was made outside chat."""
    if not decision.actor.startswith(("slack:", "mattermost:")):
        _announcements(shop).decided(decision)


def drifted(shop: Shop, drift: Drift) -> None:
    _announcements(shop).drifted(drift)


def surged(shop: Shop, sentence: str, examples: Sequence[str]) -> None:
    _announcements(shop).surged(sentence, examples)


def monitor_failed(shop: Shop, sentence: str) -> None:
    _announcements(shop).failed("monitor", sentence, None)


def _sentence(error: BaseException) -> str:
    if isinstance(error, DebutError):
        return str(error)
    kind = type(error).__name__
    if isinstance(error, Exception):
        return f"an unexpected error ({kind}); the run's log has the cause"
    return f"it was stopped ({kind}) before its end"


def _place(thread: Any) -> Thread | None:
    """None too where what was given is no thread: then the channel is told."""
    try:
        return Thread(**thread) if thread else None
    except TypeError:
        return None


def _announcements(shop: Shop) -> Announcements:
    chat = shop.settings.chat
    return Announcements(Poster(chat, Credentials.from_environment().bot_token), chat.channel)
