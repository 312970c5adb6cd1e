"""Heads: fitted as scikit-learn would, calibrated on other rows, saved and run by numpy."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from components.contract.errors import DataError, EncoderError
from components.contract.ports import Vectors
from components.tasks.calibration import NEVER, calibrated
from components.tasks.coding import Coding
from components.tasks.fit import fit_head
from components.tasks.folds import folds_of
from components.tasks.heads import ClassAnswer, Head, ValueAnswer, open_heads, prompted, same_question
from components.tasks.modules import TaskHead
from tests.components.tasks.conftest import answered, clouds, task, unit


def noisy_classes(vectors: Vectors, seed: int) -> list[str]:
    """Three classes by a random plane each, with noise."""
    rng = np.random.default_rng(seed)
    planes = np.random.default_rng(7).normal(size=(vectors.shape[1], 3))
    scores = vectors @ planes + 0.3 * rng.gumbel(size=(len(vectors), 3))
    return np.asarray(["a", "b", "c"])[scores.argmax(axis=1)].tolist()


def test_a_classification_is_as_good_as_scikit_learns() -> None:
    """An independent library reaches the same accuracy on rows that neither saw."""
    vectors, held = unit(600, 1), unit(2_000, 2)
    targets, true = noisy_classes(vectors, 3), np.asarray(noisy_classes(held, 4))
    head = fit_head(task(), vectors, targets)
    answers = np.asarray(head.labels)[head.probabilities(held).argmax(axis=1)]
    theirs = LogisticRegression(C=100.0, max_iter=1_000).fit(vectors, targets).predict(held)
    assert (answers == true).mean() > (theirs == true).mean() - 0.01


def test_temperature_makes_probabilities_true() -> None:
    """A head that is ten times too sure is brought back to the shares that are right."""
    vectors, held, fresh = unit(600, 1), unit(1_000, 2), unit(3_000, 5)
    sure = fit_head(task(), vectors, noisy_classes(vectors, 3))
    sure = Head(sure.task, 10 * sure.weights, 10 * sure.bias, sure.labels)
    head = calibrated(sure, held, noisy_classes(held, 4))
    probabilities = head.probabilities(fresh)
    right = np.asarray(head.labels)[probabilities.argmax(axis=1)] == noisy_classes(fresh, 6)
    assert 5 < head.temperature < 20
    assert abs(probabilities.max(axis=1).mean() - right.mean()) < 0.03


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Split conformal: measured on fresh rows, within three standard errors of what was asked for."""
    price = task(head="regression", log_scale=True, coverage=0.8)
    rng = np.random.default_rng(0)

    def prices(vectors: Vectors) -> list[float]:
        return np.exp(3 + vectors[:, 0] + 0.2 * rng.standard_t(3, len(vectors))).tolist()

    train, held, fresh = unit(400, 1), unit(500, 2), unit(4_000, 3)
    head = calibrated(fit_head(price, train, prices(train)), held, prices(held))
    _, low, high = head.values(fresh)
    true = np.asarray(prices(fresh))
    assert abs(((low <= true) & (true <= high)).mean() - 0.8) < 0.06
    [answer] = head.answers(fresh[:1])
    assert isinstance(answer, ValueAnswer) and answer.low is not None and answer.high is not None
    assert answer.low < answer.value < answer.high


@pytest.mark.parametrize(("count", "wider"), [(10, False), (100, True)])
def test_an_interval_is_as_wide_as_new_items_ask_for(count: int, wider: bool) -> None:
    """Where enough of them are there to say so: their prices scatter twice as much."""
    price = task(head="regression", coverage=0.8)
    head = fit_head(price, unit(400, 1), np.random.default_rng(1).normal(size=400).tolist())
    vectors, rng = unit(500, 2), np.random.default_rng(2)
    is_new = np.arange(500) < count
    prices = (rng.normal(size=500) * np.where(is_new, 2.0, 1.0)).tolist()
    alone = calibrated(head, vectors, prices)
    both = calibrated(head, vectors, prices, is_new=is_new.tolist())
    assert alone.half_width is not None and both.half_width is not None
    assert (both.half_width > 1.3 * alone.half_width) == wider
    if wider:
        errors = np.abs(head.outputs(vectors)[:, 0] - prices)[is_new]
        assert 0.8 <= (errors <= both.half_width).mean() < 0.85


def test_too_few_rows_give_no_interval() -> None:
    """Five rows cannot show 90 %: the answer says so instead of guessing."""
    price = task(head="regression")
    vectors = unit(50, 1)
    head = calibrated(fit_head(price, vectors, vectors[:, 0].tolist()), unit(5, 2), [0.0] * 5)
    [answer] = head.answers(unit(1, 3))
    assert isinstance(answer, ValueAnswer) and answer.low is None and answer.high is None


def test_a_saved_head_is_the_torch_module_by_numpy(tmp_path: Path) -> None:
    """Weights, labels and calibration come back; outputs are the module's."""
    vectors = unit(200, 1)
    targets = noisy_classes(vectors, 2)
    head = fit_head(task(balanced=True, prompt="What is it?"), vectors, targets)
    head.save(tmp_path / "heads" / "kind")
    loaded = open_heads(tmp_path / "heads")["kind"]
    assert loaded.task == head.task and loaded.labels == ("a", "b", "c")
    module = TaskHead(head.task, 16, np.ones(3))
    with torch.no_grad():
        module.linear.weight.copy_(torch.from_numpy(loaded.weights) / 4)  # √16
        module.linear.bias.copy_(torch.from_numpy(loaded.bias))
        expected = module(torch.from_numpy(vectors)).numpy()
    np.testing.assert_allclose(loaded.outputs(vectors), expected, rtol=1e-4, atol=1e-4)
    [answer] = loaded.answers(vectors[:1])
    assert isinstance(answer, ClassAnswer)
    chances = [answer.probability, *(one.probability for one in answer.alternatives)]
    assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1.0)
    assert prompted(loaded.task, "oak mug") == "What is it? oak mug"


def test_no_heads_and_damaged_heads(tmp_path: Path) -> None:
    """A release without tasks has none; a damaged file is named."""
    assert open_heads(tmp_path / "heads") == {}
    head = fit_head(task(), unit(20, 1), ["a", "b"] * 10)
    head.save(tmp_path / "heads" / "kind")
    (tmp_path / "heads" / "kind" / "head.safetensors").write_bytes(b"junk")
    with pytest.raises(DataError, match="no head that can be read"):
        open_heads(tmp_path / "heads")


def saved_heads() -> dict[str, Head]:
    """One of each kind, of three labels or none."""
    vectors, classes = unit(30, 1), ["a", "b", "c"] * 10
    return {
        "classification": fit_head(task(), vectors, classes),
        "nearest": fit_head(task(head="nearest"), vectors, classes, [f"text {n}" for n in range(30)]),
        "regression": fit_head(task(head="regression"), vectors, vectors[:, 0].tolist()),
    }


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("classification", {"labels": ("a", "b")}, "a bias of 3 for 2 outputs"),
        ("classification", {"class_bias": np.zeros(2)}, r"a class_bias of shape \(2,\) for 3 outputs"),
        ("classification", {"weights": unit(2, 3)}, "2 rows of weights for 3 outputs"),
        ("classification", {"weights": unit(3, 3).ravel()}, r"weights of shape \(48,\)"),
        ("nearest", {"members": np.arange(3)}, "3 members for 30 rows"),
        ("nearest", {"members": np.repeat([0, 1, 5], 10)}, "not all of 3 labels"),
        ("nearest", {"members": np.tile([0, 1, 2], 10)}, "out of order"),
        ("nearest", {"texts": ("one",)}, "1 texts for 30 rows"),
        ("regression", {"coefficients": np.ones(4, np.float32)}, "4 coefficients for 30 rows"),
        ("regression", {"bias": np.zeros(2, np.float32)}, "a bias of 2 for 1 outputs"),
    ],
)
def test_a_head_whose_files_do_not_fit_each_other_is_refused(
    kind: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """As another release's weights beside this one's labels: named when opened, not when asked."""
    head = saved_heads()[kind]
    head.save(tmp_path / kind)
    assert Head.load(tmp_path / kind).outputs(unit(2, 4)).shape == (2, len(head.labels) or 1)
    replace(head, **changes).save(tmp_path / kind)
    with pytest.raises(DataError, match=f"{kind}: its files do not fit each other .*{said}"):
        Head.load(tmp_path / kind)


def test_texts_without_a_label_make_a_head_of_few_labels_better() -> None:
    """Two labels of each of four clouds, and 400 texts without: more of what nobody saw is right, over five
    draws."""
    (others, _), (fresh, true) = clouds(400, 1), clouds(2_000, 2)
    gains = []
    for seed in range(10, 15):
        vectors, targets = clouds(8, seed)
        plain = fit_head(task(), vectors, targets, unlabelled=others)
        again = fit_head(task(self_training=0.8), vectors, targets, unlabelled=others)
        gains.append(np.mean(answered(again, fresh) == true) - np.mean(answered(plain, fresh) == true))
    assert np.mean(gains) > 0.015


def test_what_is_guessed_often_does_not_grow() -> None:
    """All of the texts without a label are of one cloud; of texts of four about a quarter is still taken for
    it."""
    vectors, targets = clouds(24, 3)
    others, (fresh, _) = clouds(600, 4, classes="a")[0], clouds(2_000, 5)
    head = fit_head(task(self_training=0.8), vectors, targets, unlabelled=others)
    assert not np.array_equal(head.weights, fit_head(task(), vectors, targets).weights)
    assert 0.15 < np.mean(answered(head, fresh) == "a") < 0.32


def test_a_head_that_is_never_sure_learns_nothing_from_itself() -> None:
    """Labels by chance: out of the fit nothing is right often enough, so no text is taken; nor where there is
    none without a label."""
    vectors, others = unit(60, 1), unit(200, 2)
    targets = np.random.default_rng(3).choice(["a", "b"], 60).tolist()
    plain = fit_head(task(), vectors, targets)
    for unlabelled in (others, others[:0], None):
        again = fit_head(task(self_training=1.0), vectors, targets, unlabelled=unlabelled)
        np.testing.assert_array_equal(again.weights, plain.weights)


def test_a_long_text_among_short_ones_takes_no_memory_for_all() -> None:
    tracemalloc.start()
    folds = folds_of([*(f"text {row}" for row in range(2_000)), "x" * 20_000], 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6 and sum(len(held) for _, held in folds) == 2_001
    assert all(len(kept) for kept, _ in folds_of(["one"] * 10, 0)), "of one text alone the rows are folded"


def test_answers_that_are_as_sure_as_each_other_are_given_or_kept_together() -> None:
    """One question ten times, answered right once: whichever row comes first, it is not answered."""
    vectors = np.tile(unit(1, 1), (10, 1))
    nearest = task(head="nearest", precision=0.8)
    head = fit_head(nearest, np.concatenate([vectors[:1], unit(1, 2)]), ["a", "b"], ["x", "y"])
    targets = ["a", *"bbbbbbbbb"]
    for order in (targets, targets[::-1]):
        assert calibrated(head, vectors, order).threshold == NEVER


def test_a_regression_is_not_chosen_by_texts_that_it_has_seen() -> None:
    """Each text twice with nearly one value: by rows the least smoothing looks best."""
    rng = np.random.default_rng(4)
    once, fresh = unit(60, 1), unit(500, 2)
    plane = rng.normal(size=16)
    vectors, texts = np.tile(once, (2, 1)), [f"text {row}" for row in range(60)] * 2
    noisy = once @ plane + rng.normal(scale=0.8, size=60)
    targets = np.tile(noisy, 2).tolist()
    errors = {}
    for name, shown in (("texts", texts), ("rows", ())):
        values = fit_head(task(head="regression"), vectors, targets, shown).values(fresh)[0]
        errors[name] = np.abs(values - fresh @ plane).mean()
    assert errors["texts"] < 0.95 * errors["rows"]


def test_a_text_that_occurs_twice_does_not_vouch_for_itself() -> None:
    """Labels by chance, each text four times: by rows the head has seen the text that it answers out of the
    fit, is right, and would trust itself with the rest."""
    once = unit(40, 1)
    vectors, texts = np.tile(once, (4, 1)), [f"text {row}" for row in range(40)] * 4
    targets = np.random.default_rng(3).choice(["a", "b"], 40).tolist() * 4
    own, others = task(self_training=0.95), unit(200, 2)
    plain = fit_head(task(), vectors, targets, texts)
    again = fit_head(own, vectors, targets, texts, unlabelled=others)
    np.testing.assert_array_equal(again.weights, plain.weights)
    by_rows = fit_head(own, vectors, targets, unlabelled=others)
    assert not np.array_equal(by_rows.weights, fit_head(task(), vectors, targets).weights)


def test_a_head_of_another_encoder_says_so() -> None:
    """Rather than numpy's sentence about a matrix product."""
    for head in saved_heads().values():
        with pytest.raises(EncoderError, match=r"task kind reads vectors of 16 dimensions, .* gives 8"):
            head.outputs(unit(2, 1, dimensions=8))


def test_rare_classes_count_alike_where_the_task_says_so() -> None:
    """The weights of a class's rows sum to the same for each class."""
    targets = ["a"] * 90 + ["b"] * 10
    coding = Coding.of(task(balanced=True), targets)
    codes = coding.encode(task(balanced=True), targets)
    weights = coding.class_weights(task(balanced=True), codes)
    assert weights[0] * 90 == pytest.approx(weights[1] * 10) == pytest.approx(50)
    assert coding.encode(task(), ["z"]).tolist() == [-1]


def test_another_select_is_another_question() -> None:
    """Answers are compared only where rows, kind and scale are the same; a policy may change."""
    assert same_question(task(), task(says="Else", weight=0.0))
    for other in ({"rows": "SELECT 2"}, {"prompt": "What is it?"}, {"text": ("description",)}):
        assert not same_question(task(), task(**other))


def test_the_nearest_training_text_answers(tmp_path: Path) -> None:
    """Each label by the most similar of its rows, after saving and loading, too."""
    answer = task(head="nearest")
    vectors = unit(60, 1)
    targets = [f"answer {number % 20}" for number in range(60)]
    fit_head(answer, vectors, targets).save(tmp_path / "heads" / "kind")
    head = open_heads(tmp_path / "heads")["kind"]
    asked = unit(200, 2)
    nearest = [targets[row] for row in (asked @ vectors.T).argmax(axis=1)]
    assert [one.label for one in head.answers(asked)] == nearest


def test_answers_that_are_unsure_abstain() -> None:
    """Questions near a known one are answered, as often rightly as was asked for; others are not; and where
    nothing on validation is right everything abstains."""
    answer = task(head="nearest", precision=0.9)
    vectors = unit(50, 1)
    targets = [f"answer {number}" for number in range(50)]

    def asked(seed: int) -> tuple[Vectors, list[str]]:
        near = vectors + 0.05 * np.random.default_rng(seed).normal(size=vectors.shape).astype(np.float32)
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        return np.concatenate([near, unit(100, seed + 50)]), targets + ["unheard of"] * 100

    head = calibrated(fit_head(answer, vectors, targets), *asked(5))
    questions, true = asked(6)
    answered = [(one.label, wanted) for one, wanted in zip(head.answers(questions), true, strict=True)
                if not one.abstained]  # fmt: skip
    assert len(answered) >= 40
    assert np.mean([label == wanted for label, wanted in answered]) > 0.8
    hopeless = calibrated(fit_head(answer, vectors, targets), unit(50, 8), ["unheard of"] * 50)
    assert all(one.abstained for one in hopeless.answers(vectors))
