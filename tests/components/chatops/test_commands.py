"""The grammar: what each command means, and what a wrong one is answered."""

import pytest

from components.chatops.commands import MAX_REASON, USAGES, VERBS, Command, CommandError, is_run_id, parse


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", Command("help")),
        ("help", Command("help")),
        ("  STATUS ", Command("status")),
        ("drift", Command("drift")),
        ("champion", Command("champion")),
        ("compare", Command("compare")),
        ("retrain", Command("retrain")),
        ("retrain fashion", Command("retrain", shop="fashion")),
        (
            "retrain because prices  changed",
            Command("retrain", reason="prices changed"),
        ),
        (
            "retrain fashion Because of the season, because of stock",
            Command("retrain", shop="fashion", reason="of the season, because of stock"),
        ),
        ("approve 20261124-020000-abc123", Command("approve", run_id="20261124-020000-abc123")),
        ("approve `r1`", Command("approve", run_id="r1")),
        ("reject r1 it loses brands", Command("reject", run_id="r1", reason="it loses brands")),
        ("rollback searches fail", Command("rollback", reason="searches fail")),
        (
            "rollback to `0123ABCDEF45` searches fail",
            Command("rollback", reason="searches fail", to="0123abcdef45"),
        ),
    ],
)
def test_a_command_is_understood(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("retrian", "retrain"),
        ("stats", "status"),
        ("aprove r1", "approve"),
        ("roll back now", "rollback"),
        ("xyzzy", "help"),
        ("status now", "status"),
        ("retrain fashion the season", "retrain"),
        ("retrain Fashion!", "retrain"),
        ("retrain because", "retrain"),
        ("approve", "approve"),
        ("approve r1 please", "approve"),
        ("approve ../../etc/passwd", "approve"),
        ("reject r1", "reject"),
        ("rollback", "rollback"),
        ("rollback to", "rollback"),
        ("rollback to 0123abcdef45", "rollback"),
        ("rollback to yesterday's release", "rollback"),
    ],
)
def test_a_wrong_command_gets_the_usage_of_the_nearest_one(text: str, nearest: str) -> None:
    with pytest.raises(CommandError) as refused:
        parse(text)
    assert USAGES[nearest] in str(refused.value)  # type: ignore[index]


def test_a_reason_that_is_too_long_is_refused_with_its_length() -> None:
    with pytest.raises(CommandError, match="1,001 characters"):
        parse("rollback " + "x" * (MAX_REASON + 1))


def test_a_run_id_holds_no_path() -> None:
    assert is_run_id("20261124-020000-abc123")
    assert not any(is_run_id(text) for text in ("", "..", "a/b", "-a", "a\n", "a" * 101))


def test_every_verb_has_a_usage() -> None:
    assert tuple(USAGES) == VERBS
