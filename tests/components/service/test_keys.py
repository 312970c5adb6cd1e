"""API keys: secrets are shown once, roles include each other, a revocation acts at once."""

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from components.contract.errors import ConfigError, StorageError
from components.service.keys import KeyRecord, Keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "private" / "keys.json"


def test_a_new_keys_secret_authenticates_and_is_in_no_file(path: Path) -> None:
    """What `add` returns names the key; neither it nor its random part is on disk."""
    keys = Keys.open(path)
    secret = keys.add("web shop", "write")
    record = keys.authenticate(secret)
    assert record is not None
    assert (record.name, record.role, record.revoked) == ("web shop", "write", False)
    assert secret.startswith(f"debut_{record.id}_")
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert record.id.encode() in written
    assert secret.split("_", 2)[2].encode() not in written


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    """Mode 0600 after every change, and no temporary file stays."""
    keys = Keys.open(path)
    keys.add("a", "read")
    keys.revoke(keys.list()[0].id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {file.name for file in path.parent.iterdir()} == {"keys.json", ".keys.json.lock"}


@pytest.mark.parametrize(
    ("held", "allowed"),
    [("read", {"read"}), ("write", {"read", "write"}), ("operate", {"read", "write", "operate"})],
)
def test_operate_includes_write_includes_read(path: Path, held: str, allowed: set[str]) -> None:
    """A role allows itself and the lower ones, and nothing above."""
    keys = Keys.open(path)
    record = keys.authenticate(keys.add("someone", held))
    assert record is not None
    assert {role for role in ("read", "write", "operate") if record.allows(role)} == allowed


def test_wrong_secrets_do_not_authenticate(path: Path) -> None:
    """A changed, shortened, foreign or malformed secret gives None, as an unknown id does."""
    keys = Keys.open(path)
    secret, other = keys.add("a", "read"), keys.add("b", "operate")
    swapped = "_".join([*secret.split("_", 2)[:2], other.split("_", 2)[2]])
    last = "A" if secret[-1] != "A" else "B"
    for wrong in (
        swapped,
        secret[:-1] + last,
        secret[:-1],
        secret + "A",
        f" {secret}",
        "",
        "é\ud800",
        "debut_",
    ):
        assert keys.authenticate(wrong) is None, wrong
    assert keys.authenticate("debut_00000000_" + "A" * 43) is None


def test_an_unknown_id_is_compared_like_a_wrong_secret(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both take one constant-time comparison of two digests of equal length."""
    keys = Keys.open(path)
    secret = keys.add("a", "read")
    compared: list[tuple[int, int]] = []

    def watch(left: str, right: str) -> bool:
        compared.append((len(left), len(right)))
        return False

    monkeypatch.setattr("components.service.keys.hmac.compare_digest", watch)
    for wrong in (secret[:-2] + "AA", "debut_00000000_" + "A" * 43, "nonsense"):
        assert keys.authenticate(wrong) is None
    assert compared == [(64, 64)] * 3


def test_a_revocation_acts_on_a_running_server(path: Path) -> None:
    """Another process' `revoke` and `add` hold from the very next call on."""
    server, command = Keys.open(path), Keys.open(path)
    secret = command.add("a", "read")
    record = server.authenticate(secret)
    assert record is not None
    command.revoke(record.id)
    assert server.authenticate(secret) is None
    assert server.list()[0].revoked
    assert server.authenticate(command.add("b", "read")) is not None


def test_removing_the_file_refuses_everybody(path: Path) -> None:
    """No file means no key, and without a key every request is refused."""
    keys = Keys.open(path)
    assert keys.authenticate("debut_00000000_" + "A" * 43) is None
    secret = keys.add("a", "read")
    path.unlink()
    assert keys.authenticate(secret) is None


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}[",
        b"[]",
        b'{"keys": 3}',
        b'{"keys": [{"id": "0000000g"}]}',
        b'{"keys": [], "open": true}',
    ],
)
def test_a_damaged_file_is_an_error_for_every_call(path: Path, damage: bytes) -> None:
    """At start, and on a running server that still remembers the older file."""
    keys = Keys.open(path)
    secret = keys.add("a", "read")
    path.write_bytes(damage)
    calls = [
        lambda: Keys.open(path),
        lambda: keys.authenticate(secret),
        keys.list,
        lambda: keys.add("b", "read"),
        lambda: keys.revoke("00000000"),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"keys\.json: no readable key file"):
            call()
    assert path.read_bytes() == damage


def test_two_keys_with_one_id_are_damage(path: Path) -> None:
    """Which of them would hold is not guessed."""
    Keys.open(path).add("a", "read")
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({"keys": stored["keys"] * 2}))
    with pytest.raises(StorageError, match="same id"):
        Keys.open(path)


def test_an_unreadable_file_is_an_error(path: Path) -> None:
    """A folder in its place stands for all that the operating system refuses."""
    path.mkdir(parents=True)
    with pytest.raises(StorageError, match=r"keys\.json"):
        Keys.open(path)


def test_the_list_shows_neither_secrets_nor_hashes(path: Path) -> None:
    """Oldest first, revoked ones too."""
    keys = Keys.open(path)
    secrets = [keys.add(name, "read") for name in ("first", "second")]
    shown = keys.list()
    assert [record.name for record in shown] == ["first", "second"]
    assert all(type(record) is KeyRecord for record in shown)
    text = repr(shown)
    assert not any(secret[15:] in text for secret in secrets)
    assert not any(entry["sha256"] in text for entry in json.loads(path.read_text())["keys"])


@pytest.mark.parametrize(
    ("name", "role"), [("", "read"), ("a\nb", "read"), ("x" * 101, "read"), ("a", "root")]
)
def test_a_nameless_key_or_unknown_role_is_refused(path: Path, name: str, role: str) -> None:
    """With one sentence, and nothing is written."""
    with pytest.raises(ConfigError):
        Keys.open(path).add(name, role)
    assert not path.exists()


def test_revoking_an_unknown_key_says_so(path: Path) -> None:
    """A typing error in the id must not look like a revocation."""
    keys = Keys.open(path)
    keys.add("a", "read")
    with pytest.raises(ConfigError, match="no key has the id 'ffff'"):
        keys.revoke("ffff")


def test_keys_made_at_the_same_time_are_all_kept(path: Path) -> None:
    """Each writer opens the file for itself, as separate commands do; no change is lost."""
    start = threading.Barrier(4)

    def make(number: int) -> None:
        keys = Keys.open(path)
        start.wait()
        for turn in range(5):
            keys.add(f"{number}-{turn}", "read")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Keys.open(path).list()) == 20


def test_a_file_with_the_same_size_and_time_is_still_seen_as_new(path: Path) -> None:
    """The inode tells two files apart whose clock and length do not."""
    keys = Keys.open(path)
    secret = keys.add("a", "read")
    assert keys.authenticate(secret) is not None
    before = path.stat()
    changed = path.read_text().replace('"name":"a"', '"name":"b"')
    (path.parent / "new").write_text(changed)
    os.utime(path.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (path.parent / "new").replace(path)
    record = keys.authenticate(secret)
    assert record is not None
    assert record.name == "b"
