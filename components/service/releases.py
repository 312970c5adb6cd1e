"""What the service needs to know of releases: a port that the command line fills in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from components.contract.records import Decision


class Releases(Protocol):
    def champion(self) -> str | None:
        """D of the release that is to serve, by the decision log; None before the first one."""
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

    def figures(self, digest: str) -> dict[str, Any]:
        """What its newest run measured, as plain JSON values; empty where no run is known here."""
        ...

    def roll_back(self, *, to: str | None, reason: str, actor: str) -> Decision:
        """Makes an earlier champion the champion again. Raises PromotionError or FencedError."""
        ...

    def undiscoverable(self, digest: str) -> Path | None:
        """CSV of a release's undiscoverable items."""
        ...

    def history_of(self, user_id: str) -> Sequence[str]:
        """A user's past items, oldest first; empty for a user nobody knows."""
        ...
