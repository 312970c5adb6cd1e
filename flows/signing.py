"""Signatures of releases with the team's own key, where the configuration names one."""

import os
from pathlib import Path

from components.contract.paths import at_home
from components.contract.serving import SigningSettings
from components.release import candidate as candidates
from components.release.signature import sign, signature_path, verify_signature

PASSWORD = "DEBUT_SIGNING_PASSWORD"


def password() -> str | None:
    """Of the private key, where it has one."""
    return os.environ.get(PASSWORD) or None


def sign_release(settings: SigningSettings, folder: Path) -> Path | None:
    """Signs the folder `candidates/<D>` unless that was done; None where no private key is configured."""
    if settings.private_key is None:
        return None
    signature = signature_path(folder)
    if not signature.exists():
        sign(folder, at_home(settings.private_key), password(), signature)
    return signature


def verify_release(settings: SigningSettings, folder: Path) -> None:
    """Raises PromotionError unless the folder's files are D's and, with a public key configured, signed."""
    candidates.verify(folder)
    check_signature(settings, folder)


def check_signature(settings: SigningSettings, folder: Path) -> None:
    """The second half, for acts that verify the files themselves: they are hashed once."""
    if settings.public_key is not None:
        verify_signature(folder, at_home(settings.public_key), signature_path(folder))
