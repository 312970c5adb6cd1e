"""What is posted without being asked at that moment: results, waiting challengers, decisions, drift."""

from collections.abc import Sequence
from typing import Any

from components.chatops import texts
from components.chatops.board import Board, Drift, Thread
from components.chatops.poster import Poster
from components.contract.records import Decision, GateReport, ReviewCase

APPROVE, REJECT = "debut_approve", "debut_reject"
"""action_ids of the buttons; their value is the run's id."""
REASON = "debut_reason"
"""block_id and action_id of the line for a rejection's reason."""
MAX_SECTION, MAX_TITLE, MAX_REASON = 3_000, 100, 500
"""Characters: what Slack takes in a section and in a dialogue's title; what a reason may have."""


class Announcements:
    """Posts to every webhook, and to Slack: to the thread that asked, else to `channel`, if there is one."""

    def __init__(self, poster: Poster, channel: str | None) -> None:
        self._poster = poster
        self._channel = channel

    def finished(self, board: Board, run_id: str, report: GateReport, thread: Thread | None) -> None:
        """The verdict and the primary gates of a retrain, with its gate report and its age curve."""
        root = self._tell(texts.verdict_text(run_id, report), thread)
        files = [path for path in (board.gate_report(run_id), board.age_curve(run_id)) if path is not None]
        if root is not None and files:
            self._poster.upload(thread or root, files, f"Gate report and age curve of run `{run_id}`")

    def failed(self, run_name: str, sentence: str, thread: Thread | None) -> None:
        """A run that ended without a verdict, and why."""
        self._tell(f"Run `{texts.escaped(run_name)}` failed: {texts.escaped(sentence)}", thread)

    def unchanged(self, run_id: str, verdict: str, thread: Thread | None) -> None:
        """A retrain that had nothing to do, and the run that says so."""
        self._tell(f"Nothing changed since run `{run_id}`, which ended with {verdict}.", thread)

    def waiting(self, case: ReviewCase, thread: Thread | None) -> None:
        """A challenger that waits for a person, with buttons that approve and reject it, and a line for the
        rejection's reason; webhooks, which have no buttons, get the commands."""
        text = texts.waiting_text(case)
        self._say(text, thread, [_section(text), _reason(), _buttons(case.run_id)])
        self._poster.notify(texts.review_text(case))

    def decided(self, decision: Decision) -> None:
        """A decision that was not made in chat (of those chat tells by itself): the channel and webhooks."""
        self._tell(texts.decision_text(decision), None)

    def drifted(self, drift: Drift) -> None:
        """A verdict of the monitor: the channel and webhooks."""
        self._tell(texts.drift_text(drift), None)

    def surged(self, sentence: str, examples: Sequence[str]) -> None:
        """Negatives that surge on a topic, in customers' words: the channel and webhooks."""
        self._tell(texts.surge_text(sentence, examples), None)

    def _tell(self, text: str, thread: Thread | None) -> Thread | None:
        root = self._say(text, thread)
        self._poster.notify(text)
        return root

    def _say(self, text: str, thread: Thread | None, blocks: list[Any] | None = None) -> Thread | None:
        channel = thread.channel if thread else self._channel
        return self._poster.say(channel, text, thread=thread, blocks=blocks) if channel else None


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MAX_SECTION]}}


def _reason() -> dict[str, Any]:
    line = {"type": "plain_text_input", "action_id": REASON, "max_length": MAX_REASON}
    label = _plain("Reason for a rejection")
    return {"type": "input", "block_id": REASON, "optional": True, "label": label, "element": line}


def _buttons(run_id: str) -> dict[str, Any]:
    return {
        "type": "actions",
        "elements": [
            _button(APPROVE, "Approve", "primary", run_id, "It serves as soon as it is promoted."),
            _button(REJECT, "Reject", "danger", run_id, "The champion stays; a rejection is final."),
        ],
    }


def _button(action: str, label: str, style: str, run_id: str, consequence: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action,
        "text": _plain(label),
        "style": style,
        "value": run_id,
        "confirm": {
            "title": _plain(f"{label} {run_id}?"[:MAX_TITLE]),
            "text": _plain(consequence),
            "confirm": _plain(label),
            "deny": _plain("Cancel"),
        },
    }


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}
