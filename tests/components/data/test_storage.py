"""Local paths and the local store."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.contract.digests import sha256_file
from components.contract.errors import ConfigError, StorageError
from components.data.storage import content_digest, fetch, open_store, resolve


def test_a_path_is_taken_from_the_root_unless_it_says_otherwise(tmp_path: Path) -> None:
    """Relative paths join the root; absolute ones and s3:// addresses stay."""
    assert resolve("a/b.csv", tmp_path) == str(tmp_path / "a/b.csv")
    assert resolve("/a/b.csv", tmp_path) == "/a/b.csv"
    assert resolve("s3://bucket/b.csv", tmp_path) == "s3://bucket/b.csv"


@pytest.mark.parametrize("uri", ["https://example.com/a.csv", "gs://bucket/a.csv", "file:///a.csv"])
def test_other_addresses_are_refused(uri: str, tmp_path: Path) -> None:
    """Neither the web nor another cloud is read by accident."""
    for use in (lambda: resolve(uri, tmp_path), lambda: fetch(uri, tmp_path), lambda: open_store(uri)):
        with pytest.raises(ConfigError, match="only local paths and s3://"):
            use()


def test_local_files_are_read_in_place(tmp_path: Path) -> None:
    """No copy is made, and the digest is that of the content."""
    path = tmp_path / "items.csv"
    path.write_text("id\n")
    assert fetch(str(path), tmp_path / "cache") == path
    assert content_digest(str(path)) == sha256_file(path)
    assert not (tmp_path / "cache").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The sentence says which, and what to do."""
    with pytest.raises(StorageError, match=r"absent\.csv: there is no such file\. .* --root"):
        fetch(str(tmp_path / "absent.csv"), tmp_path)


def test_a_store_creates_reads_and_lists(tmp_path: Path) -> None:
    """A key is written once; keys are sorted and filtered by their beginning."""
    store = open_store(str(tmp_path / "decisions"))
    assert store.keys() == []
    assert store.create("log/000002.json", b"two")
    assert store.create("log/000001.json", b"one")
    assert not store.create("log/000001.json", b"again")
    assert store.read("log/000001.json") == b"one"
    assert store.keys() == store.keys("log/") == ["log/000001.json", "log/000002.json"]
    assert store.keys("log/000002") == ["log/000002.json"]


def test_reading_an_absent_key_names_it(tmp_path: Path) -> None:
    """StorageError, not FileNotFoundError."""
    with pytest.raises(StorageError, match=r"000009\.json: there is no such file"):
        open_store(str(tmp_path)).read("000009.json")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../x", "a//b", "a/./b"])
def test_a_key_cannot_leave_the_store(tmp_path: Path, key: str) -> None:
    """A key is a relative path without dots."""
    with pytest.raises(ValueError, match="not a key"):
        open_store(str(tmp_path)).create(key, b"")


def test_of_many_writers_of_one_key_exactly_one_wins(tmp_path: Path) -> None:
    """The link to the final name fails where another writer was first; the winner's bytes are whole."""
    store = open_store(str(tmp_path))
    for round_ in range(50):
        barrier = threading.Barrier(2)

        def write(data: bytes, key: str = f"{round_}.json", barrier: threading.Barrier = barrier) -> bool:
            barrier.wait()
            return store.create(key, data)

        bodies = [b"a" * 1000, b"b" * 1000]
        with ThreadPoolExecutor(2) as pool:
            won = list(pool.map(write, bodies))
        assert sorted(won) == [False, True]
        assert store.read(f"{round_}.json") == bodies[won.index(True)]
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_full_disk_leaves_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync fails: the error names the file, and neither it nor its temporary file is there."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    store = open_store(str(tmp_path))
    with pytest.raises(StorageError, match=r"000001\.json: No space left on device"):
        store.create("000001.json", b"one")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    """It must not read as "another writer was first"."""
    (tmp_path / "log").write_text("")
    with pytest.raises(StorageError, match="log"):
        open_store(str(tmp_path / "log")).create("000001.json", b"one")
