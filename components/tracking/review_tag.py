"""The tag `review` of a model version, by which a reviewer answers in MLflow's pages."""

import re
from dataclasses import dataclass

from components.tracking.client import Connection, mlflow_errors
from components.tracking.registry import find_version

TAG = "review"
_VALUE = re.compile(r"(approved|rejected):\s*([0-9a-f]{12,64})\b[\s:,–-]*(.*)", re.DOTALL)


@dataclass(frozen=True)
class ReviewTag:
    approved: bool
    reason: str


def read_review_tag(connection: Connection, shop: str, digest: str) -> ReviewTag | None:
    """What the tag says about the release `digest`: `approved:<first 12 of D>`, or `rejected:<first 12 of D>`
    and perhaps a reason. None where it is not set, is written otherwise, or names another D: an approval
    that was copied from another version approves nothing. Raises TrackingError.
    """
    version = find_version(connection, shop, digest)
    if version is None:
        return None
    with mlflow_errors(connection.uri):
        tags = connection.client.get_model_version(shop, version).tags
    matched = _VALUE.fullmatch(str(tags.get(TAG, "")).strip())
    if matched is None or not digest.startswith(matched[2]):
        return None
    return ReviewTag(matched[1] == "approved", matched[3].strip() or f"{matched[1]} in MLflow")
