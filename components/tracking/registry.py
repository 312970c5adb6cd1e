"""Model versions and aliases. MLflow mirrors the decision log; it decides nothing.

The registered model is named after the shop; a version is found by its tag `digest`, the candidate's D.
"""

import importlib.metadata
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from components.contract.records import RetrievalPlan
from components.encoder.base import BASE_FILE, AdapterBase, has_adapter, saved_settings
from components.tracking.client import (
    Connection,
    LoggedModelOutput,
    MlflowException,
    Model,
    mlflow,
    mlflow_errors,
)
from components.tracking.description import NeededBase, VersionCard, describe, version_tags
from components.tracking.run import Tracker

logger = logging.getLogger(__name__)

LOG_HEAD = "decision_log_head"
"""Tag of the registered model: number and hash of the decision log's last record, "12 3f9c…"."""
HITS_PER_QUERY = 10
"""Of `predict`, where who loads the model asks for no other number."""
MODEL_CODE = Path(__file__).with_name("served_model.py")
# What served_model.py imports. Written down, because MLflow would load the model to find out (6 s).
REQUIREMENTS = (
    "debut",
    "mlflow",
    "numpy",
    "peft",
    "polars",
    "pydantic",
    "safetensors",
    "torch",
    "transformers",
)
RANKER_REQUIREMENTS = ("lightgbm",)
"""What it imports besides for a plan with a second stage: an extra of `debut`, which does not bring it."""


def register(tracker: Tracker, candidate: Path, card: VersionCard) -> str:
    """Makes the candidate in folder `candidates/<D>` a version of the shop's model; returns its number.

    The version holds a copy of the candidate's files and answers `predict(queries)`. A D that is registered
    already keeps its version, whose description and tags are renewed: after a crash just run again.
    Raises TrackingError.
    """
    connection, shop = tracker.connection, card.shop
    base, pretrained = _needed_base(candidate / "encoder"), _pretrained_version(connection, card)
    card = replace(card, base=base, pretrained=pretrained)
    with mlflow_errors(connection.uri):
        ensure_model(connection, shop)
        version = find_version(connection, shop, card.candidate.digest)
        if version is None:
            version = _create_version(tracker, candidate, card)
        connection.client.update_model_version(shop, version, description=describe(card, version))
        for name, value in version_tags(card).items():
            connection.client.set_model_version_tag(shop, version, name, value)
    return version


def find_version(connection: Connection, shop: str, digest: str) -> str | None:
    """The highest version that holds the candidate `digest`."""
    return max(versions_of(connection, shop, digest), key=int, default=None)


def versions_of(connection: Connection, shop: str, digest: str) -> list[str]:
    """All versions that hold the candidate `digest`: one, unless two runs registered it at the same time."""
    with mlflow_errors(connection.uri):
        found = connection.client.search_model_versions(f"name='{shop}' and tags.digest='{digest}'")
    return [str(version.version) for version in found]


def pretrained_model(shop: str) -> str:
    """Name of the registered model of the shop's pretrained encoders."""
    return f"{shop}-pretrained"


def mirror_aliases(
    connection: Connection, shop: str, aliases: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Points each alias at the version of its D, and removes it where there is none; returns the versions.

    aliases: `release.promotion.aliases` of the decision log. Only what differs is written, so it may run at
    any time: the next run repairs what a crash between promotion and alias left. A release that this store
    does not hold (the store is new) loses its alias rather than leaving it at another release.
    """
    versions = {name: _version_for(connection, shop, name, digest) for name, digest in aliases.items()}
    with mlflow_errors(connection.uri):
        current = _current_aliases(connection, shop)
        for name, version in versions.items():
            if version == current.get(name):
                continue
            if version is None:
                connection.client.delete_registered_model_alias(shop, name)
            else:
                connection.client.set_registered_model_alias(shop, name, version)
    return versions


def read_log_head(connection: Connection, shop: str) -> tuple[int, str] | None:
    """Number and hash in the tag decision_log_head; None where there is none, or it was edited into something
    else. Raises TrackingError."""
    with mlflow_errors(connection.uri):
        model = _registered_model(connection, shop)
    number, _, digest = (model.tags.get(LOG_HEAD, "") if model else "").partition(" ")
    return (int(number), digest) if number.isdecimal() and int(number) and digest else None


def write_log_head(connection: Connection, shop: str, number: int, digest: str) -> None:
    """Notes the decision log's last record, where the shop's model is registered. Raises TrackingError."""
    with mlflow_errors(connection.uri):
        if _registered_model(connection, shop) is not None:
            connection.client.set_registered_model_tag(shop, LOG_HEAD, f"{number} {digest}")


def _pretrained_version(connection: Connection, card: VersionCard) -> str | None:
    """The version that the card's base encoder is, by its folder's name: the first 12 of the digest, as
    `debut pretrain` keeps it. None where it is called otherwise."""
    folder = PurePath(card.encoder).name
    with mlflow_errors(connection.uri):
        versions = connection.client.search_model_versions(f"name='{pretrained_model(card.shop)}'")
    same = (str(one.version) for one in versions if one.tags.get("digest", "")[:12] == folder)
    return max(same, key=int, default=None)


def _needed_base(encoder: Path) -> NeededBase | None:
    if not has_adapter(encoder):
        return None
    base, settings = AdapterBase(**json.loads((encoder / BASE_FILE).read_text())), saved_settings(encoder)
    return NeededBase(settings.name, settings.revision, base.weights, base.local)


def _version_for(connection: Connection, shop: str, alias: str, digest: str | None) -> str | None:
    version = find_version(connection, shop, digest) if digest else None
    if digest and version is None:
        logger.warning(
            "The %s %s is not registered as %s here; the alias is removed.", alias, digest[:12], shop
        )
    return version


def _current_aliases(connection: Connection, shop: str) -> dict[str, str]:
    model = _registered_model(connection, shop)
    return {name: str(version) for name, version in model.aliases.items()} if model else {}


def _registered_model(connection: Connection, shop: str) -> Any:
    """MLflow's RegisteredModel; None before the first registration."""
    try:
        return connection.client.get_registered_model(shop)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def ensure_model(connection: Connection, shop: str) -> None:
    try:
        connection.client.create_registered_model(shop)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _create_version(tracker: Tracker, candidate: Path, card: VersionCard) -> str:
    client = tracker.connection.client
    # The SQL registry resolves models:/ addresses through the process's default store.
    mlflow.set_tracking_uri(tracker.connection.uri)
    logged = client.create_logged_model(tracker.experiment_id, name=card.shop, source_run_id=tracker.run_id)
    client.log_outputs(tracker.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    with tempfile.TemporaryDirectory(prefix="debut-model-") as folder:
        path = Path(folder) / "model"
        mlflow.pyfunc.save_model(
            path,
            python_model=str(MODEL_CODE),
            artifacts={"candidate": str(candidate)},
            model_config={"k": HITS_PER_QUERY},  # without it MLflow refuses another k at loading
            pip_requirements=_requirements(card.plan),
            mlflow_model=Model(
                artifact_path=logged.artifact_location, run_id=tracker.run_id, model_id=logged.model_id
            ),
        )
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, "READY")
    version = client.create_model_version(
        card.shop,
        source=f"models:/{logged.model_id}",
        run_id=tracker.run_id,
        tags=version_tags(card),
        model_id=logged.model_id,
    )
    return str(version.version)


def _requirements(plan: RetrievalPlan | None) -> list[str]:
    names = REQUIREMENTS + (RANKER_REQUIREMENTS if plan and plan.rankers else ())
    return [f"{name}=={importlib.metadata.version(name)}" for name in names]
