"""MLflow's registry webhook: made once, and its deliveries verified.

Signature: "v1," + base64(HMAC-SHA256(secret, "<delivery id>.<timestamp>.<body>")), in X-MLflow-Signature.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping

from components.tracking.client import Connection, mlflow_errors

SECRET_VARIABLE = "DEBUT_MLFLOW_WEBHOOK_SECRET"
"""The environment variable with the webhook's secret."""
EVENT = "model_version_tag.set"
MAX_AGE_SECONDS = 300
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


def ensure_webhook(connection: Connection, name: str, url: str, secret: str) -> None:
    """One webhook of that name for set tags, with this address and secret. Raises TrackingError."""
    with mlflow_errors(connection.uri):
        for webhook in connection.client.list_webhooks():
            if webhook.name == name:
                connection.client.update_webhook(webhook.webhook_id, url=url, secret=secret, events=[EVENT])
                return
        connection.client.create_webhook(name, url, events=[EVENT], secret=secret)


def is_genuine(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether MLflow sent this, and lately (now: seconds since 1970)."""
    sent = headers.get("x-mlflow-signature", "")
    delivery, timestamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
    if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > MAX_AGE_SECONDS:
        return False
    signed = f"{delivery}.{timestamp}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(sent.encode(), expected.encode())
