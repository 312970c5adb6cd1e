"""Environment of an embedded run: set before Prefect, MLflow or transformers is imported.

Nothing here overrides what the user set: with PREFECT_API_URL the run goes to that server.
"""

import logging
import os
import shutil
from pathlib import Path

from components.contract.errors import StorageError
from components.contract.files import disk_errors

MIN_FREE_BYTES = 50_000_000

_QUIET = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",  # its threads and the ranks' forks do not mix
    # OpenMP threads that wait spin by default: on cores shared with others four times slower (measured).
    "OMP_WAIT_POLICY": "PASSIVE",
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
        # Prefect's handler prints what libraries log that set a level of their own (bm25s: DEBUG).
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # it logs a traceback, then raises
        # Not under Prefect's own loggers: "Still processing items" where a command ends before its events do.
        logging.getLogger("EventsWorker").setLevel(logging.ERROR)


def keep_prefect_in(workspace: Path) -> None:
    """Prefect's database and results inside the workspace, unless a server or a home is named.

    Called before Prefect is imported. Raises StorageError where the workspace cannot be written or is nearly
    full: Prefect's server would then wait for itself in vain.
    """
    if "PREFECT_API_URL" in os.environ or "PREFECT_HOME" in os.environ:
        return
    home = workspace.resolve() / "prefect"
    with disk_errors(home):  # its server does not make a missing folder, and then waits in vain
        home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(home).free
    if free < MIN_FREE_BYTES:
        raise StorageError(
            f"{workspace}: {free / 1e6:.0f} MB are free, and the databases of a run alone need "
            f"{MIN_FREE_BYTES / 1e6:.0f}. Free space there, or give --workspace on another disk."
        )
    os.environ["PREFECT_HOME"] = str(home)
