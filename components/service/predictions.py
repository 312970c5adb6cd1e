"""The routes of tasks: what the release's heads answer about an item, or about a text."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from components.contract.ports import Request, Vectors
from components.contract.texts import as_utf8
from components.encoder.texts import item_text
from components.index.columns import Filters
from components.service.auth import Gatekeeper
from components.service.explaining import known_row
from components.service.problems import ProblemError, body_responses, responses
from components.service.request_checks import json_body, known_parameters
from components.service.routes import RELEASE_HEADER
from components.service.schemas import FoundItem, ItemPredictions, PredictBody, Prediction
from components.service.serving import Release, Serving
from components.tasks.heads import Answer, ClassAnswer, Head, prompted

ITEMS = 3
"""That stand in a composed answer."""
DESCRIPTION_CHARACTERS = 300
"""Of an item's description in a composed answer, and for the endpoint that writes one."""
ItemIdPath = Annotated[str, Path(min_length=1)]
TaskName = Annotated[str, Path(min_length=1, max_length=40, description="A task of the release.")]


class PredictionRoutes:
    """GET /predictions/{item_id}, POST /predict/{task}."""

    def __init__(self, serving: Serving, max_query_characters: int) -> None:
        self._serving = serving
        self._max_characters = max_query_characters

    def router(self, gatekeeper: Gatekeeper) -> APIRouter:
        router = APIRouter(
            tags=["predictions"],
            responses=responses,
            dependencies=[Depends(gatekeeper.needs("read")), Depends(known_parameters)],
        )
        router.get("/predictions/{item_id:path}", response_model=ItemPredictions)(self.of_item)
        router.post(
            "/predict/{task}",
            response_model=Prediction,
            responses=body_responses,
            dependencies=[Depends(json_body)],
        )(self.of_text)
        return router

    async def of_item(self, item_id: ItemIdPath, response: Response) -> ItemPredictions:
        """What every task that reads an item's own columns answers about it; a task whose columns are all
        empty for the item was taught nothing about that, and is left out."""
        release = self._serving.release()
        response.headers[RELEASE_HEADER] = release.digest
        item = release.index.item(known_row(release, item_id))
        of_items = [head for head in release.heads.values() if head.of_items]
        read = {head: prompted(head.task, item_text(item, head.task.text)) for head in of_items}
        heads = [head for head, text in read.items() if text]
        texts = [read[head] for head in heads]
        answers = await asyncio.to_thread(_answers, release, heads, texts)
        return ItemPredictions(release=release.digest, item_id=item["item_id"], predictions=answers)

    async def of_text(self, task: TaskName, body: PredictBody, response: Response) -> Prediction:
        """What a task answers about a text. Where it abstains, `serving.max_query_characters` of the text are
        searched; longer queries are refused, as by search."""
        release = self._serving.release()
        response.headers[RELEASE_HEADER] = release.digest
        head = release.heads.get(task)
        if head is None:
            known = ", ".join(release.heads) or "none"
            raise ProblemError(404, f"This release answers no task {task[:40]!r}; its tasks: {known}.")
        if not body.text.strip():
            raise ProblemError(422, "text is empty: send at least one character.")
        text = as_utf8(body.text)
        if head.task.of_queries:
            vectors = await query_vectors(self._serving, release, text, "text", self._max_characters)
            [answer] = head.answers(vectors)
        else:
            [answer] = await asyncio.to_thread(_answers, release, [head], [prompted(head.task, text)])
        given = Prediction(release=release.digest, prediction=answer)
        if head.task.otherwise and isinstance(answer, ClassAnswer) and answer.abstained:
            given.items = await found_items(self._serving, text.strip()[: self._max_characters])
            given.composed = composed(head, given.items)
        return given


def composed(head: Head, items: Sequence[FoundItem]) -> str | None:
    """What the task says where it abstains; None where it says nothing, or nothing was found."""
    told = "; ".join(text.rstrip(". ") for item in items if (text := described(item)))
    return head.task.otherwise.replace("{items}", told) if head.task.otherwise and told else None


def described(item: FoundItem) -> str:
    """Title and description, or what there is of the two."""
    return ": ".join(part for part in (item.title, item.description) if part)


def beginning(text: str, most: int = DESCRIPTION_CHARACTERS) -> str:
    """In one line at most so many characters, whole words where there are spaces, and … where it was cut."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    words, space, _ = text[:most].rpartition(" ")
    return f"{words if space else text[: most - 1]}…"


async def query_vectors(serving: Serving, release: Release, text: str, name: str, most: int) -> Vectors:
    """(1, d) of a query. Raises 422 where `name` has more than `most` characters, as search does."""
    if len(text) > most:
        raise ProblemError(422, f"{name} has {len(text)} characters; at most {most} of a query are read.")
    # In the index thread, the only one that asks the cache of queries.
    encoder = release.index.encoder
    return await asyncio.wrap_future(serving.run(lambda: encoder.encode_queries([text])))


async def found_items(serving: Serving, text: str) -> list[FoundItem]:
    """The first ITEMS that a search finds."""
    search = serving.search(Request("predict", text=text), ITEMS, Filters())
    found = await asyncio.wrap_future(search)
    items = [found.index.item(row) for row in found.rows]
    return [
        FoundItem(
            item_id=item["item_id"],
            title=item["title"] or "",
            description=beginning(item.get("description") or ""),
            score=score,
        )
        for item, score in zip(items, found.scores, strict=True)
    ]


def _answers(release: Release, heads: list[Head], texts: list[str]) -> list[Answer]:
    """One answer per head, to its own text; equal texts are encoded once."""
    vectors = release.index.encoder.encode_items(texts)
    pairs = zip(heads, vectors[:, None], texts, strict=True)
    return [head.answers(vector, [text])[0] for head, vector, text in pairs]
