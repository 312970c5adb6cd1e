"""A post that fails is tried again, then logged; it never raises."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.chatops.board import Thread
from components.chatops.poster import RETRIES, Poster
from components.chatops.recorder import Recorder
from components.contract.operations import ChatSettings


class Flaky(ThreadingHTTPServer):
    """Answers with the statuses in `left`, then 200."""

    left: list[int]
    received: list[bytes]


@pytest.fixture
def flaky() -> Iterator[Flaky]:
    class Handler(BaseHTTPRequestHandler):
        server: Flaky

        def do_POST(self) -> None:
            self.server.received.append(self.rfile.read(int(self.headers["Content-Length"])))
            status = self.server.left.pop(0) if self.server.left else 200
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(json.dumps({"ok": status == 200, "channel": "C1", "ts": "1.0"}).encode())

        def log_message(self, *message: object) -> None:
            """Silent."""

    server = Flaky(("127.0.0.1", 0), Handler)
    server.left, server.received = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _url(server: Flaky) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/"


def test_a_webhook_that_fails_twice_is_told_the_third_time(flaky: Flaky) -> None:
    flaky.left = [503, 429]
    Poster(ChatSettings(webhooks=(_url(flaky),)), None).notify("told")
    assert [json.loads(body) for body in flaky.received] == [{"text": "told"}] * 3


def test_a_message_that_fails_twice_is_posted_the_third_time(flaky: Flaky) -> None:
    flaky.left = [500, 503]
    assert Poster(ChatSettings(api_url=_url(flaky)), "t").say("C1", "told") == Thread("C1", "1.0")
    assert len(flaky.received) == 3


def test_a_webhook_that_stays_broken_is_logged_by_its_host_and_stops_no_other(
    flaky: Flaky, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    flaky.left = [500] * (RETRIES + 1)
    broken = f"{_url(flaky)}services/T0/B0/a-secret-path"
    with caplog.at_level(logging.DEBUG):
        Poster(ChatSettings(webhooks=(broken, f"{recorder.url}hooks/one")), None).notify("told")
    assert "The webhook at 127.0.0.1 answered 500." in caplog.text
    assert "a-secret-path" not in caplog.text
    assert recorder.posts == [{"method": "/hooks/one", "text": "told"}]


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/secret-path", "nonsense-secret-path", ""])
def test_an_address_that_nobody_answers_is_logged(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Poster(ChatSettings(), None).respond(address, "told", public=False)
    assert "was not reached" in caplog.text
    assert "secret-path" not in caplog.text


def test_slacks_refusal_is_logged_with_its_reason(
    recorder: Recorder, flaky: Flaky, caplog: pytest.LogCaptureFixture
) -> None:
    poster = Poster(ChatSettings(api_url=f"{recorder.url}api/no."), "xoxb-token-of-tests")
    assert poster.say("C1", "told") is None
    assert "Slack refused a post: unknown_method." in caplog.text
    assert "xoxb" not in caplog.text


def test_a_file_that_is_gone_is_logged(
    settings: ChatSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Poster(settings, "t").upload(Thread("C1", "1.0"), [tmp_path / "gone.html"], "comment")
    assert "No such file" in caplog.text


def test_without_a_token_nothing_is_posted_and_the_log_says_why(
    settings: ChatSettings, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    assert Poster(settings, None).say("C1", "told") is None
    assert recorder.posts == []
    assert "DEBUT_SLACK_BOT_TOKEN is not set" in caplog.text
