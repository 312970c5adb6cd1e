"""What decides a run's outcome, as one digest, computed before torch, Prefect or MLflow is imported.

Data, configuration, code, installed versions and base weights – not the champion: judging the same
data again after a promotion would find nothing new. A warm start is trained from the champion, though: there
another release that serves is something new (`last_result`).
"""

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import components
from components.contract.digests import sha256_file, sha256_json, sha256_tree
from components.contract.learning import EncoderSettings
from components.contract.paths import at_home
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


def encoder_digestible(settings: EncoderSettings) -> dict[str, Any]:
    """The section as JSON values, for a digest that the base weights' own goes into as well: it says what a
    local folder holds, and where that lies decides nothing."""
    local = at_home(settings.name).is_absolute()
    return settings.model_dump(mode="json", exclude={"name"} if local else None)


def run_fingerprint(shop: Shop) -> dict[str, Any]:
    """The parts of the fingerprint, each a digest or a dictionary of them."""
    replayed = sorted((shop.workspace / "replayed").glob("*.parquet"))
    configuration = shop.settings.model_dump(mode="json", exclude=OPERATING)
    configuration["encoder"] = encoder_digestible(shop.settings.encoder)
    return {
        "data": shop.source_digests(),
        "replayed": {path.name: sha256_file(path) for path in replayed},
        "labels": sha256_file(shop.labels) if shop.labels.is_file() else None,
        "configuration": sha256_json(configuration),
        "code": code_digest(),
        "versions": installed_versions_digest(),
        "base_weights": base_digest(shop.settings.encoder),
    }


def last_result(shop: Shop, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """The newest run's result where its fingerprint equals this one, else None; also None where a warm start
    would begin with another release than that run's champion and what it made of it."""
    path = shop.runs / LATEST
    if not path.is_file():
        return None
    latest: dict[str, Any] = json.loads(path.read_text())
    if latest["fingerprint"] != fingerprint:
        return None
    result: dict[str, Any] = latest["result"]
    known = {result["champion_digest"], result["challenger_digest"]}
    if shop.settings.training.start == "champion" and shop.decision_log().champion() not in known:
        return None
    return result
