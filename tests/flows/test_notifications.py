"""However a retrain ends, it is told."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.chatops.recorder import Recorder
from flows import retrain as retraining
from flows.retrain import retrain

THREAD = {"channel": "C0SHOP", "ts": "1.0"}


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DEBUT_SLACK_BOT_TOKEN", "xoxb-token-of-tests")
    with Recorder(tmp_path / "recorder") as running:
        yield running


@pytest.fixture
def arguments(tiny_shop: Any, recorder: Recorder) -> dict[str, Any]:
    tiny_shop.configure(chat={"api_url": recorder.api_url, "webhooks": [f"{recorder.url}hooks/mattermost"]})
    return {"config": str(tiny_shop.config), "workspace": str(tiny_shop.workspace.parent), "thread": THREAD}


def test_a_missing_source_is_told_in_the_thread_and_to_the_webhook(
    tiny_shop: Any, arguments: dict[str, Any], recorder: Recorder
) -> None:
    """Though it ends the retrain before there is a run in the workspace."""
    (tiny_shop.folder / "items.csv").unlink()
    with pytest.raises(Exception, match=r"items\.csv"):
        retrain.fn(**arguments)
    thread, webhook = recorder.posts
    assert (thread["method"], thread["channel"], thread["thread_ts"]) == ("chat.postMessage", "C0SHOP", "1.0")
    assert "failed: " in thread["text"] and "items.csv" in thread["text"]
    assert webhook == {"method": "/hooks/mattermost", "text": thread["text"]}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TypeError("password=s3cret"), "an unexpected error (TypeError); the run's log has the cause"),
        (KeyboardInterrupt("s3cret"), "it was stopped (KeyboardInterrupt) before its end"),
    ],
)
def test_any_exception_is_told_without_its_message_and_raised(
    arguments: dict[str, Any],
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    told: str,
) -> None:
    """Its text may hold a secret. A cancelled run ends by an exception that is no Exception."""

    def fail(_run: Any) -> None:
        raise error

    monkeypatch.setattr(retraining, "run_loop", fail)
    with pytest.raises(type(error)):
        retrain.fn(**arguments)
    assert recorder.posts[0]["text"].endswith(f"failed: {told}")
    assert "s3cret" not in str(recorder.posts)


def test_what_is_no_thread_is_told_to_the_webhook_alone(
    tiny_shop: Any, arguments: dict[str, Any], recorder: Recorder
) -> None:
    """Prefect's page lets people type any parameter."""
    (tiny_shop.folder / "items.csv").unlink()
    with pytest.raises(Exception, match=r"items\.csv"):
        retrain.fn(**arguments | {"thread": {"channel": "C0SHOP"}})
    assert [post["method"] for post in recorder.posts] == ["/hooks/mattermost"]
