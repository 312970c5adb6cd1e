import os
import stat
from pathlib import Path

import numpy as np
import pytest

from components.contract.digests import canonical_json, sha256_bytes, sha256_file
from components.contract.errors import PromotionError, StorageError
from components.contract.records import RetrievalPlan
from components.index.retrieval import read_plan
from components.index.vectors import read_vectors
from components.release import candidate as module
from components.release.candidate import (
    load_fingerprint,
    load_manifest,
    place_file,
    read,
    verify,
)


def folder_of(candidates: Path, record) -> Path:
    return candidates / record.digest


def writable(path: Path) -> Path:
    path.chmod(0o644)
    return path


def test_digest_is_the_sha256_of_the_manifest(candidates, make_candidate):
    """D names the folder and is what sha256sum says of manifest.json, which lists every other file."""
    record = make_candidate()
    folder = folder_of(candidates, record)
    assert sha256_file(folder / "manifest.json") == record.digest
    listed = load_manifest(folder)
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert set(listed) == present - {"manifest.json"}
    assert listed["encoder/config.json"] == {"sha256": sha256_bytes(b"{}"), "size": 2}
    verify(folder)


def test_record_and_contents_can_be_read_back(candidates, make_candidate, fingerprint):
    """What was put in comes out: record, catalogue without row keys, vectors, settings, fingerprint."""
    record = make_candidate()
    folder = folder_of(candidates, record)
    assert read(candidates, record.digest) == record
    assert record.path == f"candidates/{record.digest}"
    assert (record.encoder_digest, record.data_digest) == (
        fingerprint.encoder_digest,
        fingerprint.data_digest,
    )
    item_ids, vectors = read_vectors(folder / "index")
    assert item_ids == ["a", "b"]
    np.testing.assert_array_equal(vectors, np.eye(2, 3, dtype=np.float32))
    assert sorted(path.name for path in (folder / "index").iterdir()) == [
        "grams.json",
        "grams.safetensors",
        "items.parquet",
        "lexical.json",
        "vectors.safetensors",
        "words.json",
        "words.safetensors",
    ]
    assert read_plan(folder) == RetrievalPlan()
    assert load_fingerprint(folder).settings == {"seed": 0}


def test_same_inputs_give_the_same_digest(candidates, make_candidate):
    """Building twice gives one folder and one D; another input another D."""
    first = make_candidate(seed=1)
    assert make_candidate(seed=1) == first
    assert make_candidate(seed=2).digest != first.digest
    assert len(list(candidates.iterdir())) == 2


def test_files_are_read_only(candidates, make_candidate):
    """No file of a candidate can be written by accident."""
    folder = folder_of(candidates, make_candidate())
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o444}


@pytest.mark.parametrize("name", ["encoder/model.safetensors", "index/items.parquet", "retrieval.json"])
def test_changed_file_is_named(candidates, make_candidate, name):
    """One changed byte, at the same size, is found and named."""
    folder = folder_of(candidates, make_candidate())
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    writable(folder / name).write_bytes(data)
    with pytest.raises(PromotionError, match=f"{name} was changed"):
        verify(folder)


def test_missing_and_added_files_are_named(candidates, make_candidate):
    """A removed file and a file that was put in are named."""
    folder = folder_of(candidates, make_candidate())
    (folder / "encoder" / "extra.json").write_text("{}")
    with pytest.raises(PromotionError, match=r"encoder/extra.json was added"):
        verify(folder)
    (folder / "encoder" / "extra.json").unlink()
    (folder / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(PromotionError, match=r"encoder/tokenizer.json is missing"):
        verify(folder)


def test_link_in_place_of_a_file_is_refused(candidates, make_candidate, tmp_path):
    """A symbolic link to a file with the right bytes is no file of the candidate."""
    folder = folder_of(candidates, make_candidate())
    outside = tmp_path / "outside.json"
    (folder / "retrieval.json").rename(outside)
    (folder / "retrieval.json").symlink_to(outside)
    with pytest.raises(PromotionError, match=r"retrieval.json was changed"):
        verify(folder)


def test_rewritten_manifest_is_found(candidates, make_candidate):
    """Changing a file and the manifest with it does not help: the manifest no longer hashes to D."""
    folder = folder_of(candidates, make_candidate())
    files = load_manifest(folder)
    data = b'{"history_scoring":"top3"}\n'
    writable(folder / "retrieval.json").write_bytes(data)
    files["retrieval.json"] = {"sha256": sha256_bytes(data), "size": len(data)}
    writable(folder / "manifest.json").write_bytes(canonical_json({"format": 1, "files": files}))
    with pytest.raises(PromotionError, match="does not hash to"):
        verify(folder)


def test_absent_candidate_is_one_sentence(candidates):
    """A digest that nothing was built for is a PromotionError, not a traceback of the file system."""
    with pytest.raises(PromotionError, match="is missing"):
        read(candidates, "f" * 64)


@pytest.mark.parametrize("name", ["model.pkl", "model.pt", "pytorch_model.bin", "last.ckpt", "modeling.py"])
def test_pickles_and_code_are_refused(candidates, make_candidate, encoder_folder, name):
    """A candidate never holds a file whose reading can run code, and nothing of it is left behind."""
    (encoder_folder / name).write_bytes(b"\x80")
    with pytest.raises(PromotionError, match=f"encoder/{name} may not be in a candidate"):
        make_candidate()
    assert list(candidates.iterdir()) == []


def test_crash_while_building_leaves_nothing(candidates, make_candidate, monkeypatch):
    """A build that stops half-way leaves no folder that could be taken for a candidate."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_put_in_place", stop)
    with pytest.raises(KeyboardInterrupt):
        make_candidate()
    assert list(candidates.iterdir()) == []


def test_damaged_older_copy_is_not_taken(candidates, make_candidate):
    """Building again over a damaged copy of the same candidate says so instead of using it."""
    folder = folder_of(candidates, make_candidate())
    writable(folder / "retrieval.json").write_text("{}")
    with pytest.raises(PromotionError, match=r"retrieval.json was changed"):
        make_candidate()


def test_full_disk_is_one_sentence(make_candidate, monkeypatch):
    """A disk error while copying becomes a StorageError."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfile", full)
    with pytest.raises(StorageError, match="No space left on device"):
        make_candidate()


def test_rename_error_is_not_taken_for_success(make_candidate, monkeypatch):
    """Only "there is one already" is accepted when the folder is put in place."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        make_candidate()


def test_files_of_other_candidates_are_linked_and_others_copied(tmp_path):
    """A read-only file is shared on disk; a writable one is copied, so later writes do not reach it."""
    source = tmp_path / "source.safetensors"
    source.write_bytes(b"weights")
    place_file(source, tmp_path / "copy.safetensors")
    assert not (tmp_path / "copy.safetensors").samefile(source)
    source.chmod(0o444)
    place_file(source, tmp_path / "link.safetensors")
    assert (tmp_path / "link.safetensors").samefile(source)


def test_other_file_systems_get_a_copy(tmp_path, monkeypatch):
    """Where the file system cannot link, the file is copied; another error is not hidden."""
    source = tmp_path / "source.safetensors"
    source.write_bytes(b"weights")
    source.chmod(0o444)
    errors = iter([OSError(18, "Invalid cross-device link"), OSError(5, "Input/output error")])

    def fail(*_):
        raise next(errors)

    monkeypatch.setattr(os, "link", fail)
    place_file(source, tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == b"weights"
    with pytest.raises(OSError, match="Input/output"):
        place_file(source, tmp_path / "other.safetensors")
