"""From a command to its answer: refused at once, or taken on and answered when the work is done."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.chatops import texts
from components.chatops.board import Board, Thread
from components.chatops.commands import Command, CommandError, Verb, is_run_id, parse
from components.chatops.poster import Poster
from components.chatops.roles import CHANGING, Platform, RoleError, permitted
from components.contract.errors import DebutError
from components.contract.operations import ChatSettings
from components.contract.records import Decision

logger = logging.getLogger(__name__)

WORKERS = 4
"""Commands that are worked on at the same time; more wait, acknowledged."""
NO_REASON = "asked for in chat"
BUTTON_REASON = "rejected with the button in chat, no reason given"
_DEFECT = "An error inside the service; its log has the cause."


@dataclass(frozen=True)
class Asked:
    """One command or button, and where its answer goes."""

    platform: Platform
    user: str
    """The chat's own id."""
    mention: str
    """How a message names the user."""
    channel: str
    response_url: str
    message: Thread | None = None
    """The message whose button was pressed."""


class Conversation:
    """Gives commands to the board; safe from several threads."""

    def __init__(self, settings: ChatSettings, board: Board, poster: Poster) -> None:
        self._settings = settings
        self._board = board
        self._poster = poster
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="chat")

    def command(self, asked: Asked, text: str) -> str:
        """The answer for now, which blocks on nothing; what takes time follows at `response_url`."""
        try:
            command = parse(text)
            actor = self._permitted(asked, command.verb)
        except (CommandError, RoleError) as refused:
            return texts.escaped(str(refused))
        if command.verb == "help":
            return texts.help_text()
        self._work(asked, lambda: self._perform(asked, command, actor))
        return f"`{command.verb}`: taken on; the answer follows here."

    def button(self, asked: Asked, verb: Verb, run_id: str, reason: str = "") -> None:
        """Approves or rejects the challenger under whose message the button stands; returns at once.
        reason: of a rejection, as typed beside the button."""
        self._work(asked, lambda: self._press(asked, verb, run_id, reason or BUTTON_REASON))

    def close(self) -> None:
        """Waits for what was taken on."""
        self._workers.shutdown()

    def _work(self, asked: Asked, act: Callable[[], None]) -> None:
        def run() -> None:
            try:
                act()
            except DebutError as error:
                self._answer(asked, texts.escaped(str(error)))
            except Exception:  # nobody awaits this thread: the user and the log must hear of it
                logger.exception("A chat command failed")
                self._answer(asked, _DEFECT)

        self._workers.submit(run)

    def _perform(self, asked: Asked, command: Command, actor: str) -> None:
        if command.verb == "retrain":
            self._retrain(asked, command, actor)
        elif command.verb in ("approve", "reject", "rollback"):
            self._decided(asked, self._decide(command, actor))
        else:
            self._answer(asked, self._report(command.verb))

    def _press(self, asked: Asked, verb: Verb, run_id: str, reason: str) -> None:
        actor = self._permitted(asked, verb)
        if not is_run_id(run_id):
            raise CommandError("The button names no run.")
        self._decided(asked, self._decide(Command(verb, run_id=run_id, reason=reason), actor))

    def _permitted(self, asked: Asked, verb: Verb) -> str:
        """The actor; a refused attempt to change something is logged, without what was typed."""
        try:
            return permitted(self._settings.roles, asked.platform, asked.user, verb)
        except RoleError:
            if verb in CHANGING:
                logger.warning("Chat refused %s to %s:%s", verb, asked.platform, asked.user)
            raise

    def _decide(self, command: Command, actor: str) -> Decision:
        if command.verb == "approve":
            return self._board.approve(command.run_id, actor)
        if command.verb == "reject":
            return self._board.reject(command.run_id, actor, command.reason)
        return self._board.rollback(actor, command.reason, command.to)

    def _decided(self, asked: Asked, decision: Decision) -> None:
        text = texts.decision_text(decision)
        if asked.message is not None:
            self._poster.replace(asked.message, text)
        else:
            self._answer(asked, text, public=True)
        self._poster.notify(text)

    def _report(self, verb: Verb) -> str:
        if verb == "status":
            return texts.status_text(self._board.status())
        if verb == "drift":
            return texts.drift_text(self._board.drift())
        if verb == "champion":
            return texts.champion_text(self._board.champion())
        return texts.compare_text(self._board.compare())

    def _retrain(self, asked: Asked, command: Command, actor: str) -> None:
        """Opens the thread first, so that the run can be told where its result goes."""
        because = command.reason or NO_REASON
        text = texts.retrain_text(asked.mention, command.shop, because)
        thread = self._poster.say(asked.channel, text) if asked.platform == "slack" else None
        if thread is None:
            run = self._board.start_retrain(command.shop, because, actor, None)
            self._answer(asked, f"{text}\n{texts.started_text(run, self._told())}", public=True)
            return
        try:
            run = self._board.start_retrain(command.shop, because, actor, thread)
            outcome = texts.started_text(run, "thread")
        except DebutError as error:
            outcome = texts.escaped(str(error))
        self._poster.say(thread.channel, outcome, thread=thread)

    def _told(self) -> texts.ResultPlace:
        """Where the result of a run without a thread goes."""
        if self._settings.channel and self._poster.reaches_slack:
            return "channel"
        return "webhooks" if self._settings.webhooks else "nowhere"

    def _answer(self, asked: Asked, text: str, *, public: bool = False) -> None:
        self._poster.respond(asked.response_url, text, public=public)
