"""The tag `review` of a model version, by which a reviewer answers in MLflow's pages."""

import re
from dataclasses import dataclass

from components.tracking.client import Connection, mlflow_errors
from components.tracking.registry import find_version, versions_of

TAG = "review"
_D = r"([0-9a-f]{12,64})"
_VALUE = re.compile(rf"approved:\s*{_D}|rejected:\s*{_D}\b[\s:,–-]*(.*)", re.DOTALL)


@dataclass(frozen=True)
class ReviewTag:
    approved: bool
    reason: str


def read_review_tag(connection: Connection, shop: str, digest: str) -> ReviewTag | None:
    """What the tag says about the release `digest`: `approved:<first 12 of D>` and nothing else, or
    `rejected:<first 12 of D>` and perhaps a reason. None where it is not set, is written otherwise, or names
    another D: an approval that was copied from another version approves nothing. Raises TrackingError.
    """
    version = find_version(connection, shop, digest)
    if version is None:
        return None
    with mlflow_errors(connection.uri):
        tags = connection.client.get_model_version(shop, version).tags
    matched = _VALUE.fullmatch(str(tags.get(TAG, "")).strip())
    if matched is None or not digest.startswith(matched[1] or matched[2]):
        return None
    if matched[1]:
        return ReviewTag(True, "approved in MLflow")
    return ReviewTag(False, matched[3].strip() or "rejected in MLflow")


def delete_review_tag(connection: Connection, shop: str, digest: str) -> None:
    """Takes an answer to an earlier review of the release off its versions, so that it answers no later one.
    Raises TrackingError."""
    with mlflow_errors(connection.uri):
        for version in versions_of(connection, shop, digest):
            connection.client.delete_model_version_tag(shop, version, TAG)
