"""What was accepted already is known to every replica, for as long as it could come again."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.chatops.nonces import LIFETIMES, Nonces
from components.contract.errors import StorageError


def test_a_name_counts_once_among_many_threads_of_two_replicas(tmp_path: Path) -> None:
    replicas = [Nonces(tmp_path, 300), Nonces(tmp_path, 300)]
    with ThreadPoolExecutor(8) as threads:
        firsts = list(threads.map(lambda n: replicas[n % 2].first("v0=abc"), range(32)))
    assert firsts.count(True) == 1


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    assert Nonces(tmp_path, 300).first("v0=abc")
    assert not Nonces(tmp_path, 300).first("v0=abc")


def test_other_names_are_first_too(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path, 300)
    assert nonces.first("a") and nonces.first("b") and nonces.first("../a")
    assert all(path.parent == tmp_path for path in tmp_path.rglob("*"))


def test_the_first_answer_stays(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path, 300)
    assert nonces.answer("a") is None
    nonces.keep_answer("a", b"one")
    nonces.keep_answer("a", b"two")
    assert Nonces(tmp_path, 300).answer("a") == b"one"


def test_expired_names_are_taken_out_and_others_stay(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path, 300)
    nonces.first("old")
    nonces.keep_answer("old", b"answer")
    for path in tmp_path.iterdir():
        past = time.time() - LIFETIMES * 300 - 1
        os.utime(path, (past, past))
    nonces.first("young")
    later = Nonces(tmp_path, 300)
    assert not later.first("young")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_name_is_kept_while_a_request_dated_ahead_is_still_accepted(tmp_path: Path) -> None:
    Nonces(tmp_path, 300).first("ahead")
    for path in tmp_path.iterdir():
        past = time.time() - 2 * 300 - 1
        os.utime(path, (past, past))
    assert not Nonces(tmp_path, 300).first("ahead")


def test_nobody_is_first_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Nonces(tmp_path / "file" / "nonces", 300).first("a")
