"""The service does what its OpenAPI document says, for requests that schemathesis makes up from it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = 15
TITLES = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("chair", "lamp", "mug")]
# A program of its own: schemathesis 4.32's plugin does not start with pytest 9.
COMMAND = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]

# What the document cannot say; without it such a request would count as one that must be accepted.
HOOKS = '''
from collections.abc import Mapping

import schemathesis

def number(value):
    try:
        return float(value)
    except (TypeError, ValueError):
        return None

@schemathesis.hook
def filter_case(context, case):
    """min_price at most max_price: OpenAPI does not compare two values."""
    filters = case.body.get("filters") if isinstance(case.body, dict) else case.query
    filters = dict(filters) if isinstance(filters, Mapping) else {}
    low, high = number(filters.get("min_price")), number(filters.get("max_price"))
    return low is None or high is None or low <= high
'''


@pytest.fixture
def shop(make_candidate: Callable[..., str], releases, service):
    """Searches need a key here, so that the documented 401 can be checked too."""
    releases.promote(make_candidate(TITLES))
    return service(socket=True, anonymous_read=False)


def test_the_service_keeps_to_its_document(shop, tmp_path: Path) -> None:
    """No 5xx; documented statuses, content types and bodies; what fits the document is accepted and what
    does not is refused; keys are asked for; other methods are 405. All of schemathesis' checks."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "schemathesis.toml").write_text(
        f"""
        seed = 1
        hooks = "hooks"
        color = false
        continue-on-failure = true
        headers = {{ Authorization = {json.dumps(shop.keys["write"]["Authorization"])} }}
        [generation]
        max-examples = {EXAMPLES}
        deterministic = true
        """
    )
    run = subprocess.run(
        [*COMMAND, "run", f"{shop.url}/openapi.json", "--checks", "all"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
