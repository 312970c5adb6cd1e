"""Answers to customers' questions: the best past one with its source, else one composed; the endpoint."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from components.contract.records import RetrievalPlan
from components.contract.serving import AnswerSettings
from components.contract.task import Task
from components.index.retrieval import open_candidate
from components.tasks.calibration import calibrated
from components.tasks.fit import fit_head

TITLES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("chair", "lamp", "mug")]
DESCRIPTIONS = {"red lamp": "Turn the\nswitch."}
TOLD = {"red lamp": "red lamp: Turn the switch."}
QUESTIONS = {
    "where is the chair": "Parcels take four days.",
    "small table for garden": "Measure first.",
    "steel with oak": "Use soap.",
}
KEY = "sk-secret-of-the-endpoint"
ANSWER = Task(
    name="answer",
    says="Answer",
    rows="SELECT 1",
    text=("question",),
    head="nearest",
    precision=0.9,
    otherwise="Perhaps: {items}.",
)


class Endpoint:
    """A small OpenAI-shaped server on loopback, which notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status, self.body, self.seconds = 200, self.completion("Our lamp is red."), 0.0
        self.release = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
                endpoint.asked.append((self.path, self.headers.get("authorization"), sent))
                endpoint.release.wait(endpoint.seconds)
                self.send_response(endpoint.status)
                self.end_headers()
                self.wfile.write(endpoint.body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def completion(text: Any) -> bytes:
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()

    def close(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()


@pytest.fixture(scope="module")
def releases(
    make_candidate: Callable[..., str], make_releases: Any, candidates: Path, tmp_path_factory: Any
) -> dict[str, Any]:
    """Three shops: one whose head answers all it is asked, one whose head abstains from everything, and one
    whose questions are queries."""
    plan = RetrievalPlan(inference="onnx-int8")
    plain = open_candidate(candidates / make_candidate(TITLES, plan), "plain")
    vectors = plain.encoder.encode_items(list(QUESTIONS))
    head = fit_head(ANSWER, vectors, list(QUESTIONS.values()), list(QUESTIONS))
    found: dict[str, Any] = {}
    items = [{"title": title, "description": DESCRIPTIONS.get(title)} for title in TITLES]
    for name, truth in (("sure", list(QUESTIONS.values())), ("unsure", ["unheard of"] * 3)):
        folder = tmp_path_factory.mktemp(name)
        calibrated(head, vectors, truth).save(folder / "answer")
        found[name] = make_releases()
        found[name].promote(make_candidate(items, plan, heads=folder))
    folder, asked = tmp_path_factory.mktemp("queries"), ANSWER.model_copy(update={"text": ("query",)})
    vectors = plain.encoder.encode_queries(list(QUESTIONS))
    fit_head(asked, vectors, list(QUESTIONS.values()), list(QUESTIONS)).save(folder / "answer")
    found["queries"] = make_releases()
    found["queries"].promote(make_candidate(TITLES, plan, heads=folder))
    return found


@pytest.fixture
def ask(releases: dict[str, Any], running_service: Any, tmp_path: Path) -> Callable[..., Any]:
    """The answer of a shop to a body, with the settings of `serving.answers`."""

    def asked(shop: str, body: Any, **answers: Any) -> Any:
        settings = AnswerSettings(**answers)
        with running_service(releases[shop], tmp_path / "serving", answers=settings) as running:
            return running.client.post("/answer", json=body)

    return asked


def test_a_known_question_gets_its_past_answer_with_score_and_source(ask: Any) -> None:
    """The dialogue that it is taken from, and the next ones."""
    answer = ask("sure", {"question": "where is the chair", "k": 2}).json()
    assert (answer["by"], answer["answer"]) == ("past answer", "Parcels take four days.")
    assert answer["source"]["question"] == "where is the chair"
    assert answer["source"]["score"] == pytest.approx(1.0, abs=0.02)
    assert answer["past"][0] == answer["source"] and len(answer["past"]) == 2
    assert answer["past"][0]["score"] >= answer["past"][1]["score"]
    assert 0 < answer["probability"] <= 1 and answer["items"] == [] and answer["problem"] is None


def test_questions_that_are_queries_are_read_as_search_reads_them(ask: Any) -> None:
    """By the same thread, and no longer ones."""
    answer = ask("queries", {"question": "where is the chair"}).json()
    assert answer["answer"] == "Parcels take four days."
    assert answer["source"]["score"] == pytest.approx(1.0, abs=0.02)
    refused = ask("queries", {"question": "chair " * 1_000})
    assert refused.status_code == 422 and "question has 6000 characters; at most" in refused.text


def test_an_unsure_question_is_composed_by_the_template(ask: Any) -> None:
    """Off by default: no endpoint is asked."""
    answer = ask("unsure", {"question": "red lamp"}).json()
    assert answer["by"] == "template" and answer["source"] is None
    told = "; ".join(TOLD.get(item["title"], item["title"]).rstrip(".") for item in answer["items"])
    assert answer["answer"] == f"Perhaps: {told}." and "Turn the switch." not in told
    assert "red lamp: Turn the switch" in told
    assert len(answer["past"]) == 3 and answer["problem"] is None


def test_the_endpoint_writes_from_what_was_found_and_nothing_else(
    ask: Any, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gets question, past dialogues, items' titles and descriptions, and the key of the environment."""
    monkeypatch.setenv("MY_KEY", KEY)
    answer = ask(
        "unsure", {"question": "red lamp"}, endpoint=endpoint.url, model="small", key_variable="MY_KEY"
    )
    found = answer.json()
    assert (found["by"], found["answer"], found["problem"]) == ("endpoint", "Our lamp is red.", None)
    [(path, authorization, sent)] = endpoint.asked
    assert (path, authorization, sent["model"]) == ("/v1/chat/completions", f"Bearer {KEY}", "small")
    system, user = sent["messages"]
    assert user == {"role": "user", "content": "red lamp"}
    lines = system["content"].split("Passages:\n")[1].splitlines()
    past = [f"- {one['question']} {one['answer']}" for one in found["past"]]
    assert lines == past + [f"- {TOLD.get(item['title'], item['title'])}" for item in found["items"]]
    assert f"- {TOLD['red lamp']}" in lines


def test_a_sure_question_asks_no_endpoint(ask: Any, endpoint: Endpoint) -> None:
    answer = ask("sure", {"question": "where is the chair"}, endpoint=endpoint.url, model="small").json()
    assert answer["by"] == "past answer" and endpoint.asked == []


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (500, b"", "it answered with status 500"),
        (401, b"{}", "it answered with status 401"),
        (302, b"", "it answered with status 302"),
        (200, b"<html>", "its body is no chat completion"),
        (200, b'{"choices": []}', "its body is no chat completion"),
        (200, Endpoint.completion("  "), "its answer is empty"),
        (200, Endpoint.completion(None), "its answer is empty"),
    ],
)
def test_an_endpoint_that_fails_is_told_of_and_the_template_answers(
    ask: Any,
    endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
    told: str,
) -> None:
    """In the answer and in the log; the log holds neither key nor question."""
    monkeypatch.setenv("DEBUT_ANSWERS_KEY", KEY)
    endpoint.status, endpoint.body = status, body
    answer = ask("unsure", {"question": "red lamp zebra"}, endpoint=endpoint.url, model="small").json()
    assert answer["by"] == "template" and answer["problem"] == f"The endpoint wrote no answer: {told}."
    assert "endpoint failed" in caplog.text and told in caplog.text
    assert KEY not in caplog.text and "zebra" not in caplog.text


def test_a_slow_or_absent_endpoint_does_not_hold_the_customer_up(ask: Any, endpoint: Endpoint) -> None:
    endpoint.seconds = 30.0
    slow = {"endpoint": endpoint.url, "model": "small", "timeout_seconds": 0.2}
    answer = ask("unsure", {"question": "red lamp"}, **slow).json()
    assert answer["by"] == "template" and "did not answer within 0.2 seconds" in answer["problem"]
    absent = {"endpoint": "http://127.0.0.1:9/v1", "model": "small"}
    answer = ask("unsure", {"question": "red lamp"}, **absent).json()
    assert answer["by"] == "template" and "cannot be reached" in answer["problem"]


def test_bad_questions_and_releases_without_past_answers_are_refused(ask: Any) -> None:
    assert ask("sure", {"question": "  "}).status_code == 422
    assert ask("sure", {"question": "a", "k": 0}).status_code == 422
    assert ask("sure", {"text": "a"}).status_code == 422
    refused = ask("sure", {"question": "a"}, task="help")
    assert refused.status_code == 404 and "tasks with such a head: answer" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"endpoint": "ftp://x", "model": "m"}, "begins with http"),
        ({"endpoint": "http://x"}, "belong together"),
        ({"model": "m"}, "belong together"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AnswerSettings(**given)
