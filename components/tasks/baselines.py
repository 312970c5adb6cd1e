"""The scikit-learn adapter: what a team would try first, fitted on the same rows as a head.

Word and word-pair TF-IDF with logistic regression or ridge regression, its strength chosen as a head's is: on
training rows that were left out of the fit. Of many classes, as brands can be, the nearest neighbours by
cosine: a logistic regression has classes × words weights, 0.8 GB for 2,000 and 50,000.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from components.contract.task import Task
from components.tasks.fit import FEW_ROWS, FOLDS
from components.tasks.heads import on_scale

MANY_CLASSES = 500
_STRENGTHS = {
    "logisticregression__C": [0.1, 1.0, 10.0, 100.0],
    "kneighborsclassifier__n_neighbors": [1, 5, 20],
    "ridge__alpha": [0.1, 1.0, 10.0],
}


def baseline_answers(task: Task, train: pl.DataFrame, texts: Sequence[str], best: int = 1) -> NDArray[Any]:
    """(n, best) answers to n texts, as targets are written, most probable first; of a regression (n, 1)."""
    if not texts:
        return np.empty((0, 1))
    targets = train.get_column("target").to_list()
    if task.head != "regression":
        last: Any = LogisticRegression(max_iter=1_000, class_weight="balanced" if task.balanced else None)
        if len(set(targets)) > MANY_CLASSES:
            last = KNeighborsClassifier(metric="cosine", weights="distance")
        fitted = _fitted(last, train, targets)
        order = np.argsort(-fitted.predict_proba(texts), axis=1, kind="stable")[:, :best]
        return np.asarray(np.asarray(fitted.classes_, dtype=object)[order])
    found = np.asarray(_fitted(Ridge(), train, on_scale(task, targets)).predict(texts))
    return (np.exp(found) if task.log_scale else found)[:, None]


def constant_answer(task: Task, train: pl.DataFrame) -> str | float:
    """The most frequent class (of equals the first in order), or the median."""
    target = train.get_column("target")
    if task.head == "regression":
        return float(np.median(target.to_numpy()))
    return str(target.value_counts().sort("count", "target", descending=[True, False]).item(0, "target"))


def _fitted(last: Any, train: pl.DataFrame, targets: Any) -> Any:
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    pipeline = make_pipeline(words, last)
    strengths = {name: values for name, values in _STRENGTHS.items() if name in pipeline.get_params()}
    texts = train.get_column("text").to_list()
    if len(texts) < 2 * FOLDS and isinstance(last, LogisticRegression):
        return pipeline.fit(texts, targets)  # a part of so few may have a single class
    parts: Any = ShuffleSplit(n_splits=1, test_size=1 / FOLDS, random_state=0)
    if len(texts) <= FEW_ROWS:
        parts = KFold(min(FOLDS, len(texts)), shuffle=True, random_state=0)
    return GridSearchCV(pipeline, strengths, cv=parts).fit(texts, targets)
