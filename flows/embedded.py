"""Environment of an embedded run: set before Prefect, MLflow or transformers is imported.

Nothing here overrides what the user set: with PREFECT_API_URL the run goes to that server.
"""

import os
from pathlib import Path

_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",  # its threads and the ranks' forks do not mix
    # A first start migrates the database: 14-18 s on two busy cores, and 20 s is the default limit.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}


def prepare_environment(workspace: Path, debug: bool) -> None:
    """Telemetry off; Prefect's database and results inside the workspace unless a server is named."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "PREFECT_API_URL" not in os.environ:
        os.environ.setdefault("PREFECT_HOME", str((workspace / "prefect").resolve()))
    if not debug:
        # Failures reach the user as one sentence from the command line; Prefect would print tracebacks.
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")
