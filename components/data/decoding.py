"""Text files: checked and, where they are not UTF-8, decoded once to UTF-8, before DuckDB sees them.

Python decodes, because DuckDB 2.0 refuses home_depot's file as latin-1, and because an undecodable
byte must be named by its offset, whatever the encoding.
"""

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa

from components.contract.errors import ConfigError, DataError
from components.contract.files import disk_errors

Compression = Literal["none", "gzip", "zstd"]

CHUNK_BYTES = 1 << 20
DELIMITERS = (",", ";", "\t", "|")
# C0 without tab, line feed and carriage return, and C1: the sign of a wrong encoding, or of junk.
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x80-\x9f]")


@dataclass(frozen=True)
class Text:
    """A text file that DuckDB can read."""

    path: Path
    """The file itself where it is UTF-8, else a decoded copy."""
    compression: Compression
    control_characters: int
    start: str
    """The first MiB (of compressed or encoded bytes: about) of the text; holds a CSV's header."""


def decode(
    path: Path, source: str, compression: Compression, encoding: str, folder: Path, *, unmarked: bool = False
) -> Text:
    """Reads `path` through once: every byte must decode, control characters are counted.

    unmarked: UTF-8 with a byte order mark, which DuckDB's JSON reader refuses, is copied without it.
    `source` is the file's name in the messages; a copy goes to `folder`. Raises DataError: an undecodable
    byte, a damaged or truncated archive; ConfigError: an unknown encoding; StorageError: disk full.
    """
    codec = _codec(source, encoding)
    in_place = codec.name in ("utf-8", "utf-8-sig", "ascii")
    if unmarked and codec.name == "utf-8" and _is_marked(path, source, compression):
        codec, in_place = codecs.lookup("utf-8-sig"), False
    copy = folder / f"{source}.utf8"
    count, start = 0, ""
    with _damage(path, source), _opened(path, compression) as file, _sink(copy, in_place) as sink:
        for text in _decoded(file, codec, path, source):
            count += len(CONTROL_CHARACTERS.findall(text))
            start = start or text
            if sink is not None:
                with disk_errors(copy):
                    sink.write(text)
    start = start.removeprefix("\ufeff")
    return Text(path, compression, count, start) if in_place else Text(copy, "none", count, start)


def _is_marked(path: Path, source: str, compression: Compression) -> bool:
    with _damage(path, source), _opened(path, compression) as file:
        return bool(file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8)


def header(text: Text, source: str) -> tuple[list[str], str]:
    """Column names and delimiter of a CSV, from its first line.

    The delimiter is the one that occurs most often there. (DuckDB's own detection reads a file with
    one ragged line as a single column, in silence.) Raises DataError: no header line.
    """
    line = re.split("[\r\n]", text.start, maxsplit=1)[0]
    if not line.strip():
        raise DataError(f"source {source} has no header line; a CSV's first line holds its column names.")
    delimiter = max(DELIMITERS, key=re.sub('"[^"]*"', "", line).count)
    try:
        names = next(csv.reader(io.StringIO(text.start, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise DataError(f"source {source}: its header line cannot be read: {error}.") from error
    return _distinct(names), delimiter


def _distinct(names: list[str]) -> list[str]:
    """Names for nameless columns, and numbers behind repeated ones (SQL's names ignore case)."""
    taken: set[str] = set()
    result = []
    for position, name in enumerate(names, start=1):
        base = name or f"column{position}"
        unique, number = base, 1
        while unique.lower() in taken:
            unique, number = f"{base}_{number}", number + 1
        taken.add(unique.lower())
        result.append(unique)
    return result


def _codec(source: str, encoding: str) -> codecs.CodecInfo:
    try:
        codec = codecs.lookup(encoding)
        codec.incrementaldecoder().decode(b"")  # base64 and the like are codecs, but give no text
        "".encode(encoding)
    except (LookupError, TypeError, UnicodeError) as error:
        raise ConfigError(
            f"sources.{source}.encoding: Python knows no text encoding {encoding!r}; "
            f"try utf-8, latin-1 or cp1252."
        ) from error
    return codec


def _decoded(file: IO[bytes], codec: codecs.CodecInfo, path: Path, source: str) -> Iterator[str]:
    decoder = codec.incrementaldecoder("strict")
    position = 0  # bytes read so far
    while True:
        chunk = file.read(CHUNK_BYTES)
        position += len(chunk)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # The decoder prepends what it had kept of the chunk before.
            offset = position - len(error.object) + error.start
            raise DataError(
                f"{path}: the byte 0x{error.object[error.start]:02x} at offset {offset} is not {codec.name}. "
                f"Set sources.{source}.encoding to the file's encoding, for instance latin-1."
            ) from error
        if text:
            yield text
        if not chunk:
            return


@contextmanager
def _opened(path: Path, compression: Compression) -> Iterator[Any]:
    if compression == "gzip":
        with gzip.open(path) as file:
            yield file
    elif compression == "zstd":
        with pa.input_stream(str(path), compression="zstd") as file:
            yield file
    else:
        with path.open("rb") as file:
            yield file


@contextmanager
def _sink(copy: Path, in_place: bool) -> Iterator[IO[str] | None]:
    if in_place:
        yield None
        return
    with disk_errors(copy):
        file = copy.open("w", encoding="utf-8", newline="")
    try:
        yield file  # outside disk_errors: what fails here may be the file that is read
    finally:
        with disk_errors(copy):
            file.close()


@contextmanager
def _damage(path: Path, source: str) -> Iterator[None]:
    try:
        yield
    except EOFError as error:
        raise DataError(f"{path}: the archive ends too early; fetch source {source} again.") from error
    except (zlib.error, OSError) as error:
        raise DataError(f"{path}: source {source} cannot be read: {error}.") from error
