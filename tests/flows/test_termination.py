"""Signals that end a command."""

import signal
import subprocess
import sys

import pytest

LOSE_A_SIGNAL = """
import os, signal, sys, time, weakref
from flows.termination import end_by_signals

end_by_signals()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
{handler}

class Held:
    pass

held = Held()
# As the import system frees its locks: the signal comes while a weak reference's callback runs.
freed = weakref.ref(held, lambda _: os.kill(os.getpid(), signal.{signal}))
del held
print("went on", flush=True)
try:
    time.sleep(20)
finally:
    print("cleaned up", flush=True)
"""
OURS = ""
PREFECTS = """
from prefect.exceptions import TerminationSignal

def _as_during_a_flow(number, frame):
    signal.signal(signal.SIGTERM, first)
    raise TerminationSignal(signal=number)

first = signal.signal(signal.SIGTERM, _as_during_a_flow)
"""


@pytest.mark.parametrize(
    ("name", "handler", "code"),
    [
        ("SIGTERM", OURS, 128 + signal.SIGTERM),
        ("SIGTERM", PREFECTS, 128 + signal.SIGTERM),
        ("SIGINT", OURS, -signal.SIGINT),
    ],
    ids=["ours", "prefect's", "ctrl-c"],
)
def test_a_signal_lost_in_a_callback_ends_the_command_all_the_same(
    name: str, handler: str, code: int
) -> None:
    """What a callback swallowed is sent again, and the command's `finally` runs."""
    program = LOSE_A_SIGNAL.format(handler=handler, signal=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:2] == ["went on", "cleaned up"]
    assert done.returncode == code


def test_other_errors_of_finalisers_are_shown_as_ever() -> None:
    """Only what a signal's handler raised is sent again."""
    program = (
        "from flows.termination import end_by_signals; end_by_signals()\n"
        "class Broken:\n    def __del__(self): raise ValueError('of the finaliser')\n"
        "held = Broken()\ndel held\nprint('went on')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "went on\n")
    assert "ValueError: of the finaliser" in done.stderr


@pytest.mark.parametrize(
    "fails",
    [
        "    try:\n        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    except SystemExit:\n        raise ValueError('a run that is not there')\n",
        "    raise TerminationSignal(signal=15)\n",
    ],
    ids=["as Prefect's engine makes a task run", "a signal of Prefect's, its server ended first"],
)
def test_what_fails_while_it_is_being_ended_has_ended_by_the_signal(fails: str) -> None:
    """Without a word: it is no failure."""
    program = (
        "import os, signal\n"
        "from flows import cli\n"
        "from prefect.exceptions import TerminationSignal\n"
        f"def fails(**_):\n{fails}"
        "cli.app = fails\n"
        "cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")
