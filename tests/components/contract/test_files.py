"""Atomic files and folders, and digests."""

import errno
import json
from pathlib import Path

import pytest

from components.contract import files
from components.contract.digests import canonical_json, sha256_tree
from components.contract.errors import DataError, StorageError
from components.contract.files import stage_folder, write_bytes, write_json


def test_canonical_json_has_one_form_and_refuses_nan() -> None:
    """Key order does not matter; a missing number can never look like one."""
    assert (
        canonical_json({"b": 1, "a": "é"}) == canonical_json({"a": "é", "b": 1}) == '{"a":"é","b":1}'.encode()
    )
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": float("nan")})


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC while writing: the old content stays, no temporary file is left, one sentence names the path."""
    path = write_json(tmp_path / "state.json", {"value": 1})

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageError, match=r"state\.json: No space left.*Free space"):
        write_bytes(path, b"new")
    assert json.loads(path.read_text()) == {"value": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]


def test_a_librarys_own_error_on_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    """safetensors and SQLite raise no OSError; another error of theirs, and ours, pass as they are."""
    full = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    with (
        pytest.raises(StorageError, match=r"stage: No space left on device\. Free"),
        stage_folder(tmp_path / "stage"),
    ):
        raise RuntimeError("the table was not written") from full
    with pytest.raises(RuntimeError, match="not positive"), stage_folder(tmp_path / "stage"):
        raise RuntimeError("the matrix is not positive definite")
    with pytest.raises(DataError, match="row 3"), stage_folder(tmp_path / "stage"):
        raise DataError("row 3 says: disk is full")
    assert not list(tmp_path.iterdir())


def test_a_stage_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """A block that raises leaves nothing, and leaves the older folder alone."""
    with stage_folder(tmp_path / "stage") as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), stage_folder(tmp_path / "stage") as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    assert (tmp_path / "stage" / "a").read_text() == "old"
    with stage_folder(tmp_path / "stage") as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "stage" / "a").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["stage"]


def test_a_trees_digest_sees_names_and_contents(tmp_path: Path) -> None:
    """Renaming a file or changing a byte changes it; a cache folder does not."""
    (tmp_path / "a.py").write_text("1")
    before = sha256_tree(tmp_path, (".py",))
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    assert sha256_tree(tmp_path, (".py",)) == before
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert sha256_tree(tmp_path, (".py",)) != before
