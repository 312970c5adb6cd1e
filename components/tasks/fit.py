"""Heads on a finished encoder: fitted on the training rows, calibrated on the validation rows.

Whatever trained the encoder – epochs chosen, adapters merged, weights averaged – a head is fitted to
convergence on the vectors that the released encoder gives (the second stage of SetFit: Tunstall et al. 2022,
"Efficient few-shot learning without prompts", section 3), and calibrated through the path that serves.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.linalg import solve

from components.contract.ports import Encoder, Vectors
from components.contract.task import Task
from components.tasks.baselines import fit_words, goodness
from components.tasks.calibration import calibrated, threshold_of
from components.tasks.coding import Coding, Floats, on_scale
from components.tasks.folds import FEW_ROWS, Folds, folds_of
from components.tasks.heads import Head, encoded
from components.tasks.left_out import left_out_outputs, write_left_out
from components.tasks.modules import TaskHead
from components.tasks.rows import read_rows, read_unlabelled
from components.tasks.words import mixed

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Of the sum of squared weights, from which one is chosen on parts of the training rows."""
ITERATIONS = 200
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
RESAMPLES = 200
"""Of the rows held out, for the standard error of what two shares differ by."""
KERNELS, RIDGES = (1.0, 2.0, 4.0, 8.0), (0.003, 0.01, 0.03, 0.1, 0.3)
MOST_ROWS = 4_000
"""Of a regression's head, drawn by seed: each is kept in the release, and the fit takes their cube."""
Codes = NDArray[np.int64] | Floats
logger = logging.getLogger(__name__)


def fit_heads(tasks: Sequence[Task], rows: Path, learn: Encoder, serve: Encoder, out: Path) -> None:
    """Writes <task>/ (heads.py) of every task into `out`.

    rows: what `rows.write_rows` left; learn: encodes the training rows, in batches; serve: the encoder as it
    serves, which encodes the validation rows.
    """
    train = {task.name: read_rows(rows, task, "train", reader="fit") for task in tasks}
    labelled = {name: frame.get_column("text").to_list() for name, frame in train.items()}
    unlabelled = {task.name: read_unlabelled(rows, task) for task in tasks}
    vectors = _Vectors(tasks, {name: [*of, *unlabelled[name]] for name, of in labelled.items()}, learn)
    for task in tasks:
        texts, targets = _columns(train[task.name])
        own, others = vectors.of(task, texts), vectors.of(task, unlabelled[task.name])
        held = read_rows(rows, task, "validation", reader="fit")
        head = fit_head(task, own, targets, texts, unlabelled=others)
        held_texts, held_targets = _columns(held)
        of_held = encoded(task, serve, held_texts)
        head = with_words(head, train[task.name], held, of_held)
        is_new = held.get_column("is_new").to_list()
        relearn = partial(_relearned, head, own, targets, texts, others)
        left_out = None
        if len(held) < task.policy.min_rows and task.head != "regression":
            left_out = left_out_outputs(head, own, targets, texts, relearn)
        head = calibrated(head, of_held, held_targets, held_texts, is_new, left_out)
        head.save(out / task.name)
        if task.opinions:
            write_left_out(head, own, texts, relearn, out / task.name)


def _relearned(
    head: Head,
    vectors: Vectors,
    targets: Sequence[str | float],
    texts: Sequence[str],
    unlabelled: Vectors,
    rows: NDArray[np.int64],
) -> Head:
    """The head that these rows alone make, with the penalty and the words' strength and share that all chose;
    not calibrated."""
    some_targets, some_texts = [targets[row] for row in rows], [texts[row] for row in rows]
    other = fit_head(
        head.task, vectors[rows], some_targets, some_texts, unlabelled=unlabelled, penalty=head.penalty
    )
    words = head.words and fit_words(head.task, some_texts, some_targets, head.words.strength)
    return replace(other, words=words, words_share=head.words_share)


class _Vectors:
    """Of the training texts of all tasks, each encoded once: those of items, and those that are queries."""

    def __init__(self, tasks: Sequence[Task], train: Mapping[str, list[str]], encoder: Encoder) -> None:
        self._found: dict[bool, tuple[dict[str, int], Vectors]] = {}
        for of_queries in {task.of_queries for task in tasks}:
            alike = [task for task in tasks if task.of_queries == of_queries]
            texts = sorted({text for task in alike for text in train[task.name]})
            place = {text: row for row, text in enumerate(texts)}
            self._found[of_queries] = place, encoded(alike[0], encoder, texts)

    def of(self, task: Task, texts: Sequence[str]) -> Vectors:
        place, vectors = self._found[task.of_queries]
        return vectors[[place[text] for text in texts]]


def fit_head(
    task: Task,
    vectors: Vectors,
    targets: Sequence[str | float],
    texts: Sequence[str] = (),
    seed: int = 0,
    unlabelled: Vectors | None = None,
    penalty: float | None = None,
) -> Head:
    """(n, d) vectors and their n targets → a head, not calibrated yet. texts: what a nearest shows as the
    source of its answers, and equal ones are in one fold; not given: rows are. unlabelled: (u, d) of training
    rows without a target, for a task that trains itself on them. penalty: of another fit, instead of a choice
    by these rows."""
    coding = Coding.of(task, targets)
    codes = coding.encode(task, targets)
    if task.head == "nearest":
        order = np.argsort(codes, kind="stable")
        bias, members = np.zeros(coding.outputs, dtype=np.float32), codes[order].astype(np.int64)
        shown = tuple(texts[row] for row in order) if len(texts) else ()
        return Head(task, vectors[order], bias, coding.labels, members=members, texts=shown)
    if task.head == "regression":
        return _kernel_ridge(task, coding, vectors, codes, texts, seed)
    folds = folds_of(texts if len(texts) else np.arange(len(codes)), seed)
    penalty = penalty or _penalty(task, coding, vectors, codes, folds)
    head = _linear(task, coding, vectors, codes, penalty)
    if task.self_training is None or unlabelled is None or not len(unlabelled):
        return head
    return _self_trained(head, coding, vectors, codes, penalty, unlabelled, folds)


def _linear(
    task: Task,
    coding: Coding,
    vectors: Vectors,
    codes: Codes,
    penalty: float,
    class_weights: Floats | None = None,
) -> Head:
    module = _fitted(task, coding, vectors, codes, penalty, class_weights)
    weights = module.linear.weight.detach().numpy() * vectors.shape[1] ** 0.5
    return Head(task, weights, module.linear.bias.detach().numpy(), coding.labels, penalty=penalty)


def _self_trained(
    head: Head,
    coding: Coding,
    vectors: Vectors,
    codes: Codes,
    penalty: float,
    unlabelled: Vectors,
    folds: Folds,
) -> Head:
    """The head fitted again on the labelled rows and on its own answers, where it is sure, to those without a
    label: one round of self-training (Xie et al. 2020, "Self-training with noisy student improves ImageNet
    classification", algorithm 1, hard labels; no noise, since the encoder stays).

    Sure is what was right as often as the task wants among the labelled rows, each answered by a head that
    had not seen it. Each class weighs what it does among the labelled rows, however often it is guessed: a
    class that is easily told would grow, and did (docs/decisions/0022).
    """
    task, given = head.task, codes.astype(np.int64)
    left_out = np.zeros((len(given), coding.outputs))
    for kept, held in folds:
        one = _linear(task, coding, vectors[kept], codes[kept], penalty)
        left_out[held] = one.probabilities(vectors[held])
    right = left_out.argmax(axis=1) == given
    threshold = threshold_of(left_out.max(axis=1), right, float(task.self_training or 0.0))
    probabilities = head.probabilities(unlabelled)
    sure = probabilities.max(axis=1) >= threshold
    logger.info("task %s: %d of %d rows without a label are taken", task.name, sure.sum(), len(sure))
    all_codes = np.concatenate([given, probabilities[sure].argmax(axis=1)])
    shares, with_guessed = (np.bincount(of, minlength=coding.outputs) / len(of) for of in (given, all_codes))
    weights = coding.class_weights(task, codes) * shares / with_guessed
    return _linear(task, coding, np.concatenate([vectors, unlabelled[sure]]), all_codes, penalty, weights)


def with_words(head: Head, train: pl.DataFrame, held: pl.DataFrame, vectors: Vectors) -> Head:
    """The head with words learned from the training rows. Their share: the least that answers the n rows held
    out, whose (n, d) vectors these are, as well as the best share does but for one standard error (Breiman et
    al. 1984, "Classification and regression trees", section 3.4.3) – in macro-F1 where the task is judged by
    that, else in accuracy, or in absolute error. Without words where it is 0, or where the rows held out are
    too few to be judged."""
    task, (texts, targets) = head.task, _columns(held)
    words = fit_words(task, *_columns(train)) if len(held) >= task.policy.min_rows else None
    if words is None:
        return head
    by_vectors, by_words = head.outputs(vectors), words.outputs(texts)
    outputs = {share: mixed(by_vectors, by_words, share) for share in SHARES}
    share = _least_share(task, head.labels, outputs, targets)
    logger.info("task %s: words have %g of the answer", task.name, share)
    return replace(head, words=words, words_share=share) if share else head


def _least_share(
    task: Task, labels: Sequence[str], outputs: Mapping[float, Floats], targets: Sequence[str | float]
) -> float:
    """outputs: (n, k) by share, the least one first."""
    if task.head == "regression":
        true = on_scale(task, targets)
        answers = {share: of[:, 0] for share, of in outputs.items()}
    else:
        codes = {label: code for code, label in enumerate(dict.fromkeys([*labels, *map(str, targets)]))}
        true = np.asarray([codes[str(target)] for target in targets])
        answers = {share: of.argmax(axis=1) for share, of in outputs.items()}

    def loss(share: float, rows: NDArray[np.int64]) -> float:
        if task.head == "regression":
            return float(np.abs(answers[share][rows] - true[rows]).mean())
        return -goodness(task, true[rows], answers[share][rows])

    count = len(true)
    draws = [np.arange(count), *np.random.default_rng(0).integers(count, size=(RESAMPLES, count))]
    losses = {share: np.asarray([loss(share, rows) for rows in draws]) for share in outputs}
    best = min(losses.values(), key=lambda of: of[0])
    return next(share for share, of in losses.items() if of[0] - best[0] <= np.std((of - best)[1:]))


def _columns(rows: pl.DataFrame) -> tuple[list[str], list[str | float]]:
    """Texts and targets of a task's rows."""
    return rows.get_column("text").to_list(), rows.get_column("target").to_list()


def _fitted(
    task: Task,
    coding: Coding,
    vectors: Vectors,
    codes: Codes,
    penalty: float,
    class_weights: Floats | None = None,
) -> TaskHead:
    """class_weights: (k,); None: the task's own."""
    weights = coding.class_weights(task, codes) if class_weights is None else class_weights
    module = TaskHead(task, vectors.shape[1], weights)
    given, wanted = torch.from_numpy(vectors), torch.from_numpy(codes)
    # tolerance_change 0 would be the end at once in fp32 where a penalty is strong.
    optimizer = torch.optim.LBFGS(
        module.parameters(), max_iter=ITERATIONS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def closure() -> float:
        optimizer.zero_grad()
        loss = module.loss(given, wanted) + penalty * module.linear.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
        return float(loss.detach())

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # the same
    return module


def _kernel_ridge(
    task: Task, coding: Coding, vectors: Vectors, codes: Codes, texts: Sequence[str], seed: int
) -> Head:
    """Kernel ridge regression (Saunders et al. 1998, "Ridge regression learning algorithm in dual variables")
    with the Gaussian kernel, which of unit vectors is exp(kernel · (cosine − 1)). On titles of online_retail
    a linear head is off by 0.65 in the logarithm of a price, this one by 0.52."""
    drawn = np.random.default_rng((seed, len(codes))).permutation(len(codes))[:MOST_ROWS]
    vectors, codes = vectors[drawn], codes[drawn]
    likeness = vectors.astype(np.float64) @ vectors.T.astype(np.float64) - 1
    folds = folds_of([texts[row] for row in drawn] if len(texts) else drawn, seed)
    folds = folds if len(codes) <= FEW_ROWS / 4 else folds[:1]

    def error(setting: tuple[float, float]) -> float:
        kernel, ridge = setting
        total = 0.0
        for kept, held in folds:
            found = _dual(likeness[np.ix_(kept, kept)], codes[kept], kernel, ridge)
            total += np.abs(np.exp(kernel * likeness[np.ix_(held, kept)]) @ found - codes[held]).sum()
        return total

    kernel, ridge = min(product(KERNELS, RIDGES), key=error)
    coefficients = (coding.sd * _dual(likeness, codes, kernel, ridge)).astype(np.float32)
    bias = np.asarray([coding.mean], dtype=np.float32)
    return Head(task, vectors, bias, coefficients=coefficients, kernel=kernel)


def _dual(likeness: Floats, codes: Codes, kernel: float, ridge: float) -> Floats:
    """(m, m) cosines − 1 and (m,) targets → (m,) coefficients."""
    matrix = np.exp(kernel * likeness) + ridge * np.eye(len(codes))
    return np.asarray(solve(matrix, codes, assume_a="pos"))


def _penalty(task: Task, coding: Coding, vectors: Vectors, codes: Codes, folds: Folds) -> float:
    """The penalty with the least loss on training rows that were left out of the fit, fold by fold."""

    def loss(penalty: float) -> float:
        total = 0.0
        for kept, held in folds if len(codes) <= FEW_ROWS else folds[:1]:
            module = _fitted(task, coding, vectors[kept], codes[kept], penalty)
            with torch.inference_mode():
                found = module.loss(torch.from_numpy(vectors[held]), torch.from_numpy(codes[held]))
            total += float(found) * len(held)
        return total

    return min(PENALTIES, key=loss)
