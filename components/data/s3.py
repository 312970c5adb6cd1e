"""The S3 adapter: objects into a content-addressed cache, and a store that creates only what is absent.

Credentials, region and AWS_ENDPOINT_URL are boto3's own business.

The cache folder:
    <sha256>                          a whole object, named by its content
    index/<address>-<version>.json    which content an object had at an ETag and size
    partial/<address>-<version>.part  a download that broke off; goes on where it stopped while the ETag lasts
    partial/<address>.lock            held while downloading, so that two processes do not share a .part
"""

import fcntl
import functools
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from components.contract.digests import sha256_bytes, sha256_file
from components.contract.errors import ConfigError, StorageError
from components.contract.files import disk_errors, write_json

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
ATTEMPTS = 5
"""Tries of a download without a byte of progress, or of a conditional write, before giving up."""
PAUSE_SECONDS = 0.2
"""Before the second attempt; doubles for each further one."""

_making_client = threading.Lock()


@dataclass(frozen=True)
class RemoteObject:
    """An object as HEAD describes it."""

    uri: str
    etag: str
    size: int
    """Bytes."""
    md5: str | None
    """Where the ETag is one: neither uploaded in parts nor encrypted with KMS or a customer's key."""

    @property
    def address(self) -> str:
        return sha256_bytes(self.uri.encode())[:24]

    @property
    def version(self) -> str:
        return sha256_bytes(f"{self.etag} {self.size}".encode())[:24]


class S3Store:
    """An object store under s3://bucket/prefix."""

    def __init__(self, uri: str) -> None:
        self._bucket, self._prefix = _bucket_and_key(uri)
        self._client = _client()
        # A retry hidden inside boto3 would meet the object that its first try had written, and
        # report a defeat that is none; `create` must see every attempt.
        self._single_attempt = _client(attempts=1)

    def create(self, key: str, data: bytes) -> bool:
        """Writes `data` only if `key` is absent (If-None-Match: *); False if it was there.

        After an attempt whose outcome is unknown, an object with exactly these bytes counts as ours.
        Raises StorageError: access denied, no such bucket, no answer after five attempts.
        """
        unknown = False
        for attempt in range(ATTEMPTS):
            time.sleep(_pause(attempt))
            try:
                self._single_attempt.put_object(
                    Bucket=self._bucket, Key=self._key(key), Body=data, IfNoneMatch="*"
                )
                return True
            except ClientError as error:
                status = _status(error)
                if status == 412:
                    return unknown and self.read(key) == data
                # 409: another conditional write of this key is under way.
                if status != 409 and status < 500:
                    raise StorageError(_explained(self._uri(key), error)) from error
                unknown = unknown or status != 409
            except BotoCoreError as error:
                unknown = True
                logger.warning("%s: %s", self._uri(key), error)
        raise StorageError(f"{self._uri(key)}: not written after {ATTEMPTS} attempts; run again later.")

    def read(self, key: str) -> bytes:
        """Raises StorageError where the key is absent."""
        with _storage_errors(self._uri(key)):
            data: bytes = self._client.get_object(Bucket=self._bucket, Key=self._key(key))["Body"].read()
        return data

    def keys(self, prefix: str = "") -> list[str]:
        """All keys that start with `prefix`, sorted."""
        start = f"{self._prefix}/" if self._prefix else ""
        pages = self._client.get_paginator("list_objects_v2")
        with _storage_errors(self._uri(prefix)):
            found = [
                entry["Key"].removeprefix(start)
                for page in pages.paginate(Bucket=self._bucket, Prefix=start + prefix)
                for entry in page.get("Contents", [])
            ]
        return sorted(found)

    def _key(self, key: str) -> str:
        return f"{self._prefix}/{key}" if self._prefix else key

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._key(key)}"


def content_digest(uri: str) -> str:
    """ETag and size, without reading the object."""
    remote = _head(_client(), uri)
    return f"{remote.etag}:{remote.size}"


def fetch_object(uri: str, cache: Path) -> Path:
    """The object as `cache`/<sha256>; an object whose ETag and size are known is not downloaded again.

    Raises StorageError: absent, access denied, disk full, vanished or changed while being read, or
    other bytes than its ETag promises.
    """
    client = _client()
    remote = _head(client, uri)
    cached = _cached(remote, cache)
    if cached:
        return cached
    with _lock(cache / "partial" / f"{remote.address}.lock"):
        cached = _cached(remote, cache)  # downloaded by another process while this one waited
        return cached or _publish(remote, _download(client, remote, cache), cache)


@functools.cache
def _session() -> Any:
    """One per process: it reads the description of S3, half a second's work, once."""
    return boto3.session.Session()


def _client(attempts: int = ATTEMPTS) -> Any:
    retries = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(retries=retries, connect_timeout=10, read_timeout=60)
    with _making_client:  # sessions are not thread-safe, clients are
        return _session().client("s3", config=config)


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise ConfigError(f"{uri}: expected s3://bucket/key.")
    return bucket, key.strip("/")


def _head(client: Any, uri: str) -> RemoteObject:
    bucket, key = _bucket_and_key(uri)
    with _storage_errors(uri):
        head = client.head_object(Bucket=bucket, Key=key)
    etag = head["ETag"]
    hidden = head.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in head
    bare = etag.strip('"')
    md5 = bare if re.fullmatch("[0-9a-f]{32}", bare) and not hidden else None
    return RemoteObject(uri, etag, head["ContentLength"], md5)


def _index(remote: RemoteObject, cache: Path) -> Path:
    return cache / "index" / f"{remote.address}-{remote.version}.json"


def _cached(remote: RemoteObject, cache: Path) -> Path | None:
    index = _index(remote, cache)
    if not index.is_file():
        return None
    path = cache / json.loads(index.read_text())["sha256"]
    return path if path.is_file() and path.stat().st_size == remote.size else None


def _download(client: Any, remote: RemoteObject, cache: Path) -> Path:
    """The whole object as a .part file, of the right size."""
    part = cache / "partial" / f"{remote.address}-{remote.version}.part"
    for stale in part.parent.glob(f"{remote.address}-*.part"):
        if stale != part:
            stale.unlink(missing_ok=True)  # of an ETag that the object no longer has
    if _size(part) > remote.size:
        part.unlink()
    futile = 0
    while _size(part) < remote.size:
        if futile == ATTEMPTS:
            raise StorageError(
                f"{remote.uri}: the download broke off at {_size(part)} of {remote.size} bytes, and "
                f"{ATTEMPTS} attempts brought no more. Run again: it goes on from there."
            )
        time.sleep(_pause(futile))
        before = _size(part)
        _append(client, remote, part)
        futile = 0 if _size(part) > before else futile + 1
    return part


def _append(client: Any, remote: RemoteObject, part: Path) -> None:
    """Adds what is missing to the .part file, as far as the connection lasts."""
    bucket, key = _bucket_and_key(remote.uri)
    start = _size(part)
    try:
        answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-", IfMatch=remote.etag)
        with disk_errors(part), part.open("ab") as file:
            for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except ClientError as error:
        if _status(error) in (404, 412):
            part.unlink(missing_ok=True)  # the rest of these bytes can never come
        raise StorageError(_explained(remote.uri, error, reading=True)) from error
    except BotoCoreError as error:
        logger.warning("%s: broke off at %d of %d bytes: %s", remote.uri, _size(part), remote.size, error)


def _publish(remote: RemoteObject, part: Path, cache: Path) -> Path:
    """Checks the bytes against the ETag and gives them their name; the index is written last."""
    with disk_errors(part):
        if remote.size == 0:
            part.touch()
        if remote.md5 and _md5(part) != remote.md5:
            part.unlink()
            raise StorageError(f"{remote.uri}: other bytes arrived than its ETag promises; run again.")
        digest = sha256_file(part)
        path = part.replace(cache / digest)
    write_json(_index(remote, cache), {"uri": remote.uri, "etag": remote.etag, "sha256": digest})
    return path


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        # S3's ETag of an object that was uploaded in one piece is its MD5: transport, not security.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _pause(attempt: int) -> float:
    """Seconds to wait before the attempt of that number, counted from 0."""
    return PAUSE_SECONDS * 2 ** (attempt - 1) if attempt else 0.0


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def _storage_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise StorageError(_explained(uri, error)) from error
    except BotoCoreError as error:
        raise StorageError(
            f"{uri}: {str(error).rstrip('.')}. Check the credentials, AWS_ENDPOINT_URL and the network."
        ) from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _explained(uri: str, error: ClientError, reading: bool = False) -> str:
    """One sentence for what S3 refused; `reading`: HEAD had found the object a moment before."""
    code, status = error.response.get("Error", {}).get("Code", ""), _status(error)
    if code == "NoSuchBucket":
        return f"{uri}: there is no such bucket."
    if status == 404 and reading:
        return f"{uri}: the object vanished while it was being read. Put it back, then run again."
    if status == 404:
        return f"{uri}: there is no such object."
    if status == 412 and reading:
        return f"{uri}: the object changed while it was being read. Run again to read the new one."
    if status in (401, 403):
        return f"{uri}: access denied ({code}). Check the credentials and the bucket's policy."
    return f"{uri}: S3 answered {status} {code}. Run again later."
