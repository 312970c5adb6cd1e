"""A shop as the command line sees it: settings, data folder and workspace; imports no heavy library."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import DataError
from components.contract.files import write_json
from components.contract.settings import Settings
from components.data.configuration import load_settings
from components.data.storage import open_store
from components.release.decision_log import DecisionLog

_NEWEST_CHECK = "newest_check.json"


@dataclass(frozen=True)
class Shop:
    settings: Settings
    root: Path
    """Folder that the sources' paths are relative to."""
    workspace: Path
    """`<workspace>/<shop>`."""

    @property
    def candidates(self) -> Path:
        return self.workspace / "candidates"

    @property
    def runs(self) -> Path:
        return self.workspace / "runs"

    @property
    def live_items(self) -> str:
        """Folder, or s3:// prefix, of the live items' table."""
        return self.settings.serving.live or str(self.workspace / "serving" / "live")

    @property
    def undiscoverable(self) -> Path:
        """Per release a folder with its list."""
        return self.workspace / "undiscoverable"

    @property
    def decisions(self) -> str:
        """Folder, or s3:// prefix, of the decision log."""
        return self.settings.decisions or str(self.workspace / "decisions")

    def remember_check(self, folder: Path) -> None:
        """Notes the newest check stage, whose quarantine the command line shows."""
        write_json(self.workspace / _NEWEST_CHECK, {"folder": folder.name})

    def newest_check(self) -> Path:
        """Raises DataError before the first check."""
        path = self.workspace / _NEWEST_CHECK
        if not path.is_file():
            raise DataError(f"{path} is missing: run `debut check` or `debut retrain` first.")
        return self.workspace / "stages" / str(json.loads(path.read_text())["folder"])

    def decision_log(self) -> DecisionLog:
        return DecisionLog(open_store(self.decisions))


def open_shop(
    config: str, root: str | None, workspace: str | None, changes: dict[str, Any] | None = None
) -> Shop:
    """Loads the configuration; `changes` replaces whole top-level sections."""
    settings, default_root = load_settings(config)
    if changes:
        settings = Settings.model_validate(settings.model_dump() | changes)
    folder = Path(workspace or settings.workspace).resolve() / settings.shop
    return Shop(settings, Path(root) if root else default_root, folder)


def actor() -> str:
    """Who acts, for the decision log: the login name, or what the job that runs us says."""
    return os.environ.get("DEBUT_ACTOR") or os.environ.get("USER") or "unknown"
