"""Mattermost's slash command: the same commands by its token."""

import time
from base64 import b64encode
from typing import Any

import pytest

OPERATOR, READER, STRANGER = "U0OPERATOR", "U0READER", "U0STRANGER"
RUN = "20261124-020000-abc123"


def trigger_id(age: float) -> str:
    made = int((time.time() - age) * 1000)
    return b64encode(f"id:user:{made}:c2ln".encode()).decode()


def test_a_command_is_acknowledged_and_answered_at_its_response_url(service: Any) -> None:
    reply = service.mattermost("drift", READER)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["response_type"] == "ephemeral"
    assert service.answer("mattermost").startswith("Drift in the window to 2026-11-24 02:00 UTC: Queries")


def test_the_actor_is_mattermosts(service: Any) -> None:
    service.mattermost(f"approve {RUN}")
    service.answer("mattermost")
    assert service.board.acts == [("approve", RUN, "mattermost:U0APPROVER")]


def test_a_retrain_has_no_slack_thread(service: Any) -> None:
    service.mattermost("retrain because of the season", OPERATOR)
    assert service.answer("mattermost").startswith("@ada asks for a retrain: of the season\nRun `retrain 7`")
    assert service.board.acts == [("retrain", None, "of the season", "mattermost:U0OPERATOR", None)]
    assert not [post for post in service.recorder.posts if post["method"] == "chat.postMessage"]


@pytest.mark.parametrize("token", ["", "wrong", "mattermost-token-of-test", "tökén"])
def test_another_token_is_refused(service: Any, token: str) -> None:
    reply = service.mattermost("rollback it fails", token=token)
    assert reply.status_code == 401
    assert reply.json()["detail"] == "The token is not this command's."
    assert service.board.acts == []


def test_a_body_of_no_commands_size_is_refused(service: Any) -> None:
    """413 by its bytes; 400 by its fields, which are counted before they are parsed."""
    large = service.client.post("/chat/mattermost", content=b"text=" + b"x" * 200_000)
    assert large.status_code == 413
    assert "over 100000 bytes" in large.json()["detail"]
    fields = service.client.post("/chat/mattermost", content=b"&".join([b"a=1"] * 51))
    assert (fields.status_code, fields.json()["detail"]) == (400, "The body is not one of Mattermost's.")


def test_a_replay_is_refused_by_its_trigger_id(service: Any) -> None:
    trigger = trigger_id(0)
    assert service.mattermost("rollback it fails", trigger_id=trigger).status_code == 200
    assert service.mattermost("rollback it fails", trigger_id=trigger).status_code == 409
    service.answer("mattermost")
    assert len(service.board.acts) == 1


@pytest.mark.parametrize(
    "trigger", ["", "no base64!", b64encode(b"one:two").decode(), b64encode(b"a:b:inf:c").decode(), None]
)
def test_a_trigger_id_that_is_unreadable_or_old_is_refused(service: Any, trigger: str | None) -> None:
    reply = service.mattermost("status", trigger_id=trigger_id(360) if trigger is None else trigger)
    assert reply.status_code == 401
    assert reply.json()["detail"] == "The request's trigger_id is missing, unreadable or too old."


def test_an_unknown_user_is_told_their_id(service: Any) -> None:
    assert "Your user id is U0STRANGER" in service.mattermost("status", STRANGER).json()["text"]
