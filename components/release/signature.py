"""A candidate's signature: proof that its files are the ones that the team's own key signed.

By model-signing (OpenSSF) with a pair of elliptic-curve keys: no certificate, no transparency log, no
network. The signature, a Sigstore bundle in JSON, lies beside the candidate (`signature_path`), never inside,
so that D stays what it is. It covers the SHA-256 of every file, manifest.json included. What cannot be
checked is refused.
"""

import base64
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.contract.errors import PromotionError
from components.contract.files import disk_errors, write_bytes
from components.release.candidate import verify

PRIVATE_KEY = "signing.key"
PUBLIC_KEY = "signing.pub"


def signature_path(candidate: Path) -> Path:
    """Where the signature of the folder `candidates/<D>` lies: `candidates/<D>.sig`."""
    return candidate.with_name(f"{candidate.name}.sig")


def make_keys(folder: Path, password: str | None = None) -> tuple[Path, Path]:
    """Writes a new pair of P-256 keys as PEM files into `folder` and returns (private, public).

    The private key can be read by its owner alone (0600) and is encrypted where a password is given. Raises
    PromotionError where a key is there already (none is ever replaced) and StorageError (disk).
    """
    _library()
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = folder / PRIVATE_KEY, folder / PUBLIC_KEY
    for path in (private, public):
        if path.exists():
            raise PromotionError(f"{path} is there already: a key is never replaced. Name another folder.")
    key = ec.generate_private_key(ec.SECP256R1())
    protection = pem.BestAvailableEncryption(password.encode()) if password else pem.NoEncryption()
    secret = key.private_bytes(pem.Encoding.PEM, pem.PrivateFormat.PKCS8, protection)
    shared = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    _write_new(public, shared, 0o644)
    return private, public


def sign(candidate: Path, private_key: Path, password: str | None, signature: Path) -> None:
    """Writes the signature of the folder `candidates/<D>`, after its files were verified to be D's.

    password: of the private key; None: it has none. Raises PromotionError (files that are not D's, a key that
    cannot be read, a signature path inside the candidate) and StorageError (disk).
    """
    library = _library()
    verify(candidate)
    if signature.resolve().is_relative_to(candidate.resolve()):
        raise PromotionError(
            f"{signature}: a signature lies beside its candidate, never inside; name another."
        )
    config = library.signing.Config().set_hashing_config(_hashing(library))
    with _key_errors(private_key):
        # The library passes the password on to cryptography as it is, which takes only bytes.
        secret = password.encode() if password else None
        config.use_elliptic_key_signer(private_key=private_key, password=secret)
    with disk_errors(candidate), tempfile.TemporaryDirectory() as scratch:
        config.sign(candidate, Path(scratch) / "signature")
        write_bytes(signature, (Path(scratch) / "signature").read_bytes())


def verify_signature(candidate: Path, public_key: Path, signature: Path) -> None:
    """Raises PromotionError unless `signature` fits the key and all files of `candidate` are as signed.

    The sentence tells apart: no signature, an unreadable one, an unreadable key, a signature that does not
    fit the key, and the first file that was changed, removed or added. Whether the folder's name is D is
    `candidate.verify`'s to check.
    """
    library = _library()
    signed = _signed_files(signature)
    config = library.verifying.Config()
    with _key_errors(public_key):
        config.use_elliptic_key_verifier(public_key=public_key)
    files = _Files(_hashing(library))
    try:
        config.set_hashing_config(files).verify(candidate, signature)
    except _refusals() as error:
        if files.present is None:
            raise PromotionError(
                f"{signature} does not fit the key {public_key}: it was made with another key, or edited. "
                f"{_REMEDY}"
            ) from error
        raise PromotionError(_difference(candidate, signed, files.present)) from error


_REMEDY = "The candidate cannot be released; build and sign it again with `debut retrain`."


class _Files:
    """What model-signing hashes a candidate with; it asks for that only once the signature fits the key."""

    def __init__(self, hashing: Any) -> None:
        self._hashing = hashing
        self.present: dict[str, str] | None = None
        """Per file its digest; None: not asked for yet."""

    def hash(self, model_path: Path, *, files_to_hash: object = None) -> Any:
        try:
            with disk_errors(model_path):
                manifest = self._hashing.hash(model_path, files_to_hash=files_to_hash)
        except ValueError as error:  # a link, or something that is neither file nor folder
            raise PromotionError(f"{str(error).split('. ')[0]}. {_REMEDY}") from error
        self.present = {file.identifier: file.digest.digest_hex for file in manifest.resource_descriptors()}
        return manifest

    def add_ignored_paths(self, *, model_path: Path, paths: object) -> None:
        """A signature may name files to leave out; none are left out of a release."""


def _hashing(library: Any) -> Any:
    """SHA-256 of every file, hidden ones too; links are refused."""
    config = library.hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    return config.set_ignored_paths(paths=[], ignore_git_paths=False)


def _signed_files(signature: Path) -> dict[str, str]:
    """Per file the digest that the signature states, not yet checked against the key."""
    if not signature.is_file():
        raise PromotionError(f"{signature} is missing: the candidate was not signed. {_REMEDY}")
    with disk_errors(signature):
        data = signature.read_bytes()
    try:
        statement = json.loads(base64.b64decode(json.loads(data)["dsseEnvelope"]["payload"]))
        return {file["name"]: file["digest"] for file in statement["predicate"]["resources"]}
    except (ValueError, LookupError, TypeError) as error:
        raise PromotionError(f"{signature} is no signature that can be read. {_REMEDY}") from error


def _difference(candidate: Path, signed: dict[str, str], present: dict[str, str]) -> str:
    """The sentence about the first file, by name, that is not as it was signed."""
    for name in sorted(signed.keys() | present.keys()):
        if name not in present:
            return f"{candidate / name} is missing, but was signed. {_REMEDY}"
        if name not in signed:
            return f"{candidate / name} was added after the candidate was signed. {_REMEDY}"
        if signed[name] != present[name]:
            return f"{candidate / name} was changed after the candidate was signed. {_REMEDY}"
    return f"{candidate}: its files are not those that were signed. {_REMEDY}"


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:
        raise PromotionError(
            f"Signatures cannot be made or checked here ({error}): run `pip install model-signing "
            f"pyOpenSSL`. Where a signing key is configured, nothing is released without."
        ) from error
    return model_signing


def _refusals() -> tuple[type[Exception], ...]:
    """What model-signing raises: ValueError for what it checks, the others for a bundle of another shape."""
    from cryptography.exceptions import InvalidSignature

    return InvalidSignature, ValueError, LookupError, TypeError, AttributeError


@contextmanager
def _key_errors(path: Path) -> Iterator[None]:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        yield
    except (OSError, ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        reason = getattr(error, "strerror", None) or str(error).split(". ")[0].split("\n")[0]
        raise PromotionError(
            f"{path}: the key cannot be read ({reason}). It must be a PEM file with an elliptic-curve key "
            f"(P-256, P-384 or P-521), and its password must fit."
        ) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
