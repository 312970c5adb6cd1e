"""What the traffic log holds instead of people: a pseudonym per user, a sealed text per query.

Both keys come from one secret by HKDF (RFC 5869) with different `info`, so neither tells the other. Whoever
holds the secret can open the queries and can test whether a pseudonym belongs to a user they name; without
it neither can be done. Removing the secret makes all sealed queries unreadable for good.

Queries are sealed with Fernet (AES-128-CBC and HMAC-SHA256, 128-bit random IV): two equal queries look
different, and no log reaches the number of messages that one key may seal (AES-GCM with random nonces: 2³²).
A sealed query still shows about how long its text is.
"""

import base64
import binascii
import hmac
import os
import secrets
from pathlib import Path
from typing import Literal, Self

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from components.contract.errors import ConfigError, StorageError
from components.contract.files import disk_errors

QueryTexts = Literal["encrypted", "dropped"]
SECRET_BYTES = 64


class LogPrivacy:
    """Pseudonyms and sealed queries under one secret."""

    def __init__(self, secret: bytes, query_texts: QueryTexts = "encrypted") -> None:
        """secret: 64 random bytes (else ConfigError); query_texts: dropped, `seal` keeps nothing."""
        if len(secret) != SECRET_BYTES:
            raise ConfigError(
                f"The log's secret has {len(secret)} bytes, not {SECRET_BYTES}: take random bytes "
                f"(openssl rand -base64 {SECRET_BYTES})."
            )
        if query_texts not in ("encrypted", "dropped"):
            raise ConfigError(f"{query_texts!r}: query texts are either encrypted or dropped.")
        self.query_texts = query_texts
        self._pseudonym_key = _derive(secret, b"debut traffic log: user pseudonyms")
        self._fernet = Fernet(base64.urlsafe_b64encode(_derive(secret, b"debut traffic log: query texts")))

    @classmethod
    def from_file(cls, path: Path, query_texts: QueryTexts = "encrypted") -> Self:
        """Reads the secret, or makes a file with a new one, readable by its owner only.

        All replicas that write one log need the same file. Raises StorageError where it cannot be read or
        has another length: a new secret would not open what the old one sealed.
        """
        with disk_errors(path):
            if not path.exists():
                _create(path)
            secret = path.read_bytes()
        if len(secret) != SECRET_BYTES:
            raise StorageError(
                f"{path}: {len(secret)} bytes, not the {SECRET_BYTES} of a log's secret. Restore it from a "
                f"copy; removing it starts a new secret, which does not open older queries."
            )
        return cls(secret, query_texts)

    @classmethod
    def from_text(cls, text: str, query_texts: QueryTexts = "encrypted") -> Self:
        """The secret as base64, as an environment variable holds it; ConfigError where it is none."""
        try:
            secret = base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ConfigError(
                f"The log's secret is not base64: take what `openssl rand -base64 {SECRET_BYTES}` prints."
            ) from error
        return cls(secret, query_texts)

    def pseudonym(self, user_id: str) -> str:
        """32 hex digits: the same for the same user under this secret (HMAC-SHA256, first 128 bits)."""
        return hmac.digest(self._pseudonym_key, _bytes(user_id), "sha256").hex()[:32]

    def seal(self, text: str) -> str | None:
        """The text so that only this secret opens it; None where texts are dropped."""
        return self._fernet.encrypt(_bytes(text)).decode() if self.query_texts == "encrypted" else None

    def open(self, sealed: str) -> str:
        """The text of `seal`; raises StorageError where another secret sealed it or it was changed."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode("utf-8", "surrogatepass")
        except (InvalidToken, UnicodeError) as error:
            raise StorageError(
                "A sealed query does not open: it was changed, or sealed with another secret."
            ) from error


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _create(path: Path) -> None:
    """Puts a new secret at `path`, unless another process was first: then that one holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link fails where the name is taken, and shows the file whole or not at all.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink(missing_ok=True)
