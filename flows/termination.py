"""Signals that end a command, so that none of them is lost.

A handler that raises is lost where Python ignores exceptions: in a finaliser or a weak reference's callback,
such as the one that frees an import lock. The command would go on as if nobody had asked it to end (seen:
Prefect's handler during an import). What was lost so is sent again. And what fails while it is being ended
has ended by the signal (seen: Prefect's engine, ended as it makes a task run, fails over the run it lacks).
"""

import os
import signal
import sys
import threading
from typing import Any, NoReturn

SECONDS_UNTIL_AGAIN = 0.05


def end_by_signals() -> None:
    """SIGTERM ends us by way of `finally` and atexit, or the ranks and Prefect's server would live on."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _send_again


def _terminate(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def signal_behind(error: BaseException | None) -> int | None:
    """The signal that was being handled when this was raised, if any."""
    while error is not None:
        number = _signal_of(error)
        if number is not None:
            return number
        error = error.__context__
    return None


def _send_again(ignored: "sys.UnraisableHookArgs") -> None:
    lost = _signal_of(ignored.exc_value)
    if lost is None:
        sys.__unraisablehook__(ignored)
        return
    # Not from here: it would be raised inside this hook, where exceptions are ignored, too.
    again = threading.Timer(SECONDS_UNTIL_AGAIN, os.kill, (os.getpid(), lost))
    again.daemon = True
    again.start()


def _signal_of(error: BaseException | None) -> int | None:
    """The signal whose handler raised this: ours, Python's own, or the one Prefect sets during a flow."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    if isinstance(error, SystemExit) and error.code == 128 + signal.SIGTERM:
        return signal.SIGTERM
    prefect: Any = sys.modules.get("prefect.exceptions")
    return signal.SIGTERM if prefect is not None and isinstance(error, prefect.TerminationSignal) else None
