"""The scikit-learn adapter: what a team would try first, fitted on the same rows as a head, and the same as
a part of a head.

Word and word-pair TF-IDF with logistic regression or ridge regression, its strength chosen as a head's is: on
training rows that were left out of its fit (the words of all of them are counted once). Of many classes, as
brands can be, the nearest neighbours by cosine: a logistic regression has classes × words weights, 0.8 GB for
2,000 and 50,000.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from components.contract.task import Task
from components.tasks.coding import on_scale
from components.tasks.folds import FEW_ROWS, FOLDS, folds_of
from components.tasks.heads import MOST_CELLS
from components.tasks.words import TF_IDF, Words

MANY_CLASSES = 500
MOST_WORDS, MOST_WEIGHTS = 100_000, 4_000_000
"""Of a head's words and word pairs the most frequent are kept; of all classes' weights 16 MB."""
MOST_OF_BASELINE = 40_000_000
"""Weights of all classes: 0.3 GB, four times that while they are fitted."""
_STRENGTHS: dict[type, dict[str, list[Any]]] = {
    LogisticRegression: {"C": [0.1, 1.0, 10.0, 100.0]},
    KNeighborsClassifier: {"n_neighbors": [1, 5, 20]},
    Ridge: {"alpha": [0.1, 1.0, 10.0]},
}


def baseline_answers(task: Task, train: pl.DataFrame, texts: Sequence[str], best: int = 1) -> NDArray[Any]:
    """(n, best) answers to n texts, as targets are written, most probable first; of a regression (n, 1)."""
    if not texts:
        return np.empty((0, 1))
    known, targets = train.get_column("text").to_list(), train.get_column("target").to_list()
    if not _has_words(known):
        return np.full((len(texts), 1), constant_answer(task, train), dtype=object)
    if task.head != "regression":
        classes = len(set(targets))
        if classes > MANY_CLASSES:
            neighbours = KNeighborsClassifier(metric="cosine", weights="distance")
            counts, fitted = _fitted(task, neighbours, known, targets)
        else:
            counts, fitted = _fitted(task, _logistic(task), known, targets, MOST_OF_BASELINE // classes)
        counted, step = counts.transform(texts), max(1, MOST_CELLS // classes)
        orders = []
        for start in range(0, len(texts), step):
            probabilities = fitted.predict_proba(counted[start : start + step])
            orders.append(np.argsort(-probabilities, axis=1, kind="stable")[:, :best])
        order = np.concatenate(orders)
        return np.asarray(np.asarray(fitted.classes_, dtype=object)[order])
    counts, fitted = _fitted(task, Ridge(), known, on_scale(task, targets))
    found = np.asarray(fitted.predict(counts.transform(texts)))
    return (np.exp(found) if task.log_scale else found)[:, None]


def fit_words(
    task: Task, texts: Sequence[str], targets: Sequence[str | float], strength: float | None = None
) -> Words | None:
    """What a head may read beside vectors, from the n training texts and their targets. strength: of another
    fit, instead of a choice by these texts. None: the task does not want it, its head is a nearest, its texts
    are queries – which search answers by vectors it has – or have no word, or its classes are one or too
    many."""
    classes = len(set(targets))
    if not task.words or task.head == "nearest" or task.of_queries or not _has_words(texts):
        return None
    if task.head == "regression":
        counts, fitted = _fitted(task, Ridge(), texts, on_scale(task, targets), MOST_WORDS, strength)
        weights, bias = fitted.coef_[None], np.asarray([fitted.intercept_])
    elif 1 < classes <= MANY_CLASSES:
        most = min(MOST_WORDS, MOST_WEIGHTS // classes)
        counts, fitted = _fitted(task, _logistic(task), texts, targets, most, strength)
        weights, bias = fitted.coef_, fitted.intercept_
        if classes == 2:  # scikit-learn keeps one line, the second class's odds
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    else:
        return None
    vocabulary = tuple(counts.get_feature_names_out().tolist())
    idf, weights, bias = (array.astype(np.float32) for array in (counts.idf_, weights, bias))
    return Words(vocabulary, idf, weights, bias, fitted.get_params()[_strength_name(fitted)])


def goodness(task: Task, true: Sequence[Any] | NDArray[Any], answers: Sequence[Any] | NDArray[Any]) -> float:
    """Of a classification's n answers – classes, or codes of them –: macro-F1 where that is the task's first
    metric, else accuracy."""
    if task.measured[0] == "macro_f1":
        # Of the classes that occur, as the judge has it: of another one answer would count as a whole class.
        return float(f1_score(true, answers, labels=sorted(set(true)), average="macro"))
    return float(np.mean(np.asarray(true) == np.asarray(answers)))


def _logistic(task: Task) -> Any:
    """saga is by far the fastest where texts and classes are many, then newton-cg, then the default; but its
    steps ignore that rows weigh differently, and may never arrive."""
    if task.balanced:
        return LogisticRegression(solver="newton-cg", max_iter=1_000, class_weight="balanced")
    return LogisticRegression(solver="saga", tol=1e-3, max_iter=1_000, random_state=0)


def constant_answer(task: Task, train: pl.DataFrame) -> str | float:
    """The most frequent class (of equals the first in order), or the median."""
    target = train.get_column("target")
    if task.head == "regression":
        return float(np.median(target.to_numpy()))
    return str(target.value_counts().sort("count", "target", descending=[True, False]).item(0, "target"))


def _fitted(
    task: Task,
    model: Any,
    texts: Sequence[str],
    targets: Any,
    most_words: int | None = None,
    strength: float | None = None,
) -> tuple[TfidfVectorizer, Any]:
    """Fitted on n texts and their n targets; the strength, unless given, chosen by what the task is judged
    by."""
    counts = TfidfVectorizer(**TF_IDF, max_features=most_words)
    counted = counts.fit_transform(texts)
    if strength is not None:
        return counts, model.set_params(**{_strength_name(model): strength}).fit(counted, targets)
    folds = folds_of(texts, 0)
    folds = folds if len(texts) <= FEW_ROWS else folds[:1]
    if isinstance(model, LogisticRegression):  # which cannot learn a single class
        folds = [fold for fold in folds if len({targets[row] for row in fold[0]}) > 1]
    if len(texts) < 2 * FOLDS or not folds:
        return counts, model.fit(counted, targets)
    search = GridSearchCV(model, _STRENGTHS[type(model)], scoring=_scoring(task), cv=folds)
    return counts, search.fit(counted, targets).best_estimator_


def _strength_name(model: Any) -> str:
    return next(iter(_STRENGTHS[type(model)]))


def _scoring(task: Task) -> Callable[[Any, Any, Any], float] | str:
    if task.head == "regression":
        return "neg_mean_absolute_error"
    return lambda model, counted, true: goodness(task, true, model.predict(counted))


def _has_words(texts: Sequence[str]) -> bool:
    return any(re.search(TF_IDF["token_pattern"], text) for text in texts)
