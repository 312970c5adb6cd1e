"""A shop as the commands open it: the demo's files, and who acts."""

import getpass
import os
from pathlib import Path
from typing import NoReturn

import pytest

from components.contract.acting import actor
from components.contract.errors import ConfigError, StorageError
from components.contract.live import LiveItem
from components.index.items_table import ItemsTable
from flows.deploy import _values
from flows.serving import _privacy, shop_keys
from flows.shop import open_shop
from flows.undiscoverable import live_changes

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


def test_a_path_may_begin_with_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the home folder in every path of debut.yaml: the service and those who read after it agree."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DEBUT_LOG_SECRET", raising=False)
    (tmp_path / "debut.yaml").write_text(
        "shop: a\ntables: {items: SELECT 1}\nworkspace: ~/work\nserving: {live: ~/live, traffic: ~/traffic, "
        "key_file: ~/keys.json, log_secret: ~/secret}\n"
    )
    shop = open_shop(str(tmp_path / "debut.yaml"), None, None)
    assert shop.workspace == tmp_path / "work" / "a"
    assert shop.traffic == tmp_path / "traffic"
    ItemsTable.open("~/live").upsert([LiveItem(item_id="x", title="oak")])
    assert [change.item_id for change in live_changes(shop)] == ["x"]
    shop_keys(shop).add("till", "read")
    assert (tmp_path / "keys.json").is_file()
    _privacy(shop)
    assert (tmp_path / "secret").is_file()


def test_a_deployed_run_finds_what_lies_beside_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker runs in a temporary folder; decision log, live items, traffic log and keys are the same."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    home.mkdir()
    elsewhere.mkdir()
    (home / "debut.yaml").write_text(
        "shop: a\ntables: {items: SELECT 1}\nworkspace: work\ndecisions: log\n"
        "serving: {live: live, traffic: ../traffic, key_file: keys.json, log_secret: secret}\n"
        "signing: {private_key: keys/signing.key, public_key: keys/signing.pub}\n"
    )
    monkeypatch.chdir(home)
    shop = open_shop("debut.yaml", None, None)
    shop.decision_log().append("role_change", release=None, actor="me", reason="for a test")
    values = _values(shop, "debut.yaml", None, "process")
    monkeypatch.chdir(elsewhere)
    there = open_shop(values["DEBUT_CONFIG"], values["DEBUT_ROOT"], values["DEBUT_WORKSPACE"])
    assert len(there.decision_log().records()) == 1
    assert there.settings == shop.settings
    assert there.decisions == str(home / "log") and there.live_items == str(home / "live")
    assert there.traffic.resolve() == tmp_path / "traffic"
    shop_keys(there).add("till", "read")
    assert (home / "keys.json").is_file() and not list(elsewhere.iterdir())
    assert there.settings.signing.public_key == str(home / "keys/signing.pub")


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


def test_a_home_folder_of_nobody_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"~nosuchuser/x: this machine knows no home folder"):
        open_shop("demo", None, "~nosuchuser/x")


def test_nothing_is_generated_into_a_folder_of_the_users(tmp_path: Path) -> None:
    """With --root the files are the user's own, and what is missing is named."""
    with pytest.raises(StorageError, match=r"items\.jsonl\.gz: there is no such file"):
        open_shop("demo", str(tmp_path), str(tmp_path / "work")).source_digests()
    assert not list(tmp_path.iterdir())
