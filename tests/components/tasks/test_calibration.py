"""Probabilities are what they say; calibration by few rows, and by more than fit in memory."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from components.contract.ports import Vectors
from components.tasks import heads
from components.tasks.calibration import LEAST_PROBABILITY, calibrated
from components.tasks.fit import _relearned, fit_head
from components.tasks.heads import Head, softmax
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


UNEQUAL = "a" * 16 + "bbb" + "c"


def what_it_says(head: Head, vectors: Vectors, targets: list[str]) -> dict[str, tuple[float, float]]:
    """By answered label: the mean of what it says of itself, and how often it is right."""
    probabilities, names = head.probabilities(vectors), np.asarray(head.labels)
    place = head.answered(probabilities)
    said, right = probabilities[np.arange(len(place)), place], names[place] == targets
    return {
        str(name): (said[names[place] == name].mean(), right[names[place] == name].mean()) for name in names
    }


def test_balanced_classes_are_as_probable_as_they_are_frequent() -> None:
    """Overlapping classes of 80, 15 and 5 % that weigh alike in the loss: the head answers the rare ones more
    often than they occur, and says how often that is right."""
    head = fit_head(task(balanced=True), *clouds(1_000, 1, UNEQUAL, noise=0.6))
    told = calibrated(head, *clouds(1_000, 2, UNEQUAL, noise=0.6))
    fresh, true = clouds(20_000, 3, UNEQUAL, noise=0.6)
    for label, (said, right) in what_it_says(told, fresh, true).items():
        assert abs(said - right) < 0.08, label
    before = what_it_says(head, fresh, true)
    assert before["c"][0] - before["c"][1] > 0.2
    shares = [true.count(label) / len(true) for label in told.labels]
    np.testing.assert_allclose(told.probabilities(fresh).mean(axis=0), shares, atol=0.02)
    np.testing.assert_array_equal(answered(told, fresh), answered(head, fresh))


def test_the_label_is_the_one_that_was_fitted_though_another_is_more_probable(tmp_path: Path) -> None:
    """Wherever it is told: in answers, by probabilities, after saving and loading, and by the judge."""
    head = fit_head(task(balanced=True), *clouds(1_000, 1, UNEQUAL, noise=0.6))
    calibrated(head, *clouds(1_000, 2, UNEQUAL, noise=0.6)).save(tmp_path)
    told, (fresh, _) = Head.load(tmp_path), clouds(500, 3, UNEQUAL, noise=0.6)
    wanted, answers = answered(told, fresh).tolist(), told.answers(fresh)
    assert [one.label for one in answers] == wanted
    assert any(one.alternatives[0].probability > one.probability for one in answers)
    best, probability = _best(told, fresh, [""] * 500)
    assert [told.labels[one] for one in best[:, 0]] == wanted
    assert probability.tolist() == [one.probability for one in answers]


def test_a_class_of_few_rows_hardly_moves() -> None:
    """Two rows of "d" on validation, where none is to be expected, do not make it frequent."""
    vectors, targets = clouds(400, 1, noise=0.6)
    held, true = clouds(400, 2, "abc", noise=0.6)
    rare = clouds(2, 3, "d", noise=0.6)
    head = calibrated(fit_head(task(), vectors, targets), np.concatenate([held, rare[0]]), true + rare[1])
    assert head.class_bias is not None
    common = abs(np.log(2 / 100))
    assert -common / 2 < head.class_bias[3] - head.class_bias[:3].mean() < 0


@pytest.mark.parametrize("kind", ["classification", "nearest"])
def test_labels_that_training_did_not_have_make_answers_less_sure(kind: str) -> None:
    """Half of what is asked is about one: they say of themselves what is nearer to how often they are right,
    by more than half."""
    head = fit_head(task(head=kind), *clouds(600, 1, "abc"))
    held, true = clouds(1_200, 2, "abcddd")
    told = calibrated(head, held, true)
    known = np.asarray(true) != "d"
    without = calibrated(head, held[known], np.asarray(true)[known].tolist())
    fresh, wanted = clouds(5_000, 3, "abcddd")
    right = np.mean(answered(told, fresh) == wanted)
    said = [one.probabilities(fresh).max(axis=1).mean() for one in (without, told)]
    assert abs(said[1] - right) < (said[0] - right) / 2


def test_rows_with_one_possible_answer_teach_nothing_of_unknown_labels() -> None:
    """Left out of folds of few labels: nothing else could have been said."""
    head = fit_head(task(), *clouds(100, 1))
    held, targets = clouds(10, 2)
    outputs = np.full((3, 4), -np.inf)
    outputs[:2, 1] = 5.0
    told = calibrated(head, held, targets, left_out=(outputs, np.full(3, -1)))
    assert told.temperature == pytest.approx(calibrated(head, held, targets).temperature)


@pytest.mark.parametrize("kind", ["classification", "nearest"])
def test_easy_questions_do_not_carry_hopeless_ones(kind: str) -> None:
    """Nine of ten are easy, so all answers together are right often enough; the tenth are about none of the
    known, and are not answered although one in a while is right."""
    vectors, targets = unit(50, 1), [f"answer {number}" for number in range(50)]
    head = fit_head(task(head=kind, precision=0.8), vectors, targets)
    rng = np.random.default_rng(2)

    def asked(seed: int) -> tuple[Vectors, list[str]]:
        off_topic = unit(50, seed)
        return np.concatenate([np.tile(vectors, (9, 1)), off_topic]), targets * 9 + rng.choice(
            targets, 50
        ).tolist()

    told = calibrated(head, *asked(3))
    assert told.threshold >= LEAST_PROBABILITY
    answers = told.answers(asked(4)[0])
    assert not any(one.abstained for one in answers[:450])
    assert np.mean([one.abstained for one in answers[450:]]) > 0.9


def test_a_head_from_before_biases_were_fitted_is_read(tmp_path: Path) -> None:
    """Its files have none: a temperature alone."""
    vectors, targets = clouds(100, 1)
    replace(fit_head(task(), vectors, targets), temperature=0.5).save(tmp_path)
    assert "class_bias" not in load_file(tmp_path / "head.safetensors")
    head = Head.load(tmp_path)
    assert head.class_bias is None
    np.testing.assert_allclose(head.probabilities(vectors), softmax(head.outputs(vectors)))
