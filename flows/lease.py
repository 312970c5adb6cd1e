"""One retrain, and one search of hyperparameters, per shop at a time; one process at a stage.

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
from pathlib import Path
from typing import TextIO

from components.contract.errors import OrchestrationError
from components.contract.files import disk_errors
from flows import console
from flows.shop import Shop

LEASE = "retrain.lock"
TUNE_LEASE = "tune.lock"


def retrain_lease(shop: Shop, run_id: str | None, what: str = "retrain") -> AbstractContextManager[None]:
    """Around a retrain, or what else no retrain may run beside (`what`; an act by hand has no run). Raises
    OrchestrationError, which names the holder."""
    return _lease(shop, run_id, LEASE, what)


def tune_lease(shop: Shop, run_id: str) -> AbstractContextManager[None]:
    """Around a search: who holds it knows that no other process runs the study's trials."""
    return _lease(shop, run_id, TUNE_LEASE, "tune")


@contextmanager
def stage_lease(record: Path, name: str) -> Iterator[None]:
    """Around what makes a stage, or finds it made. A retrain, a search and the monitor may need the same one:
    who comes second waits for the first instead of replacing a folder that is being read."""
    with _opened(record.with_name(f"{record.name}.lock")) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say(f"{name}: another process is at it; this one waits and takes what it makes.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _opened(path: Path) -> TextIO:
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")


@contextmanager
def _lease(shop: Shop, run_id: str | None, name: str, what: str) -> Iterator[None]:
    path = shop.workspace / name
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(path.read_text(), shop.settings.shop)
            raise OrchestrationError(
                f"{holder}: wait for it, or stop that process; the lock goes with it."
            ) from None
        file.truncate(0)
        holder_is = {"what": what, "run": run_id, "pid": os.getpid(), "host": socket.gethostname()}
        json.dump(holder_is | {"since": _now()}, file)
        file.flush()
        yield


def _holder(text: str, shop: str) -> str:
    try:
        told = json.loads(text)
    except ValueError:  # it was just taken
        return f"Something else of {shop} runs (it was just begun)"
    run = f"run {told['run']}, " if told["run"] else ""
    who = f"{run}process {told['pid']} on {told['host']}, since {told['since']}"
    return f"A {told.get('what', 'retrain')} of {shop} runs ({who})"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
