"""Slack's requests over real HTTP to the real service: which are accepted, and that each acts once."""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from components.chatops.credentials import Credentials
from components.chatops.dry_run import signed

APPROVER, OPERATOR, READER, STRANGER = "U0APPROVER", "U0OPERATOR", "U0READER", "U0STRANGER"
RUN = "20261124-020000-abc123"


def test_a_signed_command_is_taken_on_and_answered_at_its_response_url(service: Any) -> None:
    reply = service.command("champion", READER)
    assert reply.status_code == 200
    assert reply.json() == {
        "response_type": "ephemeral",
        "text": "`champion`: taken on; the answer follows here.",
    }
    assert service.answer().startswith(
        "`cccccccccccc` serves since 2026-11-24 02:00 UTC: promotion by schedule"
    )
    assert service.board.acts == [("champion",)]


def test_a_request_that_is_not_signed_now_is_refused(service: Any) -> None:
    """Wrong secret, 6 minutes old or ahead, no signature, no number: each a problem by RFC 9457."""
    wrong: list[dict[str, Any]] = [
        {"secret": "another secret"},
        {"at": time.time() - 360},
        {"at": time.time() + 360},
        {"headers": {"x-slack-signature": ""}},
        {"headers": {"x-slack-signature": b"v0=\xe9"}},
        {"headers": {"x-slack-request-timestamp": "now"}},
        {"headers": {"x-slack-request-timestamp": "9" * 6000}},
    ]
    for options in wrong:
        reply = service.command("rollback it fails", **options)
        assert reply.status_code == 401, options
        assert reply.headers["content-type"] == "application/problem+json"
        assert "not signed by this app's secret, or too old" in reply.json()["detail"]
    time.sleep(0.2)
    assert service.board.acts == []


def test_another_body_under_a_good_signature_is_refused(service: Any) -> None:
    body, other = service.form("status"), service.form("rollback it fails")
    reply = service.client.post("/chat/slack", content=other, headers=signed(body, "signing-secret-of-tests"))
    assert reply.status_code == 401


def test_what_is_not_signed_is_not_parsed(service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A form can be slow to parse, and anybody can send one."""
    read: list[Any] = []
    monkeypatch.setattr("components.chatops.slack.BoltRequest", lambda **options: read.append(options))
    for options in ({"secret": "another secret"}, {"at": time.time() - 360}):
        assert service.command("status", **options).status_code == 401
    unreadable = signed(b"status", "signing-secret-of-tests")
    assert service.client.post("/chat/slack", content=b"\xff", headers=unreadable).status_code == 401
    assert read == []


def test_a_body_of_no_commands_size_is_refused(service: Any) -> None:
    """413, signed or not."""
    body = service.form("status " + "x" * 200_000)
    for secret in ("signing-secret-of-tests", "another secret"):
        reply = service.client.post("/chat/slack", content=body, headers=signed(body, secret))
        assert reply.status_code == 413
    assert "over 100000 bytes" in reply.json()["detail"]


def test_the_settings_may_ask_for_fresher_requests(start: Callable[..., Any]) -> None:
    service = start(max_age_seconds=60)
    assert service.command("help", at=time.time() - 50).status_code == 200
    assert service.command("help", at=time.time() - 70).status_code == 401


def test_a_replayed_request_is_refused_and_does_not_act(service: Any) -> None:
    body, now = service.form("rollback it fails"), time.time()
    assert service.send(body, at=now).status_code == 200
    replayed = service.send(body, at=now)
    assert replayed.status_code == 409
    assert replayed.json()["detail"] == "The request was received before."
    service.answer()
    assert len(service.board.acts) == 1


def test_a_replay_is_refused_by_another_replica(start: Callable[..., Any]) -> None:
    first, second = start(), start()
    body, now = first.form("rollback it fails"), time.time()
    assert first.send(body, at=now).status_code == 200
    assert second.send(body, at=now).status_code == 409
    first.answer()
    assert second.board.acts == []


@pytest.mark.parametrize("later", [0, 2], ids=["same signature", "signed anew"])
def test_a_repeated_delivery_gets_the_first_answer_and_acts_once(service: Any, later: int) -> None:
    body, now = service.form("rollback it fails"), time.time() - 5
    first = service.send(body, at=now)
    again = service.send(body, at=now + later, headers={"X-Slack-Retry-Num": "1"})
    assert (again.status_code, again.text) == (200, first.text)
    assert again.headers["content-type"] == first.headers["content-type"]
    service.answer()
    time.sleep(0.2)
    assert len(service.board.acts) == 1


def test_ten_deliveries_of_one_command_at_once_act_once(service: Any) -> None:
    body, now = service.form("rollback it fails"), time.time() - 20
    with ThreadPoolExecutor(10) as senders:
        replies = list(senders.map(lambda n: service.send(body, at=now + n), range(10)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1
    service.answer()
    assert len(service.board.acts) == 1


def test_slack_bolts_own_headers_give_no_orders(service: Any) -> None:
    """They are not signed: with them slack_bolt would answer without running the command."""
    reply = service.command("help", headers={"X-Slack-Bolt-Lazy-Only": "1"})
    assert reply.json()["text"].count("/debut ") == 9


def test_a_header_that_is_not_signed_does_not_let_a_replay_act(service: Any) -> None:
    body, now = service.form("rollback it fails"), time.time()
    service.send(body, at=now)
    for headers in ({"X-Slack-Retry-Num": "1"}, {"X-Slack-Bolt-Lazy-Only": "1", "X-Slack-Retry-Num": "2"}):
        service.send(body, at=now, headers=headers)
    service.answer()
    time.sleep(0.2)
    assert len(service.board.acts) == 1


@pytest.mark.parametrize(
    ("user", "text", "told"),
    [
        (STRANGER, "status", "Your user id is U0STRANGER; add it to chat.roles"),
        (READER, "rollback it fails", "Your role is reader; `rollback` needs operator"),
        (OPERATOR, f"approve {RUN}", "Your role is operator; `approve` needs approver"),
    ],
)
def test_a_role_that_may_not_is_told_so_at_once(service: Any, user: str, text: str, told: str) -> None:
    reply = service.command(text, user)
    assert reply.status_code == 200
    assert told in reply.json()["text"]
    assert service.board.acts == []


@pytest.mark.parametrize(("user", "text"), [(READER, "rollback secretly"), (STRANGER, f"approve {RUN}")])
def test_a_refused_attempt_to_change_something_is_logged_without_its_text(
    service: Any, caplog: pytest.LogCaptureFixture, user: str, text: str
) -> None:
    service.command(text, user)
    service.command("status", STRANGER)
    [record] = [one for one in caplog.records if one.name == "components.chatops.conversation"]
    assert record.levelname == "WARNING"
    assert record.getMessage() == f"Chat refused {text.split()[0]} to slack:{user}"


def test_a_refused_button_is_logged(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    service.button("debut_reject", OPERATOR, reason="a private thing")
    service.answer()
    assert f"Chat refused reject to slack:{OPERATOR}" in caplog.text
    assert "a private thing" not in caplog.text


def test_a_rollback_may_name_the_release(service: Any) -> None:
    service.command("rollback to 0123abcdef45 searches fail", OPERATOR)
    service.answer()
    assert service.board.acts == [("rollback", "slack:U0OPERATOR", "searches fail", "0123abcdef45")]


def test_a_wrong_command_is_told_the_nearest_one_at_once(service: Any) -> None:
    assert "`/debut approve RUN` promotes" in service.command("aprove it").json()["text"]


def test_help_lists_every_command(service: Any) -> None:
    assert service.command("").json()["text"].count("/debut ") == 9


def test_an_approval_is_public_and_told_to_the_webhooks(service: Any) -> None:
    service.command(f"approve {RUN}")
    answer = service.posted("/hooks/response")[0]
    assert answer["response_type"] == "in_channel"
    assert answer["text"].startswith(f"`cccccccccccc` was promoted by slack:U0APPROVER (run `{RUN}`)")
    for hook in ("/hooks/one", "/hooks/two"):
        assert service.posted(hook)[0] == {"method": hook, "text": answer["text"]}
    assert service.board.acts == [("approve", RUN, "slack:U0APPROVER")]


def test_the_boards_refusal_is_shown_as_it_is(service: Any) -> None:
    service.command(f"approve {RUN}")
    service.answer()
    service.command(f"reject {RUN} too late")
    assert service.answer(count=2) == f"Run {RUN} is settled already."


def test_a_defect_is_told_without_its_details_and_logged(
    start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    service = start()
    service.board.refusal = KeyError("a private thing")
    with caplog.at_level(logging.ERROR):
        service.command("status")
        assert service.answer() == "An error inside the service; its log has the cause."
    assert "a private thing" in caplog.text


def test_a_retrain_opens_a_thread_and_hands_it_to_the_board(service: Any) -> None:
    service.command("retrain fashion because <!channel> prices changed", OPERATOR)
    root, follow = service.posted("chat.postMessage", 2)
    assert root["text"] == "<@U0OPERATOR> asks for a retrain of `fashion`: &lt;!channel&gt; prices changed"
    assert follow["thread_ts"] == "1700000001.000000"
    assert "Run `retrain 7` is scheduled" in follow["text"]
    assert "its result follows here" in follow["text"]
    (act,) = service.board.acts
    assert act[:4] == ("retrain", "fashion", "<!channel> prices changed", "slack:U0OPERATOR")
    assert (act[4].channel, act[4].ts) == ("C0SHOP", "1700000001.000000")


def test_a_retrain_that_is_refused_is_told_in_its_thread(service: Any) -> None:
    from components.contract.errors import OrchestrationError

    service.board.refusal = OrchestrationError("Prefect's server is away.")
    service.command("retrain", OPERATOR)
    assert service.posted("chat.postMessage", 2)[1]["text"] == "Prefect's server is away."


@pytest.mark.parametrize(
    ("token", "options", "place"),
    [
        ("xoxb-token-of-tests", {}, "its result goes to the channel of the settings"),
        (None, {}, "its result goes to the webhooks of the settings"),
        ("xoxb-token-of-tests", {"channel": None}, "its result goes to the webhooks of the settings"),
        (None, {"webhooks": ()}, "its result is posted nowhere"),
    ],
)
def test_without_a_thread_a_retrain_is_told_where_its_result_goes(
    start: Callable[..., Any], token: str | None, options: dict[str, Any], place: str
) -> None:
    """By Mattermost, which has no threads of ours; without a token no Slack channel is reached."""
    credentials = Credentials("signing-secret-of-tests", token, "mattermost-token-of-tests")
    service = start(credentials=credentials, **options)
    service.mattermost("retrain", OPERATOR)
    answer = service.answer("mattermost")
    assert place in answer
    assert "follows here" not in answer


def test_without_a_bot_token_a_retrain_is_answered_at_its_response_url(start: Callable[..., Any]) -> None:
    service = start(credentials=Credentials("signing-secret-of-tests"))
    service.command("retrain", OPERATOR)
    assert "Run `retrain 7` is scheduled" in service.answer()
    assert service.board.acts == [("retrain", None, "asked for in chat", "slack:U0OPERATOR", None)]


def test_the_button_approves_and_its_message_becomes_the_decision(service: Any) -> None:
    reply = service.button("debut_approve")
    assert (reply.status_code, reply.text) == (200, "")
    update = service.posted("chat.update")[0]
    assert (update["channel"], update["ts"]) == ("C0SHOP", "1700000001.000000")
    assert update["text"].startswith("`cccccccccccc` was promoted by slack:U0APPROVER")
    assert update["blocks"] == []
    assert service.board.acts == [("approve", RUN, "slack:U0APPROVER")]


@pytest.mark.parametrize(
    ("typed", "recorded"),
    [
        (None, "rejected with the button in chat, no reason given"),
        ("  ", "rejected with the button in chat, no reason given"),
        ("too many refurbished items", "too many refurbished items"),
    ],
)
def test_the_button_rejects_for_the_reason_beside_it(service: Any, typed: str | None, recorded: str) -> None:
    service.button("debut_reject", reason=typed)
    service.posted("chat.update")
    assert service.board.acts == [("reject", RUN, "slack:U0APPROVER", recorded)]


def test_a_button_asks_for_the_role_too(service: Any) -> None:
    service.button("debut_approve", OPERATOR)
    answer = service.posted("/hooks/response")[0]
    assert "`approve` needs approver" in answer["text"]
    assert answer["response_type"] == "ephemeral"
    assert answer["replace_original"] is False
    assert service.board.acts == []


def test_a_replayed_button_is_refused(service: Any) -> None:
    now = time.time()
    pressed = service.button("debut_approve", at=now)
    request = pressed.request
    again = service.client.post("/chat/slack", content=request.content, headers=dict(request.headers))
    assert again.status_code == 409
    service.posted("chat.update")
    assert len(service.board.acts) == 1


def test_a_command_is_acknowledged_before_its_work_is_done_and_answered_later(service: Any) -> None:
    """Slack waits 3 seconds, whatever the work takes; six commands at once, more than are worked on at the
    same time."""
    service.board.free.clear()
    bodies = [service.form("status", READER) for _ in range(6)]
    with ThreadPoolExecutor(6) as senders:
        replies = list(senders.map(service.send, bodies))
    assert {reply.status_code for reply in replies} == {200}
    assert (service.board.acts, service.recorder.posts) == ([], [])
    service.board.free.set()
    assert len(service.posted("/hooks/response", 6)) == 6


def test_a_body_that_is_none_of_slacks_is_refused(service: Any) -> None:
    bodies = [
        b"payload=[",
        b"payload=[]",
        b"{",
        b"payload=" + b"[" * 90_000,
        b'payload={"actions":[1]}',
        b"token=only",
        b"",
    ]
    for body in bodies:
        reply = service.send(body)
        assert reply.status_code == 400, body[:40]
        assert reply.headers["content-type"] == "application/problem+json"


def test_without_its_secret_slacks_route_is_not_there(start: Callable[..., Any]) -> None:
    service = start(credentials=Credentials())
    assert service.command("help").status_code == 404
    assert service.mattermost("help").status_code == 404


def test_the_routes_are_not_in_the_openapi_document(service: Any) -> None:
    assert not [path for path in service.client.get("/openapi.json").json()["paths"] if "chat" in path]


def test_no_secret_is_ever_logged_or_recorded(service: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        service.command("status", READER)
        service.command("status", READER, secret="wrong")
        service.mattermost("status", READER)
        service.command("retrain", OPERATOR)
        service.posted("chat.postMessage", 2)
    told = caplog.text + json.dumps(service.recorder.posts) + repr(Credentials("s3cret", "t0ken", "mm"))
    for secret in ("signing-secret-of-tests", "xoxb-token-of-tests", "mattermost-token-of-tests", "s3cret"):
        assert secret not in told
    assert "hooks/response" not in caplog.text
