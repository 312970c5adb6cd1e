"""`debut demo`, the first thing that a new user runs: what the README says it shows is what it shows."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_demo_shows_each_verdict_and_a_rollback(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("debut")), "demo", "--json", "--workspace", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=1_500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6_000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["verdicts"] == ["PROMOTE", "REJECT", "INCONCLUSIVE"]
    assert "requests with a relevant new item are needed" in told["under_powered"]["sentence"]
    assert told["rolled_back_to"] == told["champion_digest"]
