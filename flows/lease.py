"""One retrain, and one search of hyperparameters, per shop at a time.

An advisory lock (flock) on a file of the workspace: the kernel frees it when its holder ends in whatever way,
so a dead worker holds nothing. What it cannot do is hold off a machine with a workspace of its own; there the
deployment's concurrency limit does, and the decision log fences every promotion.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from components.contract.errors import OrchestrationError
from components.contract.files import disk_errors
from flows.shop import Shop

LEASE = "retrain.lock"
TUNE_LEASE = "tune.lock"


def retrain_lease(shop: Shop, run_id: str) -> AbstractContextManager[None]:
    """Around a retrain. Raises OrchestrationError, which names the holder, where another one runs."""
    return _lease(shop, run_id, LEASE, "retrain")


def tune_lease(shop: Shop, run_id: str) -> AbstractContextManager[None]:
    """Around a search: who holds it knows that no other process runs the study's trials."""
    return _lease(shop, run_id, TUNE_LEASE, "tune")


@contextmanager
def _lease(shop: Shop, run_id: str, name: str, what: str) -> Iterator[None]:
    path = shop.workspace / name
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OrchestrationError(
                f"Another {what} of {shop.settings.shop} runs ({_holder(path.read_text())}): wait for it, "
                f"or stop that process; the lock goes with it."
            ) from None
        file.truncate(0)
        json.dump({"run": run_id, "pid": os.getpid(), "host": socket.gethostname(), "since": _now()}, file)
        file.flush()
        yield


def _holder(text: str) -> str:
    try:
        told = json.loads(text)
    except ValueError:  # it was just taken
        return "its holder has not said who it is yet"
    return f"run {told['run']}, process {told['pid']} on {told['host']}, since {told['since']}"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
