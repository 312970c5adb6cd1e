"""Writing files so that a crash leaves the old file or the new one, never half of either."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract.digests import canonical_json
from components.contract.errors import StorageError


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's error on `path` into a StorageError with what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}. Free space or permissions there, then run again."
        ) from error


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes `data` beside `path`, forces it to disk, then renames it into place.

    Raises StorageError (disk full, no permission); `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def write_json(path: Path, value: Any) -> Path:
    """Writes canonical JSON and a newline, as `write_bytes` does."""
    return write_bytes(path, canonical_json(value) + b"\n")


@contextmanager
def stage_folder(path: Path) -> Iterator[Path]:
    """A folder that appears at `path` whole or not at all: yields a temporary sibling to fill, renames
    it at the end, removes it when the block raises. An older folder at `path` is replaced."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with disk_errors(path):
        temporary.mkdir(parents=True)
        try:
            yield temporary
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
