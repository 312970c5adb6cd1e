"""The connection to MLflow, its errors as one sentence, and its noise turned off.

The other modules of this package take MLflow's names from here, because its environment must be set before
it is imported (only `served_model`, which MLflow itself runs, imports it).
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from components.contract.errors import TrackingError
from components.contract.files import disk_errors
from components.contract.settings import Settings

# MLflow reads these while it is imported, so they are set before; a value of the user's own stays.
for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would send usage data to its makers
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # "Creating initial MLflow database tables" is no news to a user
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",  # its bars break ours
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout belongs to `--json`
    "GIT_PYTHON_REFRESH": "quiet",  # GitPython warns at length where there is no git
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 7 by default: four minutes until "cannot be reached"
}.items():
    os.environ.setdefault(_name, _value)

# ruff: noqa: E402 – see above
import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    Metric,
    Param,
    RunTag,
)
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.mlflow_tags import (
    MLFLOW_DATASET_CONTEXT,
    MLFLOW_PARENT_RUN_ID,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_USER,
)

__all__ = [
    "MLFLOW_DATASET_CONTEXT",
    "MLFLOW_PARENT_RUN_ID",
    "MLFLOW_RUN_NOTE",
    "MLFLOW_SOURCE_NAME",
    "MLFLOW_USER",
    "Connection",
    "Dataset",
    "DatasetInput",
    "InputTag",
    "LoggedModelOutput",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Model",
    "Param",
    "RunTag",
    "SystemMetricsMonitor",
    "connect",
    "mlflow",
    "mlflow_errors",
    "without_secrets",
]

logger = logging.getLogger(__name__)

_USER_INFO = re.compile(r"://[^/\s]*@")
_QUERY = re.compile(r"(://[^\s?]*)\?\S*")


@dataclass(frozen=True)
class Connection:
    """A tracking store with its registry."""

    client: MlflowClient
    uri: str
    """May hold a password: show `without_secrets(uri)`."""
    artifacts: str | None
    """Where a new experiment keeps its files; None: the server decides."""


def connect(settings: Settings, workspace: Path) -> Connection:
    """The tracking store of the configuration, else SQLite and files in the workspace.

    Raises TrackingError where the store cannot be opened, StorageError where the workspace cannot be
    written.
    """
    configured = settings.tracking.uri
    if configured is None:
        with disk_errors(workspace):
            workspace.mkdir(parents=True, exist_ok=True)
    uri = configured or f"sqlite:///{workspace.resolve() / 'mlflow.db'}"
    artifacts = None if configured else (workspace.resolve() / "mlartifacts").as_uri()
    with mlflow_errors(uri):
        return Connection(MlflowClient(uri, uri), uri, artifacts)


@contextmanager
def mlflow_errors(uri: str) -> Iterator[None]:
    """Turns what MLflow, its database, its server or its artifact store raise into a TrackingError."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, RequestException, BotoCoreError, ClientError, Boto3Error,
            OSError) as error:  # fmt: skip
        text = without_secrets(str(error))
        logger.debug("%s: %s", type(error).__name__, text)
        # `from None`: the chained error's own text could show the password of the URI.
        raise TrackingError(
            f"MLflow at {without_secrets(uri)}: {_first_sentence(text) or type(error).__name__}. "
            f"{_remedy(text)}; then run again."
        ) from None


def _remedy(text: str) -> str:
    if "disk is full" in text or "No space left" in text:
        return "Free space there"
    return "Check tracking.uri, and that the server is up"


def without_secrets(text: str) -> str:
    """`text` without user names, passwords and query parts of the URIs in it."""
    return _QUERY.sub(r"\1?…", _USER_INFO.sub("://…@", text))


def _first_sentence(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return (line if len(line) <= 300 else f"{line[:300]}…").rstrip(". ")
