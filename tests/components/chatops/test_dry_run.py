"""A dry run goes the real way and reaches nobody."""

from typing import Any

from components.chatops.dry_run import dry_run
from components.contract.operations import ChatSettings

RUN = "20261124-020000-abc123"


def test_a_dry_run_shows_the_reply_and_every_post(service: Any, settings: ChatSettings) -> None:
    before = len(service.recorder.posts)
    reply, answer, one, two = dry_run(f"approve {RUN}", service.board, settings)
    assert reply["status"] == 200 and "`approve`: taken on" in reply["body"]
    assert answer["method"] == "/hooks/response"
    assert answer["text"].startswith("`cccccccccccc` was promoted by slack:U0DRYRUN")
    assert (one["method"], two["method"]) == ("/hooks/webhook/1", "/hooks/webhook/2")
    assert len(service.recorder.posts) == before


def test_a_dry_run_of_a_wrong_command_shows_the_refusal_alone(service: Any, settings: ChatSettings) -> None:
    (reply,) = dry_run("statsu", service.board, settings)
    assert "`/debut status` tells" in reply["body"]


def test_a_dry_run_of_a_retrain_shows_its_thread(service: Any, settings: ChatSettings) -> None:
    posts = dry_run("retrain", service.board, settings)
    assert [post["method"] for post in posts] == ["reply", "chat.postMessage", "chat.postMessage"]
    assert posts[2]["thread_ts"] == "1700000001.000000"
