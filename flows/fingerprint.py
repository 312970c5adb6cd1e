"""What decides a run's outcome, as one digest, computed before torch, Prefect or MLflow is imported.

Data, configuration, code, installed versions and base weights – not the champion: judging the same
data again after a promotion would find nothing new.
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import components
from components.contract.digests import sha256_file, sha256_json, sha256_tree
from components.contract.settings import OPERATING
from components.encoder.base import base_digest
from flows.shop import Shop

LATEST = "latest.json"
_CODE_SUFFIXES = (".py", ".yaml", ".html", ".jinja")


def code_digest() -> str:
    """Digest of the components package: a changed line there invalidates every cached stage."""
    return sha256_tree(Path(components.__path__[0]), _CODE_SUFFIXES)


def installed_versions_digest() -> str:
    """Digest of every installed distribution's version: the lock file as it really is here."""
    installed = {dist.name.lower(): dist.version for dist in importlib.metadata.distributions()}
    return sha256_json(installed)


def run_fingerprint(shop: Shop) -> dict[str, Any]:
    """The parts of the fingerprint, each a digest or a dictionary of them."""
    replayed = sorted((shop.workspace / "replayed").glob("*.parquet"))
    return {
        "data": shop.source_digests(),
        "replayed": {path.name: sha256_file(path) for path in replayed},
        "labels": sha256_file(shop.labels) if shop.labels.is_file() else None,
        "configuration": sha256_json(shop.settings.model_dump(mode="json", exclude=OPERATING)),
        "code": code_digest(),
        "versions": installed_versions_digest(),
        "base_weights": base_digest(shop.settings.encoder),
    }


def last_result(shop: Shop, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """The newest run's result where its fingerprint equals this one, else None."""
    path = shop.runs / LATEST
    if not path.is_file():
        return None
    latest: dict[str, Any] = json.loads(path.read_text())
    return latest["result"] if latest["fingerprint"] == fingerprint else None
