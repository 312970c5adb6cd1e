"""Two processes, and S3's own answer, decide races here; nothing is simulated."""

import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from components.contract.errors import FencedError
from components.data.storage import open_store
from components.release.decision_log import DecisionLog

A, B, C = "a" * 64, "b" * 64, "c" * 64
ROOT = Path(__file__).parents[3]

# Reads the log, waits for the start signal with its decision in mind, then promotes against A.
RACER = """
import sys, time
from pathlib import Path
from components.contract.errors import FencedError
from components.data.storage import open_store
from components.release.decision_log import DecisionLog

folder, release, go = sys.argv[1:]
log = DecisionLog(open_store(folder))
expected = log.champion()
Path(go + release[0]).touch()
while not Path(go).exists():
    time.sleep(0.001)
try:
    record = log.append("promotion", release=release, actor="x", reason="y", run_id=release[:4],
                        expected_champion=expected)
    print("won", record.number)
except FencedError as error:
    print("lost", error)
"""

# Dies between writing the temporary file and giving it its name.
VICTIM = """
import os, signal, sys
from components.data.storage import open_store
from components.release.decision_log import DecisionLog

os.link = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
DecisionLog(open_store(sys.argv[1])).append("rejection", release="b" * 64, actor="x", reason="y")
"""


def start(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def first_promotion(log: DecisionLog) -> None:
    log.append("promotion", release=A, actor="x", reason="y", expected_champion=None)


def test_one_of_two_processes_wins(tmp_path):
    """Two processes that were judged against the same champion promote at once: exactly one wins, and the
    other is told by whom it was beaten."""
    log = DecisionLog(open_store(str(tmp_path / "log")))
    first_promotion(log)
    go = tmp_path / "go"
    racers = [start(RACER, str(tmp_path / "log"), release, str(go)) for release in (B, C)]
    while len(list(tmp_path.glob("go?"))) < 2:
        assert all(racer.poll() is None for racer in racers)
    go.touch()
    answers = [racer.communicate(timeout=60)[0] for racer in racers]
    assert sorted(answer.split()[0] for answer in answers) == ["lost", "won"]
    winner = (B, C)[[answer.startswith("won") for answer in answers].index(True)]
    loser = next(answer for answer in answers if answer.startswith("lost"))
    assert log.champion() == winner
    assert log.verify() == 2
    assert f"(run {winner[:4]}) in record 2" in loser


def test_writer_killed_before_its_record_has_a_name(tmp_path):
    """SIGKILL between the temporary file and its final name leaves a valid log that goes on."""
    folder = tmp_path / "log"
    log = DecisionLog(open_store(str(folder)))
    first_promotion(log)
    victim = start(VICTIM, str(folder))
    victim.communicate(timeout=60)
    assert victim.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 2  # record 1 and the victim's temporary file
    assert log.verify() == 1
    assert log.append("rejection", release=C, actor="x", reason="y").number == 2


@pytest.fixture
def bucket(moto_url, monkeypatch, request):
    """An empty prefix behind a real HTTP endpoint on a loopback port."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto_url)
    boto3.client("s3").create_bucket(Bucket="decisions")
    return f"s3://decisions/{request.node.name}"


def test_one_of_many_s3_writers_wins(bucket):
    """On S3 eight writers promote against the same champion: one wins, the others are fenced, and refusals
    written at the same time all get their numbers."""
    log = DecisionLog(open_store(bucket), clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    first_promotion(log)
    barrier = threading.Barrier(8)
    outcomes: list[str] = []

    def write(number: int) -> None:
        own = DecisionLog(open_store(bucket))
        barrier.wait()
        act = {"release": f"{number}" * 64, "actor": f"writer {number}", "reason": "…"}
        try:
            if number % 2:
                own.append("promotion", expected_champion=A, run_id=str(number), **act)
            else:
                own.append("rejection", **act)
            outcomes.append("written")
        except FencedError:
            outcomes.append("fenced")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == ["fenced"] * 3 + ["written"] * 5
    assert log.verify() == 6
    assert sum(record.kind == "promotion" for record in log.records()) == 2
