"""What is forced to disk; a power cut itself cannot be had in a test."""

import os
from pathlib import Path

import pytest

from components.contract.errors import StorageError
from components.contract.live import LiveItem
from components.index.items_table import ItemsTable
from components.index.synced_folder import SyncedFolder


def put(item_id):
    return LiveItem(item_id=item_id, title="mug")


@pytest.fixture
def forced(monkeypatch):
    """Inodes that were given to fsync."""
    inodes, fsync = set(), os.fsync

    def recorded(handle):
        inodes.add(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    return inodes


def inodes(paths):
    return {path.stat().st_ino for path in paths}


@pytest.mark.parametrize(
    "act", [lambda table: table.upsert([put("b")]), lambda table: table.delete(["a"]), ItemsTable.maintain]
)
def test_what_the_table_writes_is_forced_to_disk(tmp_path, forced, act):
    """Every new file, and every folder that holds one, before the call returns."""
    table = ItemsTable.open(str(tmp_path / "live"))
    table.upsert([put("a")])
    before = set(tmp_path.rglob("*"))
    forced.clear()
    act(table)
    new = set(tmp_path.rglob("*")) - before
    assert new
    assert inodes(new | {path.parent for path in new}) <= forced


def test_a_new_table_is_forced_to_disk(tmp_path, forced):
    """With the folder that was made for it."""
    ItemsTable.open(str(tmp_path / "live"))
    assert inodes([tmp_path, *tmp_path.rglob("*")]) <= forced


def test_only_what_is_new_is_forced(tmp_path, forced):
    """A file that was there before the block costs nothing."""
    folder = SyncedFolder(tmp_path / "shop")
    (tmp_path / "shop" / "old").write_text("old")
    with folder.forced():
        (tmp_path / "shop" / "new").write_text("new")
    assert inodes([tmp_path / "shop" / "new"]) <= forced
    assert not inodes([tmp_path / "shop" / "old"]) & forced


def test_what_vanishes_meanwhile_is_no_error(tmp_path, monkeypatch):
    """Another process removes an old version between the listing and fsync."""
    folder = SyncedFolder(tmp_path)
    opened = os.open

    def gone(path, flags):
        Path(tmp_path, "new").unlink(missing_ok=True)
        return opened(path, flags)

    with folder.forced():
        (tmp_path / "new").write_text("new")
        monkeypatch.setattr(os, "open", gone)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    """What fsync refuses is a StorageError with the folder."""

    def full(handle):
        raise OSError(28, "No space left on device")

    table = ItemsTable.open(str(tmp_path / "live"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="live: No space left"):
        table.upsert([put("a")])
