"""What the service needs to know of releases: a port that the command line fills in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from components.contract.records import Decision
from components.evaluation.age import RecallPoint
from components.profiles.behaviour import Behaviour


@dataclass(frozen=True)
class Challenger:
    """The release that the page shows beside the champion."""

    digest: str
    standing: Literal["waiting", "rejection", "inconclusive", "previous"]
    """waiting: passed its gates and waits for a person; rejection, inconclusive: judged last, with this
    verdict; previous: the champion before the present one."""


@dataclass(frozen=True)
class AgeCurve:
    """One release's recall by age bucket (undated: new and established items), youngest first."""

    system: Literal["challenger", "champion"]
    """What it was in the run that judged it."""
    digest: str | None
    points: tuple[RecallPoint, ...]


@dataclass(frozen=True)
class AgePlot:
    """What the newest run that a release took part in measured against item age."""

    curves: tuple[AgeCurve, ...]
    k: int
    dated: bool
    """False: the points are new and established items, because items or judgements have no dates."""
    picture: Path | None
    """PNG of the same."""


class Releases(Protocol):
    def champion(self) -> str | None:
        """D of the release that is to serve, by the decision log; None before the first one."""
        ...

    def challenger(self) -> Challenger | None:
        """What to compare the champion with: the release that waits for a review, else the last judged and
        refused one while no later decision changed the champion, else the champion before the present one."""
        ...

    def folder(self, digest: str) -> Path:
        """The candidate's folder after its files – and its signature, where a key is configured – were
        verified. Raises PromotionError that names what does not fit."""
        ...

    def history(self) -> Sequence[Decision]:
        """All decisions, oldest first."""
        ...

    def report(self, digest: str) -> Path | None:
        """The newest gate report about a release, as an HTML file."""
        ...

    def recall_by_age(self, digest: str) -> AgePlot | None:
        """Of the newest run that judged the release, else of the newest one it was the champion of."""
        ...

    def figures(self, digest: str) -> dict[str, Any]:
        """What its newest run measured, as plain JSON values; empty where no run is known here."""
        ...

    def roll_back(self, *, to: str, reason: str, actor: str, expected_champion: str) -> Decision:
        """Makes an earlier champion the champion again; expected_champion: D of the one that it is to take
        the place of. Raises PromotionError, and FencedError where another serves by now."""
        ...

    def undiscoverable(self, digest: str) -> Path | None:
        """CSV of a release's undiscoverable items; a JSON file of the same name beside it has the figures."""
        ...

    def history_of(self, user_id: str) -> Sequence[str]:
        """A user's past items, oldest first; empty for a user nobody knows."""
        ...

    def behaviour(self) -> Behaviour | None:
        """What all users did, for profiles; None where releases came here without the shop's data."""
        ...
