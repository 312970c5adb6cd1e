"""What a head would answer to texts that it learned, had it not."""

import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from components.contract.ports import Vectors
from components.contract.task import Task
from components.tasks.fit import fit_heads
from components.tasks.heads import Head, open_heads
from components.tasks.left_out import FILE, probabilities_unlearned, read_left_out
from tests.components.tasks.conftest import task, unit

OPINIONS = task(name="mood", text=("text",), opinions=True, prompt="Read:")
LEARNED, NEW = [f"learned{n}" for n in range(200)], [f"new{n}" for n in range(200)]
TEXTS = [f"Read: {text}" for text in LEARNED + NEW]


class Drawn:
    """Each text has a vector that says nothing of its label."""

    digest = "drawn"

    def __init__(self) -> None:
        self.vectors = dict(zip(TEXTS, unit(len(TEXTS), seed=1, dimensions=150), strict=True))

    def encode_items(self, texts: list[str]) -> Vectors:
        return np.stack([self.vectors[text] for text in texts])

    encode_queries = encode_items


@pytest.fixture
def fitted(tmp_path: Path):
    """fitted(task, labels of what is learned) → its head, and the folder that it was read from."""

    def make(asked: Task, labels: list[str]) -> tuple[Head, Path]:
        (tmp_path / "rows" / asked.name).mkdir(parents=True)
        parts = {"train": (TEXTS[:200], labels), "validation": (TEXTS[200:], labels)}
        for part, (texts, targets) in parts.items():
            rows = pl.DataFrame({"item_id": None, "text": texts, "target": targets, "is_new": False})
            rows.write_parquet(tmp_path / "rows" / asked.name / f"{part}.parquet")
        fit_heads([asked], tmp_path / "rows", Drawn(), Drawn(), tmp_path / "heads")
        return open_heads(tmp_path / "heads")[asked.name], tmp_path / "heads" / asked.name

    return make


def test_what_was_learned_is_read_as_what_is_new(fitted) -> None:
    """Labels by chance: the head repeats those it learned; who has not learned them cannot know them. A new
    text is the head's own."""
    labels = np.random.default_rng(0).choice(["negative", "positive"], 200)
    head, folder = fitted(OPINIONS, labels.tolist())
    names, left_out = np.asarray(head.labels), read_left_out(folder)
    learned = names[head.answered(head.probabilities(Drawn().encode_items(TEXTS[:200]), TEXTS[:200]))]
    unlearned = probabilities_unlearned(head, Drawn(), [f"{text} " for text in LEARNED], left_out)
    assert (learned == labels).mean() > 0.75
    assert 0.35 < (names[head.answered(unlearned)] == labels).mean() < 0.65
    both = probabilities_unlearned(head, Drawn(), [NEW[0], LEARNED[0]], left_out)
    assert both[0] == pytest.approx(head.probabilities(Drawn().encode_items([TEXTS[200]]), [TEXTS[200]])[0])
    assert both[1] == pytest.approx(unlearned[0])


def test_a_class_that_cannot_be_left_out_is_read_by_the_head(fitted) -> None:
    """A single row of it: the heads without that fold know another set of classes."""
    labels = ["neutral", *np.random.default_rng(0).choice(["negative", "positive"], 199)]
    head, folder = fitted(OPINIONS, labels)
    left_out = read_left_out(folder)
    assert len(left_out) == 160
    found = probabilities_unlearned(head, Drawn(), LEARNED[:1], left_out)
    assert found == pytest.approx(head.probabilities(Drawn().encode_items(TEXTS[:1]), TEXTS[:1]))


def test_only_opinions_are_compared_and_an_older_release_says_that_it_has_none(fitted, caplog) -> None:
    _, folder = fitted(task(name="mood", text=("text",)), ["negative", "positive"] * 100)
    assert not (folder / FILE).exists()
    with caplog.at_level(logging.WARNING):
        assert read_left_out(folder) == {}
    assert "left_out.parquet is absent" in caplog.text
