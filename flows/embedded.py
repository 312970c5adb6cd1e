"""Environment of an embedded run: set before Prefect, MLflow or transformers is imported.

Nothing here overrides what the user set: with PREFECT_API_URL the run goes to that server.
"""

import os
from pathlib import Path

from components.contract.files import disk_errors

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


def prepare_environment(debug: bool) -> None:
    """Telemetry off and, unless debugging, the libraries quiet: a failure reaches the user as a sentence."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if not debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
        os.environ.setdefault("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL")


def keep_prefect_in(workspace: Path) -> None:
    """Prefect's database and results inside the workspace, unless a server or a home is named."""
    if "PREFECT_API_URL" in os.environ or "PREFECT_HOME" in os.environ:
        return
    home = workspace.resolve() / "prefect"
    with disk_errors(home):  # its server does not make a missing folder, and then waits in vain
        home.mkdir(parents=True, exist_ok=True)
    os.environ["PREFECT_HOME"] = str(home)
