"""The double answers as Slack's Web API does, to Slack's own client."""

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from components.chatops.recorder import Recorder


def test_auth_test_answers_a_token(recorder: Recorder) -> None:
    assert WebClient("t", base_url=recorder.api_url).auth_test()["user_id"] == "U0DEBUT"


def test_a_call_without_a_token_is_refused_and_not_recorded(recorder: Recorder) -> None:
    with pytest.raises(SlackApiError) as refused:
        WebClient(base_url=recorder.api_url).chat_postMessage(channel="C1", text="x")
    assert refused.value.response["error"] == "not_authed"
    assert recorder.posts == []


def test_an_unknown_method_is_refused(recorder: Recorder) -> None:
    with pytest.raises(SlackApiError) as refused:
        WebClient("t", base_url=recorder.api_url).users_list()
    assert refused.value.response["error"] == "unknown_method"


def test_messages_get_timestamps_of_their_own(recorder: Recorder) -> None:
    client = WebClient("t", base_url=recorder.api_url)
    first, second = (client.chat_postMessage(channel="C1", text=text) for text in "ab")
    assert first["ts"] != second["ts"]


def test_a_files_name_leads_to_no_other_folder(recorder: Recorder) -> None:
    client = WebClient("t", base_url=recorder.api_url)
    client.files_upload_v2(content="x", filename="../../up.txt", channel="C1")
    file_id = recorder.posts[-1]["files"][0]["id"]
    assert recorder.file(file_id).name == f"{file_id}-up.txt"
    assert recorder.file(file_id).read_text() == "x"
