"""What was accepted already: create-only files in a folder that all replicas share."""

import hashlib
import time
from pathlib import Path

from components.contract.errors import StorageError
from components.contract.files import disk_errors
from components.data.storage import open_store

LIFETIMES = 3
"""A request may be dated `max_age_seconds` ahead and is accepted for as long after its date: two of them;
the third is for replicas whose clocks differ."""


class Nonces:
    """Names that count once; safe between threads, processes and machines on one folder."""

    def __init__(self, folder: Path, max_age_seconds: int) -> None:
        self._folder = folder
        self._store = open_store(str(folder))
        self._seconds = LIFETIMES * max_age_seconds
        self._cleaned = 0.0

    def first(self, name: str) -> bool:
        """True for whoever asks first; False for all others, until the name is forgotten. StorageError where
        the folder cannot be written: then nobody is first."""
        self._clean()
        return self._store.create(_key(name), b"")

    def keep_answer(self, name: str, answer: bytes) -> None:
        """Keeps what was answered under a name, as long as the name itself."""
        self._store.create(_key(name) + ".answer", answer)

    def answer(self, name: str) -> bytes | None:
        """What was answered under a name; None where that is not known (yet)."""
        try:
            return self._store.read(_key(name) + ".answer")
        except StorageError:
            return None

    def _clean(self) -> None:
        """Takes expired names out, at most once in half a lifetime."""
        now = time.time()
        if now - self._cleaned < self._seconds / 2 or not self._folder.is_dir():
            return
        self._cleaned = now
        with disk_errors(self._folder):
            for path in self._folder.iterdir():
                self._forget(path, now)

    def _forget(self, path: Path, now: float) -> None:
        try:
            if now - path.stat().st_mtime > self._seconds:
                path.unlink()
        except FileNotFoundError:
            return  # another replica was first


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
