"""Canonical JSON and SHA-256: the two things every digest in Debut is made of."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8; NaN and infinity raise ValueError."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def sha256_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def sha256_json(value: Any) -> str:
    return sha256_bytes(canonical_json(value))


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_tree(root: Path, suffixes: tuple[str, ...] = ()) -> str:
    """Digest of a folder: relative names and contents, in name order; only `suffixes` where given."""
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and (not suffixes or path.suffix in suffixes)
    )
    return sha256_json([(path.relative_to(root).as_posix(), sha256_file(path)) for path in files])


def hashed(values: Iterable[str]) -> tuple[str, ...]:
    """Distinct values as the first 16 hexadecimal digits of their SHA-256, sorted."""
    return tuple(sorted({sha256_bytes(value.encode())[:16] for value in values}))
