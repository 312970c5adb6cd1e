"""Who acts."""

import getpass
import os

from components.contract.texts import as_utf8


def actor() -> str:
    """Who acts, for the decision log and MLflow: what the job that runs us says, else the login name."""
    named = os.environ.get("DEBUT_ACTOR")
    if named:
        return as_utf8(named)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        return "unknown"
