"""The watch: a process without its launcher ends itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from components.training.watch import ORPHANED, newest_attempt, orphaned

HOLD = """
import sys, time
from pathlib import Path
from components.training.watch import launcher_lock
with launcher_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""
WATCH = """
import sys, time
from pathlib import Path
from components.training.watch import watch_launcher
watch_launcher(Path(sys.argv[1]))
print("watching", flush=True)
time.sleep(60)
"""


def _start(code: str, attempt: Path, word: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(attempt)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == word
    return process


def _attempt(folder: Path, name: str = "0001") -> Path:
    attempt = folder / "attempts" / name
    attempt.mkdir(parents=True)
    return attempt


def test_a_killed_launcher_takes_its_ranks_along(tmp_path: Path) -> None:
    """SIGKILL frees the lock – while the launcher is still a zombie, too – and the watching process ends."""
    attempt = _attempt(tmp_path)
    launcher = _start(HOLD, attempt, "locked")
    rank = _start(WATCH, attempt, "watching")
    assert orphaned(attempt) is None
    launcher.send_signal(signal.SIGKILL)  # not waited for: it stays a zombie until the end of this test
    _, errors = rank.communicate(timeout=20)
    assert rank.returncode == ORPHANED
    assert "the launcher is gone" in errors
    launcher.communicate()


def test_a_later_attempt_stops_the_earlier_ones_ranks(tmp_path: Path) -> None:
    """A rival launcher fences the ranks of the first, although that one lives."""
    attempt = _attempt(tmp_path)
    launcher = _start(HOLD, attempt, "locked")
    rank = _start(WATCH, attempt, "watching")
    _attempt(tmp_path, "0002")
    _, errors = rank.communicate(timeout=20)
    assert rank.returncode == ORPHANED
    assert "a later attempt has taken over" in errors
    launcher.kill()
    launcher.communicate()


def test_without_a_launcher_there_is_no_training(tmp_path: Path) -> None:
    """A missing lock or folder counts as orphaned; numbers, not names, say which attempt is newest."""
    attempt = _attempt(tmp_path, "9999")
    assert orphaned(attempt) == "the attempt's folder is gone"
    _attempt(tmp_path, "10000")
    assert newest_attempt(attempt.parent) == "10000"
    assert newest_attempt(tmp_path / "nowhere") is None
