"""Calibration by few rows, and by more than fit in memory."""

from functools import partial

import numpy as np
import pytest

from components.tasks import heads
from components.tasks.calibration import calibrated
from components.tasks.fit import _relearned, fit_head
from components.tasks.judging import _best
from components.tasks.left_out import left_out_outputs
from tests.components.tasks.conftest import answered, clouds, task, unit


def test_two_right_answers_make_no_answer_certain() -> None:
    """Where few rows were held out, training rows that were left out of such fits are calibrated by, too:
    of clouds that overlap the head says how often it is right, not that it always is."""
    vectors, targets = clouds(80, 1)
    texts = [f"text {row}" for row in range(80)]
    one = task()
    head = fit_head(one, vectors, targets, texts)
    relearn = partial(_relearned, head, vectors, targets, texts, None)
    fresh, true = clouds(2_000, 2)
    right = [row for row, said in enumerate(answered(head, fresh)) if said == true[row]][:2]
    held = fresh[right], [true[row] for row in right]
    left_out = left_out_outputs(head, vectors, targets, texts, relearn)
    rough, better = calibrated(head, *held), calibrated(head, *held, left_out=left_out)
    accuracy = np.mean(answered(head, fresh) == true)
    said = [one.probabilities(fresh).max(axis=1).mean() for one in (rough, better)]
    assert abs(said[1] - accuracy) < abs(said[0] - accuracy) / 2


def test_a_label_of_one_text_is_unknown_where_that_is_left_out() -> None:
    """Of a nearest, too: its other rows answer, and its own label cannot be right."""
    vectors, targets = unit(6, 1), ["a", "a", "b", "b", "b", "c"]
    texts = [f"text {row}" for row in range(6)]
    head = fit_head(task(head="nearest"), vectors, targets, texts)
    relearn = partial(_relearned, head, vectors, targets, texts, None)
    outputs, codes = left_out_outputs(head, vectors, targets, texts, relearn)
    assert codes[5] == -1 and codes[2:5].tolist() == [1, 1, 1]
    assert np.isneginf(outputs[5, 2]) and np.isfinite(outputs[5, :2]).any()
    alone = left_out_outputs(head, vectors[:1], targets[:1], texts[:1], relearn)
    assert alone[1].tolist() == [-1]


def test_many_texts_are_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As all at once; and what is calibrated by is drawn."""
    vectors, targets = unit(60, 1), [f"answer {number % 20}" for number in range(60)]
    head = fit_head(task(head="nearest", precision=0.9), vectors, targets)
    asked = unit(50, 2)
    whole = _best(head, asked, [""] * 50)
    monkeypatch.setattr(heads, "MOST_CELLS", 7 * 60)
    assert heads.most_rows(head) == 7
    for part, of_all in zip(_best(head, asked, [""] * 50), whole, strict=True):
        np.testing.assert_allclose(part, of_all)
    assert calibrated(head, vectors, targets).temperature > 0
