"""Writing files so that a crash leaves the old file or the new one, never half of either."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract.digests import canonical_json
from components.contract.errors import DebutError, StorageError

_FULL = ("no space left on device", "disk is full", "disk quota exceeded")


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's error on `path`, and a library's on a full disk, into a StorageError with
    what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror or error}. Free space or permissions there, then run again."
        ) from error
    except Exception as error:
        if isinstance(error, DebutError) or not is_full_disk(error):
            raise
        raise StorageError(f"{path}: No space left on device. Free space there, then run again.") from error


def is_full_disk(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error: safetensors, polars, SQLite and DuckDB wrap it in classes of
    their own that are no OSError."""
    while error is not None:
        if any(words in str(error).lower() for words in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


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
