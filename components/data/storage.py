"""Where bytes are: a local path, or s3://bucket/key through the S3 adapter.

`s3.py`, and boto3 with it, is imported only where a path starts with s3://.
"""

import os
import uuid
from pathlib import Path

from components.contract.digests import sha256_file
from components.contract.errors import ConfigError, StorageError
from components.contract.files import disk_errors
from components.contract.paths import at_home
from components.contract.ports import ObjectStore

S3_SCHEME = "s3://"


def resolve(path: str, root: Path) -> str:
    """A source's path as a URI: s3:// stays, a relative path is taken from `root`."""
    if "://" in path:
        return _supported(path)
    local = at_home(path)
    return str(local if local.is_absolute() else root / local)


def fetch(uri: str, cache: Path) -> Path:
    """A local file that holds `uri`'s bytes: a local path as it is, an S3 object as `cache`/<sha256>.

    Raises StorageError: no such file or object, access denied, disk full, or an object that vanished
    or changed while it was being read. An interrupted download continues at the next call.
    """
    if _supported(uri).startswith(S3_SCHEME):
        from components.data import s3

        return s3.fetch_object(uri, cache)
    return _existing(uri)


def content_digest(uri: str) -> str:
    """What changes when the bytes do: SHA-256 of a local file, ETag and size of an S3 object."""
    if _supported(uri).startswith(S3_SCHEME):
        from components.data import s3

        return s3.content_digest(uri)
    path = _existing(uri)
    with disk_errors(path):
        return sha256_file(path)


def open_store(uri: str) -> ObjectStore:
    """The store at a local folder or an s3://bucket/prefix."""
    if _supported(uri).startswith(S3_SCHEME):
        from components.data import s3

        return s3.S3Store(uri)
    return LocalStore(at_home(uri))


class LocalStore:
    """An object store in a folder, which is made when the first key is created."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, key: str, data: bytes) -> bool:
        """Writes `data` only if `key` is absent, durably; False if it was there.

        `os.link` gives the finished file its name, and fails where another writer was first.
        """
        target = self._path(key)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                target.hardlink_to(temporary)
            except FileExistsError:
                return False
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(target.parent)
        return True

    def read(self, key: str) -> bytes:
        """Raises StorageError where the key is absent."""
        path = self._path(key)
        if not path.is_file():
            raise StorageError(f"{path}: there is no such file.")
        with disk_errors(path):
            return path.read_bytes()

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with `prefix`, sorted; unfinished writes are none."""
        with disk_errors(self._folder):
            files = [path for path in self._folder.rglob("*") if path.is_file()]
        keys = (path.relative_to(self._folder).as_posix() for path in files if not path.name.startswith("."))
        return sorted(key for key in keys if key.startswith(prefix))

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if not key or any(part in ("", ".", "..") for part in parts):
            raise ValueError(f"not a key: {key!r}")
        return self._folder.joinpath(*parts)


def _supported(uri: str) -> str:
    if "://" in uri and not uri.startswith(S3_SCHEME):
        raise ConfigError(f"{uri}: only local paths and s3:// addresses can be read.")
    return uri


def _existing(uri: str) -> Path:
    path = at_home(uri)
    if not path.is_file():
        raise StorageError(f"{path}: there is no such file. Correct its path, or give --root.")
    return path


def _sync_folder(folder: Path) -> None:
    """Forces a new name to disk: fsync of the file alone does not."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
