"""A candidate: encoder, index snapshot, retrieval settings and fingerprint in one immutable folder.

    candidates/<D>/
      encoder/            config, model.safetensors, tokenizer; query_map.safetensors, where there is one; in
                          place of model.safetensors the adapter alone, where it was trained as one
      inference/          encoder.onnx, where the retrieval plan uses one
      index/              vectors.safetensors ("vectors": items × dimensions, fp32), items.parquet, and the
                          lexical side: words.* and grams.* (.safetensors, .json); co_purchases.safetensors,
                          where the plan weighs them
      histories/          <kind>.safetensors, where the plan scores histories by a learned encoder
      ranker/             <entrance>.txt (LightGBM's text), ranker.json: the second stage, where the plan
                          names entrances; index/signals.safetensors then stands beside the vectors
      heads/<task>/       head.safetensors, head.json: what else the encoder answers (components.tasks), and
                          words.* where it reads the text's words, too; left_out.parquet of opinions
      knowledge.json      the shop's synonyms and rules, where it has some
      retrieval.json      how requests are ranked (records.RetrievalPlan)
      fingerprint.json    what it was trained on
      manifest.json       SHA-256 and size of every other file; D is the SHA-256 of this file

No time, host or path is in it, so the same inputs give the same D.
"""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract.digests import canonical_json, sha256_bytes, sha256_file
from components.contract.errors import EncoderError, PromotionError
from components.contract.files import disk_errors, write_bytes, write_json
from components.contract.knowledge import KnowledgeSettings
from components.contract.records import Candidate, RetrievalPlan
from components.encoder.base import adapted_base, has_adapter
from components.index.co_purchases import CO_PURCHASES_FILE
from components.index.retrieval import (
    ENCODER,
    HEADS,
    HISTORIES,
    INDEX,
    INFERENCE,
    ONNX_FILE,
    PLAN_FILE,
    RANKER,
)
from components.index.signals import SIGNALS_FILE
from components.index.vectors import INDEX_FILES
from components.ranking.ranker_files import carried
from components.release.fingerprint import Fingerprint
from components.understanding.knowledge import KNOWLEDGE_FILE

MANIFEST = "manifest.json"
# What a candidate may hold. Pickles (*.pkl, *.pt, *.bin, *.ckpt) run code when they are read; a list of
# what is allowed also stops the suffixes nobody thought of.
ALLOWED_SUFFIXES = frozenset({".safetensors", ".json", ".parquet", ".txt", ".model", ".jinja", ".onnx"})


def build(
    candidates: Path,
    *,
    encoder: Path,
    index: Path,
    plan: RetrievalPlan,
    fingerprint: Fingerprint,
    graph: Path | None = None,
    heads: Path | None = None,
    knowledge: KnowledgeSettings | None = None,
    rankers: Path | None = None,
    histories: Path | None = None,
) -> Candidate:
    """Writes `candidates/<D>/` whole or not at all and returns its record.

    encoder: the folder that the encoder was saved to; index: a folder that `index.vectors` wrote with it;
    graph: the exported encoder that the plan's inference runs; heads: a folder of heads of that encoder;
    knowledge: of what queries imply; rankers: a folder that `release.ranker` wrote for this plan; histories:
    the folder of the learned encoder that the plan scores histories by. An equal candidate that is already
    there is verified and returned. Raises PromotionError (a file of a kind that is not allowed; a damaged
    older copy) and StorageError (disk).
    """
    with _temporary_folder(candidates) as folder:
        _copy(encoder, folder / ENCODER, _names(encoder))
        _copy(index, folder / INDEX, INDEX_FILES)
        if plan.co_purchase_weight:
            _copy(index, folder / INDEX, [CO_PURCHASES_FILE])
        if graph is not None:
            _place(graph, folder / INFERENCE / ONNX_FILE)
        if heads is not None:
            _copy(heads, folder / HEADS, _names(heads))
        if knowledge is not None:
            write_json(folder / KNOWLEDGE_FILE, knowledge.model_dump(mode="json"))
        if plan.rankers and rankers is not None:
            _copy(rankers, folder / RANKER, carried(rankers))
            _copy(index, folder / INDEX, [SIGNALS_FILE])
        if histories is not None:
            _copy(histories, folder / HISTORIES, _names(histories))
        write_json(folder / PLAN_FILE, plan.model_dump(mode="json"))
        write_json(folder / "fingerprint.json", fingerprint.model_dump(mode="json"))
        manifest = canonical_json({"format": 1, "files": _files_of(folder)})
        write_bytes(folder / MANIFEST, manifest)
        _make_read_only(folder)
        digest = sha256_bytes(manifest)
        _put_in_place(folder, candidates / digest)
    return _record(candidates / digest, fingerprint)


def read(candidates: Path, digest: str) -> Candidate:
    """The record of the candidate `digest`, after its files were verified."""
    path = candidates / digest
    verify(path)
    return _record(path, load_fingerprint(path))


def verify(path: Path) -> None:
    """Raises PromotionError that names the first file of `path` that was changed, removed or added, or the
    base that an encoder saved as its adapter alone does not find here.

    The folder's name is D, so a manifest that was rewritten to fit changed files is found too.
    """
    listed = load_manifest(path)
    present = {name for name in _names(path) if name != MANIFEST}
    for name in sorted(listed.keys() | present):
        if name not in present:
            raise PromotionError(f"{path / name} is missing: {_REMEDY}")
        if name not in listed:
            raise PromotionError(f"{path / name} was added after the candidate was built: {_REMEDY}")
        with disk_errors(path / name):
            if _entry(path / name) != listed[name]:
                raise PromotionError(f"{path / name} was changed after the candidate was built: {_REMEDY}")
    if has_adapter(path / ENCODER):
        try:
            adapted_base(path / ENCODER)
        except EncoderError as error:
            raise PromotionError(str(error)) from error


def load_manifest(path: Path) -> dict[str, dict[str, Any]]:
    """Per file name its "sha256" and "size"; raises PromotionError where the manifest is not D's."""
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise PromotionError(f"{manifest} is missing: there is no candidate {path.name[:12]} to use here.")
    with disk_errors(manifest):
        data = manifest.read_bytes()
    if sha256_bytes(data) != path.name:
        raise PromotionError(f"{manifest} does not hash to {path.name[:12]}, the folder's name: {_REMEDY}")
    files: dict[str, dict[str, Any]] = json.loads(data)["files"]
    return files


def load_fingerprint(path: Path) -> Fingerprint:
    return Fingerprint.model_validate_json((path / "fingerprint.json").read_bytes())


_REMEDY = "it cannot be released; build it again with `debut retrain`, or restore the file."


def _record(path: Path, fingerprint: Fingerprint) -> Candidate:
    return Candidate(
        path=f"{path.parent.name}/{path.name}",
        digest=path.name,
        encoder_digest=fingerprint.encoder_digest,
        data_digest=fingerprint.data_digest,
        baseline=fingerprint.baseline,
    )


@contextmanager
def _temporary_folder(candidates: Path) -> Iterator[Path]:
    """A hidden sibling to fill; gone afterwards unless it was renamed."""
    with disk_errors(candidates):
        candidates.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=candidates))
        folder.chmod(0o755)  # mkdtemp makes it readable to its owner alone
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, target: Path, names: Sequence[str]) -> None:
    for name in names:
        _place(source / name, target / name)


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    place_file(source, target)


def place_file(source: Path, target: Path) -> None:
    """Hard-links a file that nobody may write (another candidate's, so immutable); copies any other."""
    if not source.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        try:
            os.link(source, target)
            return
        except OSError as error:  # another file system, or one without hard links
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
                raise
    shutil.copyfile(source, target)


def _names(folder: Path) -> list[str]:
    """Relative names of all files and links below `folder`, sorted; links are not followed."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _files_of(folder: Path) -> dict[str, dict[str, Any]]:
    names = _names(folder)
    for name in names:
        if Path(name).suffix not in ALLOWED_SUFFIXES or not _is_plain(folder / name):
            raise PromotionError(
                f"{name} may not be in a candidate: only {', '.join(sorted(ALLOWED_SUFFIXES))} files, "
                f"because reading others (pickles) can run code. Save the encoder as safetensors."
            )
    return {name: _entry(folder / name) for name in names}


def _is_plain(path: Path) -> bool:
    return stat.S_ISREG(path.lstat().st_mode)


def _entry(path: Path) -> dict[str, Any]:
    if not _is_plain(path):
        return {}  # a link in place of a file equals no manifest entry
    return {"sha256": sha256_file(path), "size": path.stat().st_size}


def _make_read_only(folder: Path) -> None:
    """Files on disk and read-only; folders stay writable, so that `rm -r` of a workspace works."""
    for name in _names(folder):
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
        (folder / name).chmod(0o444)


def _put_in_place(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        verify(target)  # built before, byte for byte the same
