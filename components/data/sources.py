"""The first stage: the shop's files, through its SQL, to the tables of the contract.

`database.py`, and DuckDB with it, is imported only where something is loaded: comparing digests is cheap.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from components.contract.digests import sha256_file, sha256_tree
from components.contract.errors import ConfigError, DataError, StorageError
from components.contract.files import disk_errors
from components.contract.records import LoadedData
from components.contract.settings import Settings
from components.contract.tables import TableName
from components.data.row_keys import still_there
from components.data.storage import content_digest, fetch, resolve

logger = logging.getLogger(__name__)


def source_digests(settings: Settings, root: Path) -> dict[str, str]:
    """Per source what changes when its bytes do: SHA-256 of a local file, ETag and size of an S3 object.

    Raises StorageError naming the source that is not there.
    """
    digests = {}
    for name, source in settings.sources.items():
        with _naming(name):
            digests[name] = content_digest(resolve(source.path, root))
    return digests


def load(settings: Settings, root: Path, workspace: Path, out: Path) -> LoadedData:
    """Writes `<table>.parquet` for each of `settings.tables` into `out`: contract and key columns.

    Sources are read relative to `root`, objects cached in `workspace`/cache, rows that
    `debut quarantine replay` accepted appended from `workspace`/replayed, where the rows that they correct
    are still there, unchanged. `digest` and every file are the same again for the same sources, SQL and
    replayed rows; `input_digests` are SHA-256 of content.
    Raises ConfigError (SQL, encoding, format), DataError (a file or its rows), StorageError (no such
    file or object, disk full).
    """
    cache = workspace / "cache"
    _refuse_equal_names(settings)
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        out.mkdir(parents=True, exist_ok=True)
    files = _fetched(settings, root, cache)
    digests = {name: sha256_file(path) for name, path in files.items()}
    with disk_errors(cache), tempfile.TemporaryDirectory(prefix="load-", dir=cache) as scratch:
        tables, control_characters = _tables(settings, files, Path(scratch))
    rows, corrections = {}, {}
    outdated: dict[str, int] = {}
    for table, frame in tables.items():
        replayed = workspace / "replayed" / f"{table}.parquet"
        rows[str(table)] = len(frame)
        if replayed.is_file():
            corrected, left_out = _replayed(frame, replayed)
            corrections[str(table)] = len(corrected)
            if left_out:
                outdated[str(table)] = left_out
            frame = pl.concat([frame, corrected])
            digests[f"replayed/{table}"] = sha256_file(replayed)
        _write(frame, out / f"{table}.parquet")
        logger.info("%s: %d rows", table, len(frame))
    return LoadedData(
        path=out.relative_to(workspace).as_posix() if out.is_relative_to(workspace) else str(out),
        digest=sha256_tree(out),
        input_digests=digests,
        rows=rows,
        corrected=corrections,
        outdated=outdated,
        control_characters=control_characters,
    )


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Puts the source's name before what the storage says."""
    try:
        yield
    except StorageError as error:
        raise StorageError(f"source {source}: {error}") from error


def _refuse_equal_names(settings: Settings) -> None:
    names = [name.lower() for name in settings.sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"sources: {twice[0]} stands there twice; SQL does not tell capitals apart.")


def _fetched(settings: Settings, root: Path, cache: Path) -> dict[str, Path]:
    files = {}
    for name, source in settings.sources.items():
        with _naming(name):
            files[name] = fetch(resolve(source.path, root), cache)
    return files


def _tables(
    settings: Settings, files: dict[str, Path], scratch: Path
) -> tuple[dict[TableName, pl.DataFrame], dict[str, int]]:
    """Tables by name, and control characters by text source."""
    from components.data import database

    control_characters = {}
    with database.open_database(scratch) as connection:
        for name, source in settings.sources.items():
            count = database.add_source(connection, name, source, files[name], scratch)
            if count is not None:
                control_characters[name] = count
        database.seal(connection)
        tables = {
            table: database.select(connection, table, sql, settings.sources)
            for table, sql in settings.tables.items()
        }
    if not len(tables["items"]):
        raise DataError("tables.items: the SELECT gives no row; a shop without items has nothing to find.")
    return tables, control_characters


def _replayed(frame: pl.DataFrame, path: Path) -> tuple[pl.DataFrame, int]:
    """Accepted corrections of rows that are still there, under today's keys; the number left out.
    They come last: `check` lets the last row of a key replace those before it."""
    replayed = pl.read_parquet(path)
    if replayed.schema != frame.schema:
        raise DataError(f"{path}: its columns are not those of the loaded table; replay the rows again.")
    today = still_there(replayed, frame)
    return today, len(replayed) - len(today)


def _write(frame: pl.DataFrame, path: Path) -> None:
    try:
        frame.write_parquet(path)
    except (OSError, pl.exceptions.ComputeError) as error:  # polars reports a full disk as the latter
        raise StorageError(f"{path}: {error}. Free space there, then run again.") from error
