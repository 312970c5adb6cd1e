"""What the loop tells people: chat and webhooks. Nothing here fails a run; what was not reached is logged."""

from typing import Any

from components.chatops.announcements import Announcements
from components.chatops.board import Drift, Thread
from components.chatops.credentials import Credentials
from components.chatops.poster import Poster
from components.contract.records import Decision
from components.release.review import Reviews
from flows.acts import report_of_run
from flows.chat import ShopBoard
from flows.run import Run
from flows.shop import Shop

ThreadValues = dict[str, str] | None
"""chatops.board.Thread as a flow's parameter."""


def retrained(shop: Shop, result: dict[str, Any], thread: ThreadValues) -> None:
    """The verdict with its report, and the buttons where the challenger waits."""
    announcements, run_id = _announcements(shop), result["run_id"]
    place = Thread(**thread) if thread else None
    announcements.finished(ShopBoard(shop), run_id, report_of_run(shop, run_id), place)
    if result["decision"] is None:
        case = Reviews(shop.review_store(), shop.decision_log()).get(run_id)
        announcements.waiting(case, place)


def nothing_new(shop: Shop, result: dict[str, Any], thread: ThreadValues) -> None:
    place = Thread(**thread) if thread else None
    _announcements(shop).unchanged(result["run_id"], result["verdict"], place)


def failed(shop: Shop, run: Run, sentence: str, thread: ThreadValues) -> None:
    _announcements(shop).failed(run.run_id, sentence, Thread(**thread) if thread else None)


def decided(shop: Shop, decision: Decision) -> None:
    """A decision that was made outside chat."""
    if not decision.actor.startswith(("slack:", "mattermost:")):
        _announcements(shop).decided(decision)


def drifted(shop: Shop, drift: Drift) -> None:
    _announcements(shop).drifted(drift)


def _announcements(shop: Shop) -> Announcements:
    chat = shop.settings.chat
    return Announcements(Poster(chat, Credentials.from_environment().bot_token), chat.channel)
