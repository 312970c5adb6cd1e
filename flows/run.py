"""One run of a flow: its shop, its identity, and the cache of its stages."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from prefect import Task

from components.contract.digests import sha256_json
from components.contract.files import disk_errors
from components.contract.learning import EncoderSettings
from components.contract.records import CheckedData, LoadedData, PreparedData, TaskData
from flows import console
from flows.fingerprint import encoder_digestible, run_fingerprint
from flows.lease import stage_lease
from flows.shop import Shop

RECORDS = "stage_records"
"""Folder of the workspace with the record of each folder in `stages`, by its key."""


@dataclass(frozen=True)
class Run:
    shop: Shop
    run_id: str
    fingerprint: dict[str, Any]
    requested_by: str = ""
    because: str = ""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    used: dict[Path, str] = field(default_factory=dict)
    """Folders of the stages that it ran or took from the cache so far, with the stages' names."""

    @property
    def folder(self) -> Path:
        return self.shop.runs / self.run_id

    @cached_property
    def champion(self) -> str | None:
        """Digest of the release that served when the run first asked. What is decided meanwhile changes
        nothing of what the run computes: the decision log fences its own decision."""
        return self.shop.decision_log().champion()

    def cached(self, task: Task[..., Any], stage: str, inputs: Any, **arguments: Any) -> tuple[Any, Path]:
        """Runs a stage's task, or takes its result from the cache.

        The key is what decides the stage's outcome: `inputs`, the components' code and the installed
        versions. The task gets `folder`, where it leaves its files. Its record is in the workspace, too, not
        in the storage of whichever Prefect runs it; one whose folder is gone is dropped before the stage is
        made again, so that it never stands for another run's folder, even after a kill.
        """
        code = (self.fingerprint["code"], self.fingerprint["versions"])
        key = f"{stage}-{sha256_json([_plain(inputs), code])}"
        folder = self.shop.workspace / "stages" / key[: len(stage) + 13]
        record = self.shop.workspace / RECORDS / key
        keyed = task.with_options(
            cache_key_fn=_constant(key),
            persist_result=True,
            result_storage=record.parent,
            refresh_cache=False,
        )
        self.used[folder] = stage
        name = _name(task, arguments)
        with stage_lease(record, name):
            if not folder.exists():
                with disk_errors(record):
                    record.unlink(missing_ok=True)
            if not record.exists():
                console.step(name)
            return keyed(folder=folder, **arguments), folder


@dataclass(frozen=True)
class Data:
    """The data stages' records and where each left its files."""

    loaded: LoadedData
    checked: CheckedData
    prepared: PreparedData
    loaded_folder: Path
    checked_folder: Path
    split: Path
    lost_items: dict[str, int]
    tasks: tuple[TaskData, Path] | None = None
    """Rows of the shop's tasks; None where it has none."""

    @property
    def task_rows(self) -> Path | None:
        return self.tasks[1] if self.tasks else None

    @property
    def task_digest(self) -> str | None:
        return self.tasks[0].digest if self.tasks else None


def new_run_id() -> str:
    """Begins with the moment (UTC)."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def new_run(shop: Shop, requested_by: str = "", because: str = "", run_id: str | None = None) -> Run:
    """A run; run_id: not given, a new one. Raises DataError or StorageError where a source cannot be read."""
    return Run(shop, run_id or new_run_id(), run_fingerprint(shop), requested_by, because)


def _name(task: Task[..., Any], arguments: dict[str, Any]) -> str:
    """As Prefect names the run: "judge: champion", not twice "judge"."""
    return task.task_run_name.format(**arguments) if isinstance(task.task_run_name, str) else task.name


def _plain(value: Any) -> Any:
    """Records and settings as plain JSON values, also inside lists and tuples."""
    if isinstance(value, EncoderSettings):  # where the base's weights matter, their digest is a further input
        return encoder_digestible(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _constant(key: str) -> Callable[..., str]:
    return lambda *_: key
