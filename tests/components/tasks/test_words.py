"""A head that reads the text's words beside its vector."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.contract.errors import DataError
from components.contract.ports import Vectors
from components.tasks.baselines import MANY_CLASSES, baseline_answers, fit_words
from components.tasks.calibration import calibrated
from components.tasks.fit import fit_head, with_words
from components.tasks.heads import ClassAnswer, Head
from tests.components.tasks.conftest import task, unit


def shop(count: int, seed: int, kinds: str = "abc") -> tuple[list[str], list[str]]:
    """Texts, and the kind that one of their words tells."""
    drawn = np.random.default_rng(seed).choice(list(kinds), count).tolist()
    return [f"made of{kind} number {row % 7}" for row, kind in enumerate(drawn)], drawn


def frame(texts: list[str], targets: list[Any]) -> pl.DataFrame:
    return pl.DataFrame({"text": texts, "target": targets})


def headed(kinds: str = "abc", **changes: Any) -> Head:
    """Vectors say nothing, words everything."""
    (texts, true), (held, held_true) = shop(120, 1, kinds), shop(80, 2, kinds)
    own = task(**changes)
    head = fit_head(own, unit(120, 3), true, texts)
    vectors = unit(80, 4)
    head = with_words(head, frame(texts, true), frame(held, held_true), vectors)
    return calibrated(head, vectors, held_true, held)


@pytest.mark.parametrize("kinds", ["ab", "abc"])
@pytest.mark.parametrize("metrics", [("macro_f1",), ()])
def test_words_answer_what_vectors_cannot(kinds: str, metrics: tuple[str, ...], tmp_path: Path) -> None:
    """And they come back from the release's files; two classes have scikit-learn's one line of weights."""
    head = headed(kinds, metrics=metrics)
    assert head.words_share > 0
    texts, true = shop(60, 5, kinds)
    head.save(tmp_path / "kind")
    loaded = Head.load(tmp_path / "kind")
    vectors = unit(60, 6)
    answers = [answer for answer in loaded.answers(vectors, texts) if isinstance(answer, ClassAnswer)]
    assert [answer.label for answer in answers] == true
    np.testing.assert_allclose(loaded.outputs(vectors, texts), head.outputs(vectors, texts))
    alone = replace(head, words=None).probabilities(vectors).argmax(axis=1)
    assert np.mean(np.asarray(head.labels)[alone] == true) < 0.8


@pytest.mark.parametrize(("wrong", "gets_words"), [(1, False), (30, True)])
def test_a_gain_within_the_standard_error_is_none(wrong: int, gets_words: bool) -> None:
    """Words cost size and time, so they are taken for what they are shown to bring."""
    (texts, true), (held, held_true) = shop(120, 1), shop(80, 2)
    told = {kind: np.eye(16, dtype=np.float32)[place] for place, kind in enumerate("abc")}
    head = fit_head(task(), np.stack([told[kind] for kind in true]), true, texts)
    misled = [*(["b" if kind == "a" else "a" for kind in held_true[:wrong]]), *held_true[wrong:]]
    vectors = np.stack([told[kind] for kind in misled])
    assert (
        bool(with_words(head, frame(texts, true), frame(held, held_true), vectors).words_share) == gets_words
    )


def test_words_alone_are_the_baseline() -> None:
    """The same answers as the pipeline that they were taken from."""
    texts, true = shop(120, 1)
    words = fit_words(task(), texts, true)
    assert words is not None
    asked = shop(40, 9)[0]
    found = np.asarray(["a", "b", "c"])[words.outputs(asked).argmax(axis=1)]
    assert found.tolist() == baseline_answers(task(), frame(texts, true), asked)[:, 0].tolist()


def test_a_price_is_a_mixture_of_both() -> None:
    """Half of the logarithm is in the vector, half in a word: neither alone comes near both together."""
    own = task(head="regression", log_scale=True)

    def rows(count: int, seed: int) -> tuple[Vectors, list[str], list[float]]:
        vectors, (texts, kinds) = unit(count, seed), shop(count, seed)
        said = np.asarray([{"a": -1.0, "b": 0.0, "c": 1.0}[kind] for kind in kinds])
        return vectors, texts, np.exp(5 * vectors[:, 0] + said).tolist()

    vectors, texts, prices = rows(300, 1)
    held = rows(100, 2)
    head = with_words(fit_head(own, vectors, prices, texts), frame(texts, prices), frame(*held[1:]), held[0])
    assert 0 < head.words_share < 1
    fresh = rows(200, 3)
    errors = [
        np.abs(np.log(one.values(fresh[0], fresh[1])[0]) - np.log(fresh[2])).mean()
        for one in (head, replace(head, words=None), replace(head, words_share=1.0))
    ]
    assert errors[0] < min(errors[1:])


def test_words_that_do_not_help_are_left_out(tmp_path: Path) -> None:
    """The vectors say all; and too few rows tell nothing."""
    axes = np.eye(16, dtype=np.float32)
    true = ["a", "b", "c"] * 40
    vectors, texts = axes[[0, 1, 2] * 40], [f"text {row}" for row in range(120)]
    head = fit_head(task(), vectors, true, texts)
    assert with_words(head, frame(texts, true), frame(texts, true), vectors) is head
    assert with_words(head, frame(*shop(120, 1)), frame(*shop(20, 2)), unit(20, 3)) is head
    head.save(tmp_path / "kind")
    assert {path.name for path in (tmp_path / "kind").iterdir()} == {"head.json", "head.safetensors"}


def test_who_has_no_words() -> None:
    texts, true = shop(60, 1)
    assert fit_words(task(words=False), texts, true) is None
    assert fit_words(task(head="nearest"), texts, true) is None
    assert fit_words(task(text=("query",)), texts, true) is None
    assert fit_words(task(), texts, ["a"] * 60) is None
    many = [f"k{row}" for row in range(MANY_CLASSES + 1)]
    assert fit_words(task(), many, many) is None


def test_another_heads_words_are_refused(tmp_path: Path) -> None:
    """When the head is opened, and a file that is no file of words, too."""
    head = headed("abc")
    assert head.words is not None
    replace(head, words=replace(head.words, vocabulary=("one",))).save(tmp_path / "kind")
    with pytest.raises(DataError, match=r"words' weights of shape .* for 3 outputs and 1 words"):
        Head.load(tmp_path / "kind")


@pytest.mark.parametrize(
    "damaged",
    [
        lambda words: "{",
        lambda words: json.dumps([[word] for word in words]),
        lambda words: json.dumps(list(range(len(words)))),
        lambda words: json.dumps("x" * len(words)),
        lambda words: json.dumps(dict.fromkeys(reversed(words), 0)),
        lambda words: "[]",
    ],
    ids=["no JSON", "lists", "numbers", "one text", "an object", "none"],
)
def test_damaged_words_are_refused(damaged: Callable[[list[str]], str], tmp_path: Path) -> None:
    """When the head is opened, not by wrong answers later."""
    headed("abc").save(tmp_path / "kind")
    file = tmp_path / "kind" / "words.json"
    file.write_text(damaged(json.loads(file.read_text())))
    with pytest.raises(DataError, match="no head that can be read"):
        Head.load(tmp_path / "kind")


def test_words_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    head = headed("abc")
    assert head.words is not None
    replace(head, words=replace(head.words, idf=head.words.idf * np.nan)).save(tmp_path / "kind")
    with pytest.raises(DataError, match="no head that can be read"):
        Head.load(tmp_path / "kind")


def test_no_text_has_no_answer() -> None:
    """As where a task has no row in the test part."""
    assert headed("abc").outputs(np.empty((0, 16), dtype=np.float32), []).shape == (0, 3)
