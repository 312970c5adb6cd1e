"""A shop as the commands open it: the demo's files, and who acts."""

import getpass
import os
from pathlib import Path
from typing import NoReturn

import pytest

from components.contract.errors import ConfigError, StorageError
from flows.deploy import _values
from flows.shop import actor, open_shop

LOGIN = ("LOGNAME", "USER", "LNAME", "USERNAME")


def test_the_job_names_the_actor_else_the_login_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """DEBUT_ACTOR first, then the login name, also where no variable holds it."""
    monkeypatch.setenv("DEBUT_ACTOR", "nightly job")
    assert actor() == "nightly job"
    monkeypatch.setenv("DEBUT_ACTOR", "nightly \udcff")
    assert actor() == "nightly ?"
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


def test_the_demo_generates_its_files_once_and_needs_no_root(tmp_path: Path) -> None:
    """`debut check | retrain --config demo`, as `debut demo` itself."""
    shop = open_shop("demo", None, str(tmp_path))
    assert shop.root == shop.workspace / "shop"
    digests = shop.source_digests()
    assert set(digests) == set(shop.settings.sources)
    written = {path: path.stat().st_mtime_ns for path in shop.root.iterdir()}
    assert shop.source_digests() == digests
    assert {path: path.stat().st_mtime_ns for path in shop.root.iterdir()} == written


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?"])
def test_a_workspace_that_is_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    """polars would read other files in place of those in it."""
    with pytest.raises(ConfigError, match="choose another"):
        open_shop("demo", None, str(tmp_path / name))


def test_a_deployed_example_is_generated_where_the_worker_runs(tmp_path: Path) -> None:
    """What `debut deploy` hands on opens the same shop."""
    shop = open_shop("demo", None, str(tmp_path))
    values = _values(shop, "demo", None, "process")
    there = open_shop(values["DEBUT_CONFIG"], values["DEBUT_ROOT"], values["DEBUT_WORKSPACE"])
    assert (there.root, there.generated) == (shop.root, True)
    assert _values(shop, "demo", str(tmp_path), "process")["DEBUT_ROOT"] == str(tmp_path.resolve())


def test_nothing_is_generated_into_a_folder_of_the_users(tmp_path: Path) -> None:
    """With --root the files are the user's own, and what is missing is named."""
    with pytest.raises(StorageError, match=r"items\.jsonl\.gz: there is no such file"):
        open_shop("demo", str(tmp_path), str(tmp_path / "work")).source_digests()
    assert not list(tmp_path.iterdir())
