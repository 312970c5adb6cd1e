"""Results, waiting challengers, decisions and drift, as the double of Slack received them."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from components.chatops.announcements import Announcements
from components.chatops.board import Drift, Thread
from components.chatops.poster import Poster
from components.chatops.recorder import Recorder
from components.contract.operations import ChatSettings

RUN = "20261124-020000-abc123"
HOOKS = ["/hooks/one", "/hooks/two"]


@pytest.fixture
def announcements(settings: ChatSettings) -> Announcements:
    return Announcements(Poster(settings, "xoxb-token-of-tests"), settings.channel)


@pytest.fixture
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    module = request.getfixturevalue("service").board
    report, curve = tmp_path / "gate_report.html", tmp_path / "age_curve.png"
    report.write_text("<h1>Gate report</h1>")
    curve.write_bytes(b"\x89PNG not really")
    module.files = (report, curve)
    return module


def test_a_finished_retrain_is_told_in_its_thread_with_both_files(
    announcements: Announcements, board: Any, recorder: Recorder
) -> None:
    announcements.finished(board, RUN, board.compare().report, Thread("C0SHOP", "1.0"))
    message, *uploads = recorder.posts
    assert (message["method"], message["channel"], message["thread_ts"]) == (
        "chat.postMessage",
        "C0SHOP",
        "1.0",
    )
    assert message["text"].startswith(
        f"Run `{RUN}`: PROMOTE. New items are found better &amp; nothing is lost."
    )
    assert "new/recall@10  0.404     0.515       +0.111 [+0.090, +0.131]  pass" in message["text"]
    assert "all/recall@10" not in message["text"]
    complete = uploads[-1]
    assert complete["method"] == "files.completeUploadExternal"
    assert (complete["channel_id"], complete["thread_ts"]) == ("C0SHOP", "1.0")
    assert [file["title"] for file in complete["files"]] == ["gate_report.html", "age_curve.png"]
    for file, path in zip(complete["files"], board.files, strict=True):
        assert recorder.file(file["id"]).read_bytes() == path.read_bytes()
    sums = [post["sha256"] for post in uploads if post["method"] == "upload"]
    assert sums == [hashlib.sha256(path.read_bytes()).hexdigest() for path in board.files]


def test_without_a_thread_the_result_and_its_files_go_to_the_channel(
    announcements: Announcements, board: Any, recorder: Recorder
) -> None:
    announcements.finished(board, RUN, board.compare().report, None)
    assert recorder.posts[0]["channel"] == "C0RESULTS"
    assert "thread_ts" not in recorder.posts[0]
    assert (recorder.posts[-1]["channel_id"], recorder.posts[-1]["thread_ts"]) == (
        "C0RESULTS",
        "1700000001.000000",
    )


def test_a_run_without_files_is_told_by_its_message_alone(
    announcements: Announcements, board: Any, recorder: Recorder
) -> None:
    board.files = None
    announcements.finished(board, RUN, board.compare().report, None)
    assert [post["method"] for post in recorder.posts] == ["chat.postMessage", *HOOKS]


def test_the_end_of_a_retrain_goes_to_every_webhook_too(
    announcements: Announcements, board: Any, recorder: Recorder
) -> None:
    """So a team's incoming webhooks of Mattermost, which take {"text": …}, tell what Slack's thread does."""
    thread = Thread("C0SHOP", "1.0")
    announcements.finished(board, RUN, board.compare().report, thread)
    announcements.failed(RUN, "items.csv: there is no such file.", thread)
    announcements.unchanged(RUN, "REJECT", thread)
    for hook in HOOKS:
        texts = [post["text"] for post in recorder.posts if post["method"] == hook]
        assert texts == [post["text"] for post in recorder.posts if post["method"] == "chat.postMessage"]
        assert len(texts) == 3


def test_a_waiting_challenger_has_a_button_for_each_answer(
    announcements: Announcements, board: Any, recorder: Recorder
) -> None:
    announcements.waiting(board.status().waiting, None)
    message, *hooks = recorder.posts
    section, reason, actions = message["blocks"]
    assert "&lt;!channel&gt; season" in section["text"]["text"]
    assert [(b["action_id"], b["value"]) for b in actions["elements"]] == [
        ("debut_approve", RUN),
        ("debut_reject", RUN),
    ]
    assert all("confirm" in button for button in actions["elements"])
    assert (reason["type"], reason["optional"]) == ("input", True)
    assert [post["method"] for post in hooks] == HOOKS
    assert all(f"`/debut approve {RUN}` promotes it" in post["text"] for post in hooks)


def test_decisions_and_drift_go_to_the_channel_and_to_every_webhook(
    announcements: Announcements, board: Any, recorder: Recorder
) -> None:
    announcements.decided(board.champion())
    announcements.drifted(Drift(board.champion().at, False, "Nothing moved."))
    assert [post["method"] for post in recorder.posts] == ["chat.postMessage", *HOOKS] * 2
    assert len({post["text"] for post in recorder.posts[:3]}) == 1
    assert recorder.posts[3]["text"] == "No drift in the window to 2026-11-24 02:00 UTC: Nothing moved."


def test_a_surge_goes_to_the_channel_and_all_webhooks(
    announcements: Announcements, recorder: Recorder
) -> None:
    announcements.surged("Negative reviews about zip surge.", ["It broke."])
    assert [post["method"] for post in recorder.posts] == ["chat.postMessage", *HOOKS]
    assert {post["text"] for post in recorder.posts} == {"Negative reviews about zip surge.\n> It broke."}


def test_a_failed_run_is_told_with_its_sentence(announcements: Announcements, recorder: Recorder) -> None:
    announcements.failed("retrain 7", "items.csv: there is no such file.", Thread("C0SHOP", "1.0"))
    assert recorder.posts[0]["text"] == "Run `retrain 7` failed: items.csv: there is no such file."


def test_where_no_channel_is_configured_only_the_webhooks_are_told(
    settings: ChatSettings, board: Any, recorder: Recorder
) -> None:
    Announcements(Poster(settings, "xoxb-token-of-tests"), None).decided(board.champion())
    assert [post["method"] for post in recorder.posts] == HOOKS


def test_the_record_is_one_json_line_per_call(
    announcements: Announcements, board: Any, recorder: Recorder, tmp_path: Path
) -> None:
    announcements.finished(board, RUN, board.compare().report, None)
    lines = (tmp_path / "recorder" / "posts.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == recorder.posts


def test_a_retrain_without_news_is_told_with_the_run_that_stands(
    announcements: Announcements, recorder: Recorder
) -> None:
    announcements.unchanged(RUN, "REJECT", Thread("C0SHOP", "1.0"))
    message = recorder.posts[0]
    assert message["text"] == f"Nothing changed since run `{RUN}`, which ended with REJECT."
    assert message["thread_ts"] == "1.0"
