"""Heads as a release holds them: one matrix, run by numpy; no torch here.

    heads/<task>/head.safetensors   weights (m, d), bias (k,), members or coefficients (m,), class_bias (k,)
                 head.json          the task's declaration, its labels and what was calibrated on validation
                 words.*            where the text's own words are read, too (words.py)
                 left_out.parquet   of opinions: what heads that had not learned its texts say (left_out.py)

Legend of shapes: n texts, d dimensions, k outputs (classes; 1 for a regression), m rows of weights: k, or one
per training text ("nearest", regression).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from components.contract.errors import DataError, EncoderError
from components.contract.files import disk_errors, write_json
from components.contract.ports import Encoder, Vectors
from components.contract.records import Record
from components.contract.tables import TABLES
from components.contract.task import Task
from components.tasks.coding import Floats
from components.tasks.words import Words, mixed

WEIGHTS, DESCRIPTION = "head.safetensors", "head.json"
ALTERNATIVES = 3
MOST_CELLS = 20_000_000
"""Of (texts, rows) numbers at a time: 160 MB."""


class Label(Record):
    label: str
    probability: float


class ClassAnswer(Record):
    """A class, with the calibrated probability that it is right."""

    task: str
    says: str
    label: str
    probability: float
    alternatives: tuple[Label, ...]
    """Others, most probable first. One may be more probable than the label, where the task is `balanced`."""
    abstained: bool = False
    """Too improbable to be relied on, as the task's `precision` has it; the label is a guess."""


class Past(Record):
    """A training text, and its target."""

    text: str
    label: str
    cosine: float


class ValueAnswer(Record):
    """A number, with the interval that is to hold the truth in `coverage` of all cases."""

    task: str
    says: str
    value: float
    low: float | None
    """None: validation had too few rows for an interval."""
    high: float | None
    coverage: float


Answer = ClassAnswer | ValueAnswer


@dataclass(frozen=True, eq=False)
class Head:
    task: Task
    weights: Vectors
    """(m, d)"""
    bias: Vectors
    """(k,)"""
    labels: tuple[str, ...] = ()
    """Of a classification's outputs."""
    temperature: float = 1.0
    """Logits are divided by it: chosen on validation, so that probabilities are what they say."""
    class_bias: Floats | None = None
    """(k,) added to the logits for probabilities alone; the label is that of the largest output without it.
    None: of releases from before it was fitted, and of a nearest."""
    half_width: float | None = None
    """Of a regression's interval, on the head's scale (of logarithms, where the task says so)."""
    threshold: float = 0.0
    """Answers that are less probable abstain."""
    coefficients: Vectors | None = None
    """(m,) of a regression: what each training text adds, by its likeness exp(kernel · (cosine − 1))."""
    kernel: float = 0.0
    members: NDArray[np.int64] | None = None
    """(m,) ascending numbers of the labels that rows of weights stand for; None: row r for label r."""
    texts: tuple[str, ...] = ()
    """(m,) of a nearest: the training text of each row."""
    penalty: float | None = None
    """Of a linear head's squared weights, as it was chosen; not kept in a release."""
    words: Words | None = None
    words_share: float = 0.0
    """Of the outputs, what the text's own words say; the rest is by its vector. Chosen on validation."""

    def outputs(self, vectors: Vectors, texts: Sequence[str] = ()) -> Floats:
        """(n, d) unit vectors, and their n texts for a head that has words → (n, k): calibrated logits, or
        values on the head's scale. Raises EncoderError for vectors of another encoder's dimensions."""
        self.require_dimensions(vectors.shape[1])
        raw = vectors.astype(np.float64) @ self._wide_weights.T  # (n, m)
        if self.members is not None:  # of each label the most similar of its rows
            starts = np.flatnonzero(np.diff(self.members, prepend=-1))
            raw = np.maximum.reduceat(raw, starts, axis=1)
        if self.coefficients is not None:
            raw = (np.exp(self.kernel * (raw - 1)) @ self.coefficients.astype(np.float64))[:, None]
        raw = raw + self.bias
        if self.words is not None:
            raw = mixed(raw, self.words.outputs(texts), self.words_share)
        return np.asarray(raw / self.temperature)

    @cached_property
    def _wide_weights(self) -> Floats:
        """Kept: to widen them takes as long as the product does, and a search may ask for one at a time."""
        return self.weights.astype(np.float64)

    def probabilities(self, vectors: Vectors, texts: Sequence[str] = ()) -> Floats:
        """(n, k), of a classification or a nearest; see `probabilities_of`."""
        return self.probabilities_of(self.outputs(vectors, texts))

    def probabilities_of(self, outputs: Floats) -> Floats:
        """(n, k) outputs → (n, k)."""
        return softmax(outputs if self.class_bias is None else outputs + self.class_bias)

    def answered(self, probabilities: Floats) -> NDArray[np.int64]:
        """(n, k) probabilities that it gave → (n,) numbers of the labels that it answers: of the largest
        outputs. A `balanced` head is to find rare classes, though a frequent one may be more probable."""
        if self.class_bias is not None:
            probabilities = probabilities * np.exp(-self.class_bias)
        return np.asarray(probabilities.argmax(axis=1))

    def ranked(self, probabilities: Floats) -> NDArray[np.int64]:
        """(n, k) probabilities that it gave → (n, k) numbers of labels: the one that it answers, then the
        others, most probable first."""
        first = np.arange(len(self.labels)) == self.answered(probabilities)[:, None]
        return np.argsort(np.where(first, -np.inf, -probabilities), axis=1, kind="stable")

    def values(self, vectors: Vectors, texts: Sequence[str] = ()) -> tuple[Floats, Floats, Floats]:
        """Of a regression: (n,) values, lower and upper ends (NaN where there is no interval)."""
        middle = self.outputs(vectors, texts)[:, 0]
        width = np.nan if self.half_width is None else self.half_width
        ends = middle, middle - width, middle + width
        value, low, high = (np.exp(end) if self.task.log_scale else end for end in ends)
        return value, low, high

    def answers(self, vectors: Vectors, texts: Sequence[str] = ()) -> list[Answer]:
        if self.task.head != "regression":
            probabilities = self.probabilities(vectors, texts)
            return list(map(self._class_answer, probabilities, self.ranked(probabilities)))
        values = self.values(vectors, texts)
        return [self._value_answer(*map(float, line)) for line in zip(*values, strict=True)]

    def _class_answer(self, probabilities: Floats, ranked: NDArray[np.int64]) -> ClassAnswer:
        """(k,) probabilities and label numbers."""
        found = [
            Label(label=self.labels[place], probability=float(probabilities[place]))
            for place in ranked[: 1 + ALTERNATIVES]
        ]
        return ClassAnswer(
            task=self.task.name,
            says=self.task.says,
            label=found[0].label,
            probability=found[0].probability,
            alternatives=tuple(found[1:]),
            abstained=found[0].probability < self.threshold,
        )

    def _value_answer(self, value: float, low: float, high: float) -> ValueAnswer:
        ends = {"low": None, "high": None} if self.half_width is None else {"low": low, "high": high}
        return ValueAnswer(
            task=self.task.name, says=self.task.says, value=value, coverage=self.task.coverage, **ends
        )

    def past(self, vector: Vectors, most: int) -> list[Past]:
        """Of a nearest: the training texts most like one (d,) vector, one per label, the most similar first;
        none of a release that does not hold them."""
        if not self.texts or self.members is None:
            return []
        cosines = self.weights @ vector
        found: dict[int, Past] = {}
        for row in np.argsort(-cosines, kind="stable").tolist():
            label = int(self.members[row])
            if label not in found:
                found[label] = Past(
                    text=self.texts[row], label=self.labels[label], cosine=float(cosines[row])
                )
            if len(found) == most:
                break
        return list(found.values())

    def require_dimensions(self, dimensions: int) -> None:
        """Raises EncoderError where an encoder of so many cannot be what the head was fitted on."""
        if dimensions != self.weights.shape[1]:
            raise EncoderError(
                f"The head of task {self.task.name} reads vectors of {self.weights.shape[1]} dimensions, but "
                f"its encoder gives {dimensions}: it is another release's; build the release again."
            )

    def _misfit(self) -> str | None:
        """What of it does not fit the rest, in words."""
        if self.weights.ndim != 2 or self.bias.ndim != 1:
            return f"weights of shape {self.weights.shape} and a bias of {self.bias.shape}"
        rows, outputs = len(self.weights), 1 if self.task.head == "regression" else len(self.labels)
        if len(self.bias) != outputs:
            return f"a bias of {len(self.bias)} for {outputs} outputs"
        if self.class_bias is not None and self.class_bias.shape != (outputs,):
            return f"a class_bias of shape {self.class_bias.shape} for {outputs} outputs"
        if self.words is not None and (misfit := self.words.misfit(outputs)):
            return misfit
        each = {"members": self.members, "coefficients": self.coefficients, "texts": self.texts or None}
        for name, found in each.items():
            if found is not None and len(found) != rows:
                return f"{len(found)} {name} for {rows} rows of weights"
        if self.members is not None:
            if not np.array_equal(np.unique(self.members), np.arange(outputs)):
                return f"members that are not all of {outputs} labels"
            return None if (np.diff(self.members) >= 0).all() else "members out of order"
        if self.coefficients is None and rows != outputs:
            return f"{rows} rows of weights for {outputs} outputs"
        return None

    @property
    def of_items(self) -> bool:
        """Whether an item's own columns are all that it reads."""
        return set(self.task.text) <= set(TABLES["items"].columns)

    def save(self, folder: Path) -> None:
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            arrays: dict[str, Any] = {
                "weights": np.ascontiguousarray(self.weights, np.float32),
                "bias": self.bias,
            }
            more = ("members", "coefficients", "class_bias")
            arrays |= {name: array for name in more if (array := getattr(self, name)) is not None}
            save_file(arrays, folder / WEIGHTS)
            if self.words is not None:
                self.words.save(folder)
        names = ("labels", "temperature", "half_width", "threshold", "kernel", "texts", "words_share")
        known = {name: getattr(self, name) for name in names}
        write_json(folder / DESCRIPTION, {"task": self.task.model_dump(mode="json"), **known})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Raises DataError for files that are damaged or do not fit each other, StorageError for absent
        ones."""
        with disk_errors(folder):
            try:
                known = json.loads((folder / DESCRIPTION).read_bytes())
                task = Task.model_validate(known.pop("task"))
                labels, texts = tuple(known.pop("labels")), tuple(known.pop("texts", ()))
                arrays: dict[str, Any] = load_file(folder / WEIGHTS)
                words = Words.load(folder) if known.get("words_share") else None
                head = cls(task=task, labels=labels, texts=texts, words=words, **arrays, **known)
            except (SafetensorError, ValueError, KeyError, TypeError) as error:
                reason = str(error).splitlines()[0]
                raise DataError(f"{folder}: no head that can be read ({reason}); build it again.") from error
        if misfit := head._misfit():
            raise DataError(f"{folder}: its files do not fit each other ({misfit}); build it again.")
        return head


def most_rows(head: Head) -> int:
    """So many texts are answered at a time: all of them by a nearest of many rows would not fit in memory."""
    return max(1, MOST_CELLS // max(len(head.weights), len(head.bias)))


def open_heads(folder: Path) -> dict[str, Head]:
    """The heads of a release by task; none where it has no such folder."""
    if not folder.is_dir():
        return {}
    return {path.parent.name: Head.load(path.parent) for path in sorted(folder.glob(f"*/{DESCRIPTION}"))}


def prompted(task: Task, text: str) -> str:
    """A text as the head reads it: with the task's prompt before it; an empty one stays empty."""
    return f"{task.prompt} {text}" if task.prompt and text else text


def encoded(task: Task, encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """(n, d) of texts that the head reads: queries as search encodes them, so that one vector serves both."""
    return encoder.encode_queries(texts) if task.of_queries else encoder.encode_items(texts)


def same_question(one: Task, other: Task) -> bool:
    """Whether two declarations ask the same of the same texts, so that their answers can be compared: a head
    that is asked about other texts than those it was fitted on would lose for that alone."""
    names = {"rows", "text", "prompt", "head", "log_scale"}
    return one.model_dump(include=names) == other.model_dump(include=names)


def softmax(logits: Floats) -> Floats:
    """(n, k) → (n, k), each line summing to 1."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
