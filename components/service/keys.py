"""API keys with roles, kept in one JSON file that holds no secret.

A secret is 32 bytes from the operating system's random generator, so the file keeps its plain SHA-256. A
slow, salted hash (Argon2, bcrypt) protects passwords, because people choose passwords that can be guessed.
Nobody guesses 256 random bits at any number of hashes per second, and two keys never share a secret that a
salt would have to hide; a slow hash would cost each request its time and let strangers occupy processors.
"""

import fcntl
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from components.contract.digests import sha256_bytes
from components.contract.errors import ConfigError, StorageError
from components.contract.files import disk_errors, write_json

Role = Literal["read", "write", "operate"]
_RANK: dict[Role, int] = {"read": 0, "write": 1, "operate": 2}
_SECRET = re.compile(r"debut_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_NO_DIGEST = "0" * 64
_FileState = tuple[int, int, int]


class KeyRecord(BaseModel):
    """What may be shown of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    name: str
    role: Role
    created: datetime
    revoked: bool = False

    def allows(self, needed: Role) -> bool:
        """Whether this key may do what `needed` may: operate includes write, write includes read."""
        return not self.revoked and _RANK[self.role] >= _RANK[needed]


Records = list[KeyRecord]


class _StoredKey(KeyRecord):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def record(self) -> KeyRecord:
        return KeyRecord.model_validate(self.model_dump(exclude={"sha256"}))


class _KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[_StoredKey, ...] = ()

    @model_validator(mode="after")
    def _ids_differ(self) -> Self:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("two keys have the same id")
        return self


class Keys:
    """The keys of one file. An absent file holds no key, and then nobody is authenticated.

    Every call looks at the file's state first and reads it again where it changed, so another process's
    `revoke` holds from the next request on. Every method raises StorageError where the file cannot be read
    or is damaged: no older copy in memory is used then, because a key in it may have been revoked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded: tuple[_FileState | None, dict[str, _StoredKey]] = (None, {})

    @classmethod
    def open(cls, path: Path) -> Self:
        """Reads the file at once, so that a damaged one is found at start and not by the first request."""
        keys = cls(path)
        keys._current()
        return keys

    def add(self, name: str, role: Role) -> str:
        """Makes a key and returns its secret, which is shown this once and stored nowhere.

        name: who uses it, 1–100 characters; several keys may share one, so that a key can be replaced
        without a gap. Raises ConfigError for another name or role.
        """
        _check(name, role)
        with self._locked():
            keys = self._current()
            key_id = next(new for new in iter(lambda: secrets.token_hex(4), None) if new not in keys)
            secret = f"debut_{key_id}_{secrets.token_urlsafe(32)}"
            key = _StoredKey(
                id=key_id, name=name, role=role, created=datetime.now(UTC), sha256=_digest(secret)
            )
            self._save([*keys.values(), key])
        return secret

    def revoke(self, key_id: str) -> None:
        """Ends a key for good, on running servers too; a second time changes nothing.

        Raises ConfigError where no key has that id.
        """
        with self._locked():
            keys = self._current()
            if key_id not in keys:
                raise ConfigError(
                    f"{self._path}: no key has the id {key_id[:40]!r}; list the keys to see theirs."
                )
            changed = keys[key_id].model_copy(update={"revoked": True})
            self._save([changed if key.id == key_id else key for key in keys.values()])

    def list(self) -> Records:
        """All keys, revoked ones too, oldest first; neither secrets nor their hashes."""
        return [key.record() for key in self._current().values()]

    def authenticate(self, secret: str) -> KeyRecord | None:
        """The key that `secret` belongs to; None where it is unknown, wrong or revoked.

        Takes the same comparison for an unknown id as for a wrong secret, so its time tells neither.
        """
        keys = self._current()
        matched = _SECRET.fullmatch(secret)
        key = keys.get(matched[1]) if matched else None
        same = hmac.compare_digest(_digest(secret), key.sha256 if key else _NO_DIGEST)
        return key.record() if key and same and not key.revoked else None

    def _current(self) -> dict[str, _StoredKey]:
        state, keys = self._loaded
        if _state(self._path) != state:
            self._loaded = state, keys = self._read()
        return keys

    def _read(self) -> tuple[_FileState | None, dict[str, _StoredKey]]:
        """The file's state and keys, both of the same opened file, whatever replaces it meanwhile."""
        with disk_errors(self._path):
            try:
                with self._path.open("rb") as file:
                    state, data = _file_state(os.fstat(file.fileno())), file.read()
            except FileNotFoundError:
                return None, {}
        try:
            stored = _KeyFile.model_validate_json(data)
        except ValidationError as error:
            reason = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise StorageError(
                f"{self._path}: no readable key file ({reason}). Every request is refused until it is "
                f"restored from a copy, or removed and new keys are made."
            ) from error
        return state, {key.id: key for key in stored.keys}

    def _save(self, keys: Iterable[_StoredKey]) -> None:
        value = {"keys": [key.model_dump(mode="json") for key in keys]}
        # Under its own name the file is never readable by others, not even between write and chmod.
        temporary = write_json(self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}.new"), value)
        with disk_errors(self._path):
            try:
                temporary.chmod(0o600)
                temporary.replace(self._path)
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Other processes' changes wait: two at once would lose one of them, perhaps a revocation."""
        lock = self._path.with_name(f".{self._path.name}.lock")
        with disk_errors(lock):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _check(name: str, role: str) -> None:
    if not _NAME.fullmatch(name) or not name.strip():
        raise ConfigError("A key's name is 1 to 100 characters without control characters: say who uses it.")
    if role not in _RANK:
        raise ConfigError(f"{role[:40]!r} is no role: choose one of {', '.join(_RANK)}.")


def _digest(secret: str) -> str:
    return sha256_bytes(secret.encode("utf-8", "surrogatepass"))


def _state(path: Path) -> _FileState | None:
    with disk_errors(path):
        try:
            return _file_state(path.stat())
        except FileNotFoundError:
            return None


def _file_state(status: os.stat_result) -> _FileState:
    return status.st_mtime_ns, status.st_size, status.st_ino
