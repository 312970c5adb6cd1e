"""A shop as the command line sees it: settings, data folder and workspace; imports no heavy library."""

import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract.errors import ConfigError, DataError
from components.contract.files import write_json
from components.contract.paths import at_home
from components.contract.ports import ObjectStore
from components.contract.settings import Settings
from components.data.configuration import load_settings
from components.data.storage import open_store
from components.release.decision_log import DecisionLog

if TYPE_CHECKING:  # its module imports libraries that most commands do not need
    from components.release.review import Reviews

GENERATED = ("demo", "help_desk")
"""The examples that generate their files; the others need --root."""
REFERENCE = "reference"
"""Within a release's folder of `references`, beside alarms.json."""
_NEWEST_CHECK, _NEWEST_PASSED = "newest_check.json", "newest_passed_check.json"


@dataclass(frozen=True)
class Shop:
    settings: Settings
    root: Path
    """Folder that the sources' paths are relative to."""
    workspace: Path
    """`<workspace>/<shop>`."""
    options: str = ""
    """What a command needs to be about this shop: "--config demo"."""
    generated: bool = False
    """An example without --root whose sources are made in the workspace."""

    @property
    def candidates(self) -> Path:
        return self.workspace / "candidates"

    @property
    def runs(self) -> Path:
        return self.workspace / "runs"

    @property
    def live_items(self) -> str:
        """Folder, or s3:// prefix, of the live items' table."""
        live = self.settings.serving.live or str(self.workspace / "serving" / "live")
        return live if "://" in live else str(at_home(live))

    @property
    def labels(self) -> Path:
        """People's own judgements of test queries (split.labels)."""
        return self.workspace / "labels" / "judgements.parquet"

    @property
    def undiscoverable(self) -> Path:
        """Per release a folder with its list."""
        return self.workspace / "undiscoverable"

    @property
    def references(self) -> Path:
        """Per release a folder with what the monitor holds live windows against."""
        return self.workspace / "monitoring" / "references"

    @property
    def opinions(self) -> Path:
        """Per release a folder with what its sentiment head reads in the reviews."""
        return self.workspace / "opinions"

    @property
    def drift_reports(self) -> Path:
        """Per judged window, named by its end, a folder with its report."""
        return self.workspace / "monitoring" / "windows"

    @property
    def traffic(self) -> Path:
        return at_home(self.settings.serving.traffic or self.workspace / "serving" / "traffic")

    @property
    def decisions(self) -> str:
        """Folder, or s3:// prefix, of the decision log."""
        return self.settings.decisions or str(self.workspace / "decisions")

    def source_digests(self) -> dict[str, str]:
        """See `components.data.sources`; a generated shop's files are made first, where they are absent."""
        from components.data import sources

        if self.generated:
            _generate(self.settings.shop, self.root)
        return sources.source_digests(self.settings, self.root)

    def remember_check(self, folder: Path, *, passed: bool = False) -> None:
        """Notes the newest check stage, whose quarantine the command line shows; passed: the newest that the
        tolerance let through, whose tables are read."""
        write_json(self.workspace / (_NEWEST_PASSED if passed else _NEWEST_CHECK), {"folder": folder.name})

    def newest_check(self, *, passed: bool = False) -> Path:
        """Raises DataError before the first check and where its folder is gone; passed: QualityError where
        the only one is an earlier version's, and refused."""
        path = self.workspace / (_NEWEST_PASSED if passed else _NEWEST_CHECK)
        if passed and not path.is_file() and (self.workspace / _NEWEST_CHECK).is_file():
            from components.quality.checks import enforce

            newest = self.newest_check()  # by an earlier version, which noted no other
            enforce(newest, self.settings.quality)
            self.remember_check(newest, passed=True)
        if not path.is_file():
            raise DataError(f"{path} is missing: run `debut check` or `debut retrain` first.")
        folder = self.workspace / "stages" / str(json.loads(path.read_text())["folder"])
        if not folder.is_dir():
            raise DataError(f"{folder}, the newest check of the data, is gone: run `debut check`.")
        return folder

    def checked_at(self) -> datetime | None:
        """When the newest check ended, whether it passed or not; None before the first."""
        path = self.workspace / _NEWEST_CHECK
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.is_file() else None

    def review_store(self) -> ObjectStore:
        """Challengers that wait, or waited, for a review."""
        return open_store(f"{self.decisions.rstrip('/')}-reviews")

    def decision_log(self) -> DecisionLog:
        return DecisionLog(open_store(self.decisions))

    def reviews(self) -> "Reviews":
        from components.release.review import Reviews

        return Reviews(self.review_store(), self.decision_log())


def open_shop(
    config: str, root: str | None, workspace: str | None, changes: dict[str, Any] | None = None
) -> Shop:
    """Loads the configuration; `changes` replaces whole top-level sections. Without `root` the sources are
    beside the configuration; those that are generated are in the workspace. Raises ConfigError."""
    root = root or None  # a deployment's variable that is not set is empty
    settings, default_root = load_settings(config)
    if changes:
        settings = Settings.model_validate(settings.model_dump() | changes)
    folder = at_home(workspace or settings.workspace).resolve() / settings.shop
    if set("*?[") & set(str(folder)):
        raise ConfigError(f"workspace: {folder} holds *, ? or [, a pattern to polars; choose another.")
    options = ["--config", config, *(["--workspace", workspace] if workspace else [])]
    generated = config in GENERATED and root is None
    if generated:
        default_root = folder / "shop"
    return Shop(settings, Path(root) if root else default_root, folder, shlex.join(options), generated)


def _generate(example: str, root: Path) -> None:
    """Makes the files of an example where they are not whole."""
    from components.data import demo_shop, help_desk

    made = {"demo": demo_shop.TRUTH, "help_desk": help_desk.MADE}[example]
    if not (root / made).is_file():
        (demo_shop if example == "demo" else help_desk).generate(root)
