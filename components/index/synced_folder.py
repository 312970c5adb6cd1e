"""A local folder whose new files are on the disk, not only in the operating system's memory.

Lance writes local files without fsync, so what it has committed outlives a killed process but not a
power cut. S3 needs nothing of the kind.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.contract.files import disk_errors


class SyncedFolder:
    """Makes `folder`, with its parents, where it is absent. Raises StorageError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _sync(folder.parent)

    @contextmanager
    def forced(self) -> Iterator[None]:
        """Forces to disk what appeared in the folder during the block, other writers' files included, and
        the folders that name it. Nothing is forced where the block raises."""
        with disk_errors(self._folder):
            before = _paths(self._folder)
        yield
        with disk_errors(self._folder):
            new = _paths(self._folder) - before
            for path in (*new, *{str(Path(path).parent) for path in new}):
                _sync(path)


def _paths(folder: str | Path) -> set[str]:
    """Everything below `folder`. Thousands of files at each write: strings and scandir, not Path objects."""
    found: set[str] = set()
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            found.add(entry.path)
            if entry.is_dir(follow_symlinks=False):
                found |= _paths(entry.path)
    return found


def _sync(path: str | Path) -> None:
    """fsync; a file that is gone again (a temporary one, an old version) needs none."""
    with suppress(FileNotFoundError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
