"""What a team would try first, beside a head."""

import numpy as np
import polars as pl
import pytest

from components.contract.task import Task
from components.tasks.baselines import MANY_CLASSES, baseline_answers

BRAND = Task(name="brand", says="Brand", rows="SELECT 1", text=("title",), head="classification")


@pytest.mark.parametrize("classes", [4, MANY_CLASSES + 1])
def test_the_class_that_shares_the_text_s_words_comes_first(classes: int) -> None:
    """Few classes and many are told apart by their own word, though all share another."""
    names = [f"maker{number:03d}" for number in range(classes)]
    train = pl.DataFrame(
        {"text": [f"{name} mug {n}" for name in names for n in "abc"], "target": [*np.repeat(names, 3)]}
    )
    found = baseline_answers(BRAND, train, [f"mug {names[1]}", f"{names[3]} mug d"], best=2)
    assert found[:, 0].tolist() == [names[1], names[3]]
    assert found.shape == (2, 2)


@pytest.mark.parametrize("targets", [["a", "b"], ["a", "a", "a", "b"]])
def test_a_handful_of_rows_is_answered_without_a_search(targets: list[str]) -> None:
    """No part of two rows of two classes has both."""
    train = pl.DataFrame({"text": [f"{name} mug" for name in targets], "target": targets})
    assert baseline_answers(BRAND, train, ["b"])[0, 0] in {"a", "b"}
