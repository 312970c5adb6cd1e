"""Which code a figure is of."""

import subprocess


def commit() -> str:
    """The short name of the commit; "-dirty" where files differ from it."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
