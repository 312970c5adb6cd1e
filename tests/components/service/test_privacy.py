"""Pseudonyms and sealed queries for the traffic log."""

import base64
import multiprocessing
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import ConfigError, StorageError
from components.service.privacy import LogPrivacy

SECRET = bytes(range(64))
ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


@given(text=ANY_TEXT)
def test_a_sealed_text_opens_to_itself(text: str) -> None:
    """Any text, half surrogate pairs too."""
    privacy = LogPrivacy(SECRET)
    sealed = privacy.seal(text)
    assert sealed is not None
    assert privacy.open(sealed) == text


@given(user=ANY_TEXT)
def test_a_pseudonym_is_stable_and_hides_the_user(user: str) -> None:
    """32 hex digits, the same from another instance with the secret, another under another secret."""
    pseudonym = LogPrivacy(SECRET).pseudonym(user)
    assert len(pseudonym) == 32
    assert int(pseudonym, 16) >= 0
    assert LogPrivacy(SECRET).pseudonym(user) == pseudonym
    assert LogPrivacy(SECRET[::-1]).pseudonym(user) != pseudonym
    assert LogPrivacy(SECRET).pseudonym(user + "x") != pseudonym


def test_equal_queries_look_different_and_hold_no_text() -> None:
    """Whoever reads the log cannot count how often a query came."""
    privacy = LogPrivacy(SECRET)
    first, second = privacy.seal("gift for my husband"), privacy.seal("gift for my husband")
    assert first is not None
    assert first != second
    assert b"husband" not in base64.urlsafe_b64decode(first)


def test_dropped_texts_are_not_sealed_but_older_ones_still_open() -> None:
    """`seal` gives None; a change of mode loses nothing that is there."""
    sealed = LogPrivacy(SECRET, "encrypted").seal("lamp")
    dropping = LogPrivacy(SECRET, "dropped")
    assert dropping.seal("lamp") is None
    assert sealed is not None
    assert dropping.open(sealed) == "lamp"


def test_a_changed_text_or_another_secret_is_an_error() -> None:
    """Never a wrong text."""
    sealed = LogPrivacy(SECRET).seal("lamp")
    assert sealed is not None
    other = "A" if sealed[20] != "A" else "B"
    for wrong in (sealed[:20] + other + sealed[21:], sealed[:-4], "", "nonsense", "é"):
        with pytest.raises(StorageError, match="does not open"):
            LogPrivacy(SECRET).open(wrong)
    with pytest.raises(StorageError, match="does not open"):
        LogPrivacy(SECRET[::-1]).open(sealed)


def test_both_keys_differ_from_each_other_and_from_the_secret() -> None:
    """A pseudonym made with the sealing key, or with the bare secret, would be another one."""
    privacy = LogPrivacy(SECRET)
    assert privacy._pseudonym_key not in SECRET
    sealing = privacy._fernet._signing_key + privacy._fernet._encryption_key
    assert len(privacy._pseudonym_key) == len(sealing) == 32
    assert privacy._pseudonym_key != sealing


def test_a_missing_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """64 random bytes with mode 0600; the next opening reads the same ones."""
    path = tmp_path / "private" / "log.key"
    privacy = LogPrivacy.from_file(path)
    assert len(path.read_bytes()) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["log.key"]
    assert LogPrivacy.from_file(path).pseudonym("u") == privacy.pseudonym("u")
    assert LogPrivacy.from_file(tmp_path / "other.key").pseudonym("u") != privacy.pseudonym("u")


def _pseudonym(path: Path) -> str:
    return LogPrivacy.from_file(path).pseudonym("u")


def test_replicas_that_start_together_share_one_secret(tmp_path: Path) -> None:
    """Whoever makes the file first decides; the others read it."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert len(set(pool.map(_pseudonym, [tmp_path / "log.key"] * 16))) == 1


def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path) -> None:
    """It is not replaced: a new secret would not open what the old one sealed."""
    path = tmp_path / "log.key"
    path.write_bytes(b"short")
    with pytest.raises(StorageError, match=r"log\.key: 5 bytes"):
        LogPrivacy.from_file(path)
    assert path.read_bytes() == b"short"


def test_the_secret_may_come_as_base64() -> None:
    """As `openssl rand -base64 64` prints it, line breaks included."""
    text = base64.encodebytes(SECRET).decode()
    assert "\n" in text.strip()
    assert LogPrivacy.from_text(text).pseudonym("u") == LogPrivacy(SECRET).pseudonym("u")


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(SECRET[:32]).decode(), "ä"])
def test_another_text_is_no_secret(text: str) -> None:
    """One sentence that says what to do and does not repeat the text."""
    with pytest.raises(ConfigError, match="openssl rand") as error:
        LogPrivacy.from_text(text)
    assert not text or text not in str(error.value)


def test_an_unknown_mode_is_refused() -> None:
    """A misspelt "dropped" must not mean "encrypted", nor the other way round."""
    with pytest.raises(ConfigError, match="'drop'"):
        LogPrivacy(SECRET, "drop")
