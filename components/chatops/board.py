"""What chat may ask of a shop, and do to it: the port that flows/chat.py implements."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from components.contract.ports import JobRun
from components.contract.records import Decision, GateReport, ReviewCase


@dataclass(frozen=True)
class Thread:
    """A Slack message that what follows is posted under."""

    channel: str
    """Slack's id of the channel."""
    ts: str
    """Slack's id of the message within it."""


@dataclass(frozen=True)
class Status:
    """How a shop stands."""

    shop: str
    champion: str | None
    """D of the release that serves."""
    waiting: ReviewCase | None
    """The challenger that waits for a person."""
    runs: tuple[JobRun, ...]
    """The newest runs, newest first."""
    problem: str | None = None
    """Why the runs are not known; None where they are."""


@dataclass(frozen=True)
class Drift:
    """The latest verdict of the monitor."""

    at: datetime
    """End of the judged window."""
    drifted: bool
    sentence: str
    """What was found, or why the window was not judged."""
    report: str | None = None
    """Where the whole report is: a path or an address."""


@dataclass(frozen=True)
class Comparison:
    """The newest gate report and the retrain that it belongs to."""

    run_id: str
    report: GateReport


class Board(Protocol):
    """The shop as chat sees it. Every method may block; any may raise a DebutError, whose sentence is shown.

    `actor` and `requester` are "slack:U0123ABCD" or "mattermost:<user id>"; chat has checked their role, and
    nothing else: whether an approval stands (single use, expiry, four eyes) is the board's to refuse.
    """

    def start_retrain(self, shop: str | None, because: str, requester: str, thread: Thread | None) -> JobRun:
        """Asks for a retrain and returns at once; its result goes to `thread`, else to the channel of the
        settings. shop: None where the user named none; another than the board's own is refused."""
        ...

    def status(self) -> Status: ...

    def drift(self) -> Drift | None:
        """None where no window was judged yet."""
        ...

    def champion(self) -> Decision | None:
        """The record that made the champion; None before the first promotion."""
        ...

    def compare(self) -> Comparison | None:
        """None where nothing was judged yet."""
        ...

    def approve(self, run_id: str, actor: str) -> Decision:
        """Promotes the challenger that waits; raises PromotionError where it may not be."""
        ...

    def reject(self, run_id: str, actor: str, reason: str) -> Decision:
        """Refuses the challenger that waits; raises PromotionError where none does."""
        ...

    def rollback(self, actor: str, reason: str, to: str | None = None) -> Decision:
        """Makes the champion before this one serve again; to: that release instead, by the first characters
        of D. Raises PromotionError where there is none, or where it has to be named."""
        ...

    def gate_report(self, run_id: str) -> Path | None:
        """The report's file; None where the run left none."""
        ...

    def age_curve(self, run_id: str) -> Path | None:
        """The picture of recall over the age of items; None where the run left none."""
        ...
