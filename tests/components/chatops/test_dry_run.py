"""A dry run goes the real way and reaches nobody."""

from typing import Any

import pytest

from components.chatops.dry_run import dry_run
from components.contract.operations import ChatSettings

RUN = "20261124-020000-abc123"


def test_a_dry_run_shows_the_reply_and_every_post(service: Any, settings: ChatSettings) -> None:
    before = len(service.recorder.posts)
    reply, answer = dry_run("champion", service.board, settings)
    assert reply["status"] == 200 and "`champion`: taken on" in reply["body"]
    assert answer["method"] == "/hooks/response"
    assert answer["text"].startswith("`cccccccccccc` serves since 2026-11-24")
    assert len(service.recorder.posts) == before


@pytest.mark.parametrize(
    ("text", "would"),
    [
        (
            "retrain because of the season",
            "ask for a retrain of the shop and tell its result here: of the season",
        ),
        (f"approve {RUN}", f"approve the challenger of run {RUN}, if it waits"),
        (
            f"reject {RUN} it loses brands",
            f"reject the challenger of run {RUN}, if it waits: it loses brands",
        ),
        ("rollback it fails", "roll back to the champion before this one: it fails"),
        ("rollback to 0123abcd it fails", "roll back to 0123abcd: it fails"),
    ],
)
def test_a_dry_run_changes_nothing_and_says_what_it_would_do(
    service: Any, settings: ChatSettings, text: str, would: str
) -> None:
    told = dry_run(text, service.board, settings)[-1]["text"]
    assert told == f"A dry run changes nothing. Given by slack:U0DRYRUN, this would {would}."
    assert service.board.acts == []


def test_a_dry_run_of_a_wrong_command_shows_the_refusal_alone(service: Any, settings: ChatSettings) -> None:
    (reply,) = dry_run("statsu", service.board, settings)
    assert "`/debut status` tells" in reply["body"]


def test_a_dry_run_of_a_retrain_shows_its_thread(service: Any, settings: ChatSettings) -> None:
    posts = dry_run("retrain", service.board, settings)
    assert [post["method"] for post in posts] == ["reply", "chat.postMessage", "chat.postMessage"]
    assert posts[2]["thread_ts"] == "1700000001.000000"
