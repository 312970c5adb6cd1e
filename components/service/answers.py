"""POST /answer: the best past answer to a customer's question with its source, or one composed from what was
found."""

import asyncio
import logging
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from components.contract.ports import Vectors
from components.contract.serving import ServingSettings
from components.contract.texts import as_utf8
from components.service.auth import Gatekeeper
from components.service.completions import CompletionError, completed
from components.service.metrics import Metrics
from components.service.predictions import composed, described, found_items, query_vectors
from components.service.problems import ProblemError, body_responses, responses
from components.service.request_checks import json_body, known_parameters
from components.service.routes import RELEASE_HEADER
from components.service.schemas import MOST_CHARACTERS, Body, FoundItem
from components.service.serving import Release, Serving
from components.tasks.heads import ClassAnswer, Head, Past, prompted

logger = logging.getLogger(__name__)


class QuestionBody(Body):
    question: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    k: Annotated[int, Field(ge=1, le=20)] = 3
    """So many past questions are shown."""


class PastQuestion(BaseModel):
    """A dialogue that the release learnt."""

    question: str
    answer: str
    score: float
    """Cosine of both questions, from -1 to 1."""


class GivenAnswer(BaseModel):
    release: str
    answer: str | None
    """None: no past answer is sure enough, and nothing was found to compose one from."""
    by: Literal["past answer", "endpoint", "template", "nobody"]
    probability: float
    """Calibrated: that the best past answer is the right one."""
    source: PastQuestion | None
    """The dialogue that a past answer is taken from."""
    past: list[PastQuestion]
    """The most similar past questions with different answers, the most similar first."""
    items: list[FoundItem]
    """What a composed answer stands on, beside `past`."""
    problem: str | None
    """Why the endpoint wrote no answer, where one is configured and was asked."""


class AnswerRoutes:
    def __init__(
        self, serving: Serving, settings: ServingSettings, metrics: Metrics, key: str | None = None
    ) -> None:
        """key: of the endpoint."""
        self._serving = serving
        self._settings = settings.answers
        self._max_characters = settings.max_query_characters
        self._metrics = metrics
        self._key = key

    def router(self, gatekeeper: Gatekeeper) -> APIRouter:
        router = APIRouter(
            tags=["answers"],
            responses=responses,
            dependencies=[Depends(gatekeeper.needs("read")), Depends(known_parameters)],
        )
        router.post(
            "/answer",
            response_model=GivenAnswer,
            responses=body_responses,
            dependencies=[Depends(json_body)],
        )(self.answer)
        return router

    async def answer(self, body: QuestionBody, response: Response) -> GivenAnswer:
        """The answer that the most similar past question was given, where that is probably right; else one
        composed from past answers and items that were found."""
        release = self._serving.release()
        response.headers[RELEASE_HEADER] = release.digest
        head = self._head(release)
        if not body.question.strip():
            raise ProblemError(422, "question is empty: send at least one character.")
        question = as_utf8(body.question)
        text = prompted(head.task, question)
        if head.task.of_queries:
            vectors = await query_vectors(self._serving, release, text, "question", self._max_characters)
        else:
            vectors = await asyncio.to_thread(release.index.encoder.encode_items, [text])
        best, near = await asyncio.to_thread(_read, head, vectors, body.k)
        past = [PastQuestion(question=one.text, answer=one.label, score=one.cosine) for one in near]
        given = GivenAnswer(
            release=release.digest,
            answer=best.label,
            by="past answer",
            probability=best.probability,
            source=next((one for one in past if one.answer == best.label), None),
            past=past,
            items=[],
            problem=None,
        )
        if best.abstained:
            given = await self._composed(given, head, question)
        self._metrics.answered(given.by, endpoint_failed=given.problem is not None)
        return given

    def _head(self, release: Release) -> Head:
        head = release.heads.get(self._settings.task)
        if head is None or head.task.head != "nearest":
            nearest = [name for name, one in release.heads.items() if one.task.head == "nearest"]
            known = ", ".join(nearest) or "none"
            raise ProblemError(
                404,
                f"This release has no past answers by the task {self._settings.task!r} "
                f"(serving.answers.task); tasks with such a head: {known}.",
            )
        return head

    async def _composed(self, given: GivenAnswer, head: Head, question: str) -> GivenAnswer:
        items = await found_items(self._serving, question.strip()[: self._max_characters])
        changes: dict[str, object] = {"answer": None, "by": "nobody", "source": None, "items": items}
        text = composed(head, items)
        if text is not None:
            changes |= {"answer": text, "by": "template"}
        passages = [f"{one.question} {one.answer}" for one in given.past]
        passages += [described(item) for item in items]
        if self._settings.endpoint is not None and passages:
            try:
                text = await completed(self._settings, self._key, question, passages)
                changes |= {"answer": text, "by": "endpoint"}
            except CompletionError as error:
                logger.error("The answers' endpoint failed: %s. The template answers.", error)
                changes["problem"] = f"The endpoint wrote no answer: {error}."
        return given.model_copy(update=changes)


def _read(head: Head, vectors: Vectors, most: int) -> tuple[ClassAnswer, list[Past]]:
    [answer] = head.answers(vectors)
    assert isinstance(answer, ClassAnswer)  # what a nearest head gives
    return answer, head.past(vectors[0], most)
