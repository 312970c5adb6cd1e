"""Pretrained encoders as versions of a registered model of their own, `<shop>-pretrained`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.tracking.client import mlflow_errors
from components.tracking.registry import ensure_model, find_version
from components.tracking.run import Tracker

ARTIFACTS = "pretrained"


def register_pretrained(
    tracker: Tracker, encoder: Path, shop: str, digest: str, figures: Mapping[str, Any]
) -> str:
    """Copies the encoder's folder into the run and makes it a version; returns its number.

    A digest that is registered already keeps its version. Raises TrackingError.
    """
    client, name = tracker.connection.client, f"{shop}-pretrained"
    with mlflow_errors(tracker.connection.uri):
        ensure_model(tracker.connection, name)
        version = find_version(tracker.connection, name, digest)
        if version is not None:
            return version
        client.log_artifacts(tracker.run_id, str(encoder), ARTIFACTS)
        artifacts = client.get_run(tracker.run_id).info.artifact_uri
        made = client.create_model_version(
            name,
            source=f"{artifacts}/{ARTIFACTS}",
            run_id=tracker.run_id,
            tags={"digest": digest} | {name: f"{value:g}" for name, value in figures.items()},
            description=f"An encoder pretrained on {shop}'s text, to begin fine-tuning with: its folder as "
            f"encoder.name. It was judged by no gate.",
        )
    return str(made.version)
