"""What the heads of a release answer, over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contract.errors import EncoderError
from components.contract.records import RetrievalPlan
from components.contract.task import Task
from components.index.retrieval import open_candidate
from components.service.predictions import DESCRIPTION_CHARACTERS, beginning
from components.service.served_release import load_release
from components.tasks.calibration import calibrated
from components.tasks.fit import fit_head

TITLES = [f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("chair", "lamp", "mug")]
COLOUR = Task(name="colour", says="Colour", rows="SELECT 1", text=("title",), head="classification")
PRICE = Task(
    name="price",
    says="Price",
    rows="SELECT 1",
    text=("title",),
    head="regression",
    log_scale=True,
    coverage=0.5,
)
MOOD = Task(name="mood", says="Mood of a review", rows="SELECT 1", text=("text",), head="classification")
WISH = Task(
    name="wish",
    says="Colour that a query is after",
    rows="SELECT 1",
    text=("query",),
    head="classification",
    facet="attributes",
)
ASKED = Task(
    name="asked",
    says="Answer",
    rows="SELECT 1",
    text=("question",),
    head="nearest",
    precision=0.9,
    otherwise="Perhaps: {items}.",
)


@pytest.fixture(scope="module")
def digest(make_candidate: Callable[..., str], candidates: Path, tmp_path_factory: Any) -> str:
    """A candidate with heads that were fitted on its own titles."""
    plain = open_candidate(candidates / make_candidate(TITLES, RetrievalPlan(inference="onnx-int8")), "plain")
    vectors = plain.encoder.encode_items(TITLES)
    colours = [title.split()[0] for title in TITLES]
    prices = [10.0 + 90.0 * ("lamp" in title) for title in TITLES]
    folder = tmp_path_factory.mktemp("heads")
    calibrated(fit_head(ASKED, vectors, TITLES), vectors, ["unheard of"] * 9).save(folder / "asked")
    for task, targets in ((COLOUR, colours), (PRICE, prices), (MOOD, colours), (WISH, colours)):
        calibrated(fit_head(task, vectors, targets), vectors, targets).save(folder / task.name)
    return make_candidate(TITLES, RetrievalPlan(inference="onnx-int8"), heads=folder)


@pytest.fixture(scope="module")
def shop(digest: str, make_releases: Any, running_service: Any, tmp_path_factory: Any) -> Iterator[Any]:
    releases = make_releases()
    releases.promote(digest)
    folder = tmp_path_factory.mktemp("serving")
    with running_service(releases, folder, max_query_characters=100) as running:
        yield running


def test_a_head_of_another_encoder_keeps_a_release_from_serving(
    make_candidate: Callable[..., str], candidates: Path, tmp_path: Path
) -> None:
    """It is refused when loaded, with the task's name."""
    fit_head(COLOUR, np.eye(9, dtype=np.float32), TITLES).save(tmp_path / "colour")
    digest = make_candidate(TITLES, RetrievalPlan(inference="onnx-int8"), heads=tmp_path)
    with pytest.raises(EncoderError, match="task colour reads vectors of 9 dimensions"):
        load_release(digest, candidates / digest, query_cache=1)


def test_an_items_predictions_are_typed_by_task(shop: Any, digest: str) -> None:
    """A class with its probability and the next ones, a price with its interval; a task that reads reviews
    says nothing about an item."""
    answer = shop.client.get("/predictions/100")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["release"], body["item_id"]) == (digest, "100")
    assert answer.headers["X-Debut-Release"] == digest
    colour, price = body["predictions"]
    assert (colour["task"], colour["label"]) == ("colour", "red")
    assert colour["probability"] > max(other["probability"] for other in colour["alternatives"])
    assert price["task"] == "price" and price["low"] <= price["value"] <= price["high"]


def test_a_live_item_is_predicted_from_its_new_words(shop: Any) -> None:
    """An item that was PUT a moment ago."""
    shop.put({"item_id": "fresh/1", "title": "green lamp"})
    [colour, price] = shop.client.get("/predictions/fresh/1").json()["predictions"]
    assert colour["label"] == "green" and price["value"] > 40


def test_an_item_without_words_is_not_predicted(shop: Any) -> None:
    """No head was taught what an empty text is."""
    assert shop.put({"item_id": "fresh/2", "title": ""}).is_success
    answer = shop.client.get("/predictions/fresh/2")
    assert answer.status_code == 200 and answer.json()["predictions"] == []


def test_a_text_is_answered_as_the_item_of_that_text(shop: Any, digest: str) -> None:
    """Both entrances go through one encoder and one head."""
    answer = shop.client.post("/predict/colour", json={"text": "red chair"})
    assert answer.status_code == 200 and answer.json()["release"] == digest
    assert answer.headers["X-Debut-Release"] == digest
    of_item = shop.client.get("/predictions/100").json()["predictions"][0]
    assert answer.json()["prediction"] == of_item
    assert (
        shop.client.post("/predict/mood", json={"text": "blue mug"}).json()["prediction"]["label"] == "blue"
    )


def test_a_description_is_cut_at_a_word() -> None:
    """In one line; without spaces, as in some scripts, at a character."""
    assert beginning(" Turn\n the  switch. ") == "Turn the switch."
    assert beginning("turn the switch", 15) == "turn the switch"
    assert beginning("turn the switch", 14) == beginning("turn the switch", 9) == "turn the…"
    assert beginning("switch" * 2, 6) == "switc…"
    assert len(beginning("ab " * 1_000)) <= DESCRIPTION_CHARACTERS


def test_an_answer_that_abstains_is_composed_of_what_is_found(shop: Any) -> None:
    """The titles that search puts first; an answer that is sure needs none."""
    answer = shop.client.post("/predict/asked", json={"text": "blue lamp"}).json()
    assert answer["prediction"]["abstained"]
    titles = [item["title"] for item in answer["items"]]
    assert titles[0] == "blue lamp" and answer["composed"] == f"Perhaps: {'; '.join(titles)}."
    longer = shop.client.post("/predict/asked", json={"text": f"blue lamp{' ' * 91}green mug"}).json()
    assert longer["items"] == answer["items"]  # only as much as a search reads
    sure = shop.client.post("/predict/colour", json={"text": "blue lamp"}).json()
    assert sure["composed"] is None and sure["items"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("/predict/size", {"text": "red"}, 404, "its tasks: asked, colour, mood, price, wish"),
        ("/predict/colour", {"text": "  "}, 422, "text is empty"),
        ("/predict/wish", {"text": "x" * 101}, 422, "at most 100 of a query are read"),
        ("/predict/colour", {"text": ""}, 422, "values do not fit"),
        ("/predict/colour", {"texts": "red"}, 422, "values do not fit"),
        ("/predict/colour", {"text": "x" * 20_001}, 422, "values do not fit"),
        ("/predict/colour?k=3", {"text": "red"}, 422, "no query parameter"),
    ],
)
def test_what_does_not_fit_is_a_problem(
    shop: Any, path: str, body: dict[str, str], status: int, told: str
) -> None:
    """RFC 9457, with what to do."""
    answer = shop.client.post(path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert told in answer.json()["detail"]


def test_a_query_is_answered_by_the_vector_that_search_uses(shop: Any) -> None:
    """Through the cache of queries; a search for it then encodes nothing."""
    cache = shop.parts.serving.release().cache
    answer = shop.client.post("/predict/wish", json={"text": "something green"}).json()
    assert answer["prediction"]["label"] == "green"
    hits = cache.hits
    shop.client.get("/search", params={"q": "something green"})
    assert cache.hits == hits + 1


def test_an_unknown_item_is_not_found(shop: Any) -> None:
    """As everywhere."""
    assert shop.client.get("/predictions/nobody").status_code == 404
