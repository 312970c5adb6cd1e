"""The scikit-learn adapter: what a team would try first, fitted on the same rows as a head, and the same as
a part of a head.

Word and word-pair TF-IDF with logistic regression or ridge regression, its strength chosen as a head's is: on
training rows that were left out of its fit (the words of all of them are counted once). Of many classes, as
brands can be, the nearest neighbours by cosine: a logistic regression has classes × words weights, 0.8 GB for
2,000 and 50,000.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.neighbors import KNeighborsClassifier

from components.contract.task import Task
from components.tasks.coding import on_scale
from components.tasks.folds import FEW_ROWS, FOLDS
from components.tasks.words import TF_IDF, Words

MANY_CLASSES = 500
MOST_WORDS, MOST_WEIGHTS = 100_000, 4_000_000
"""Of a head's words and word pairs the most frequent are kept; of all classes' weights 16 MB."""
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
    if task.head != "regression":
        last = _logistic(task)
        if len(set(targets)) > MANY_CLASSES:
            last = KNeighborsClassifier(metric="cosine", weights="distance")
        counts, fitted = _fitted(last, known, targets)
        order = np.argsort(-fitted.predict_proba(counts.transform(texts)), axis=1, kind="stable")[:, :best]
        return np.asarray(np.asarray(fitted.classes_, dtype=object)[order])
    counts, fitted = _fitted(Ridge(), known, on_scale(task, targets))
    found = np.asarray(fitted.predict(counts.transform(texts)))
    return (np.exp(found) if task.log_scale else found)[:, None]


def fit_words(task: Task, texts: Sequence[str], targets: Sequence[str | float]) -> Words | None:
    """What a head may read beside vectors, from the n training texts and their targets. None: the task does
    not want it, its head is a nearest, its texts are queries – which search answers by vectors it has –, or
    its classes are one or too many."""
    classes = len(set(targets))
    if not task.words or task.head == "nearest" or task.of_queries:
        return None
    if task.head == "regression":
        counts, fitted = _fitted(Ridge(), texts, on_scale(task, targets), MOST_WORDS)
        weights, bias = fitted.coef_[None], np.asarray([fitted.intercept_])
    elif 1 < classes <= MANY_CLASSES:
        most = min(MOST_WORDS, MOST_WEIGHTS // classes)
        counts, fitted = _fitted(_logistic(task), texts, targets, most)
        weights, bias = fitted.coef_, fitted.intercept_
        if classes == 2:  # scikit-learn keeps one line, the second class's odds
            weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    else:
        return None
    vocabulary = tuple(counts.get_feature_names_out().tolist())
    return Words(vocabulary, *(array.astype(np.float32) for array in (counts.idf_, weights, bias)))


def goodness(task: Task, true: Sequence[str | float], answers: Sequence[str]) -> float:
    """Of a classification's n answers: macro-F1 where that is the task's first metric, else accuracy."""
    if task.measured[0] == "macro_f1":
        return float(f1_score(true, answers, average="macro"))
    return float(accuracy_score(true, answers))


def _logistic(task: Task) -> Any:
    """Of 11,000 reviews in 20 classes saga finds all strengths in 7 s, newton-cg in 112, lbfgs in 402, to the
    same accuracy; but saga's steps ignore that rows weigh differently, and may never arrive."""
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
    model: Any, texts: Sequence[str], targets: Any, most_words: int | None = None
) -> tuple[TfidfVectorizer, Any]:
    """Fitted on n texts and their n targets."""
    counts = TfidfVectorizer(**TF_IDF, max_features=most_words)
    counted = counts.fit_transform(texts)
    if len(texts) < 2 * FOLDS and isinstance(model, LogisticRegression):
        return counts, model.fit(counted, targets)  # a part of so few may have a single class
    parts: Any = ShuffleSplit(n_splits=1, test_size=1 / FOLDS, random_state=0)
    if len(texts) <= FEW_ROWS:
        parts = KFold(min(FOLDS, len(texts)), shuffle=True, random_state=0)
    search = GridSearchCV(model, _STRENGTHS[type(model)], cv=parts)
    return counts, search.fit(counted, targets).best_estimator_
