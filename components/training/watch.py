"""A rank's tie to its launcher: no launcher, no training.

A killed torchrun leaves its ranks alive, so they look after themselves: every rank polls a file that the
launcher holds locked. The kernel frees the lock when the launcher's process ends, however it ends; unlike a
process number it is never given to another, and a zombie does not hold it. This module imports nothing
heavy, since the watch starts before torch is loaded.
"""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = "launcher.lock"
POLL_SECONDS = 0.5
ORPHANED = 75
"""Exit code of a rank without a launcher (EX_TEMPFAIL: try again)."""


@contextmanager
def launcher_lock(attempt: Path) -> Iterator[None]:
    """Held by the launcher for as long as its ranks may run."""
    with (attempt / LOCK).open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def watch_launcher(attempt: Path) -> None:
    """Ends this process, at once and without clean-up, as soon as it is `orphaned`."""

    def watch() -> None:
        while (reason := orphaned(attempt)) is None:
            time.sleep(POLL_SECONDS)
        sys.stderr.write(f"stopped: {reason}\n")
        sys.stderr.flush()
        os._exit(ORPHANED)

    threading.Thread(target=watch, daemon=True, name="watch-launcher").start()


def orphaned(attempt: Path) -> str | None:
    """Why an attempt's ranks must stop; None while they may go on."""
    if newest_attempt(attempt.parent) != attempt.name:
        return "a later attempt has taken over"
    try:
        with (attempt / LOCK).open("r") as file:
            # Several ranks may ask at a time: a shared lock is refused by the launcher's exclusive one only.
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return None
    except FileNotFoundError:
        return "the attempt's folder is gone"
    return "the launcher is gone"


def newest_attempt(attempts: Path) -> str | None:
    """Name of the attempt that owns the run: the highest-numbered one."""
    names = [path.name for path in attempts.glob("[0-9]*")] if attempts.is_dir() else []
    return max(names, key=int, default=None)
