"""Who acts, as the decision log will name them."""

import getpass
import os
from typing import NoReturn

import pytest

from flows.shop import actor

LOGIN = ("LOGNAME", "USER", "LNAME", "USERNAME")


def test_the_job_names_the_actor_else_the_login_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEBUT_ACTOR first, then the login name, also where no variable holds it."""
    monkeypatch.setenv("DEBUT_ACTOR", "nightly job")
    assert actor() == "nightly job"
    monkeypatch.setenv("DEBUT_ACTOR", "")
    monkeypatch.setenv("LOGNAME", "mia")
    assert actor() == "mia"
    for name in LOGIN:
        monkeypatch.delenv(name, raising=False)
    import pwd

    assert actor() == pwd.getpwuid(os.getuid()).pw_name


def test_a_user_without_a_name_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a bare number."""

    def nobody() -> NoReturn:
        raise KeyError("getpwuid(): uid not found: 4242")

    monkeypatch.delenv("DEBUT_ACTOR", raising=False)
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert actor() == "unknown"
