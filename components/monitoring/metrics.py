"""What is compared, each by one statistic.

Drift scores are Evidently's own functions, called directly: a Report takes seconds. Wasserstein: distance of
two samples of a number, in standard deviations of the reference. Jensen-Shannon: distance of two samples of a
category, 0 to 0.83. Embedding distance: Euclidean, between the mean vectors. Differences are current minus
reference, and count in both directions.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from components.monitoring.samples import Frame, Sample

Group = Literal["queries", "catalogue", "predictions", "new items"]
Method = Literal[
    "wasserstein", "jensenshannon", "embedding distance", "difference", "difference of concentration"
]
MOST_SHOWN = 0.01
"""Concentration: the share of the shown places that the 1 % most shown items hold."""
# What a metric that hardly varies in the reference varies at least: half a point of a share, a hundredth of a
# standard deviation. Without it one answer without results would be an alarm where none had occurred.
_LEAST_SCALE: dict[Method, float] = {
    "wasserstein": 0.01,
    "jensenshannon": 0.01,
    "embedding distance": 0.001,
    "difference": 0.005,
    "difference of concentration": 0.005,
}


@dataclass(frozen=True)
class Metric:
    name: str
    group: Group
    frame: Frame
    column: str
    method: Method

    @property
    def two_sided(self) -> bool:
        """Whether it has a sign."""
        return self.method.startswith("difference")

    @property
    def least_scale(self) -> float:
        return _LEAST_SCALE[self.method]


METRICS = (
    Metric("query_characters", "queries", "requests", "query_characters", "wasserstein"),
    Metric("query_words", "queries", "requests", "query_words", "wasserstein"),
    Metric("query_language", "queries", "requests", "language", "jensenshannon"),
    Metric("unknown_word_rate", "queries", "requests", "unknown_word_rate", "difference"),
    Metric("query_vectors", "queries", "requests", "query_vector", "embedding distance"),
    Metric("price", "catalogue", "items", "price", "wasserstein"),
    Metric("category", "catalogue", "items", "category", "jensenshannon"),
    Metric("category_and_price", "catalogue", "items", "category_price", "jensenshannon"),
    Metric("brand", "catalogue", "items", "brand", "jensenshannon"),
    Metric("completeness", "catalogue", "items", "completeness", "wasserstein"),
    Metric("attributes_filled", "catalogue", "items", "attributes", "wasserstein"),
    Metric("title_length", "catalogue", "items", "title_length", "wasserstein"),
    Metric("top_score", "predictions", "requests", "top_score", "wasserstein"),
    Metric("mean_score", "predictions", "requests", "mean_score", "wasserstein"),
    Metric("zero_result_rate", "predictions", "requests", "zero_result", "difference"),
    Metric("concentration", "predictions", "requests", "shown", "difference of concentration"),
    Metric("new_item_exposure", "new items", "requests", "new_share", "difference"),
    Metric("new_item_scores", "new items", "requests", "new_score", "wasserstein"),
    Metric("new_item_price", "new items", "new items", "price", "wasserstein"),
    Metric("new_item_category", "new items", "new items", "category", "jensenshannon"),
    Metric("new_item_brand", "new items", "new items", "brand", "jensenshannon"),
    Metric("new_item_completeness", "new items", "new items", "completeness", "wasserstein"),
    Metric("new_item_attributes_filled", "new items", "new items", "attributes", "wasserstein"),
    Metric("new_item_title_length", "new items", "new items", "title_length", "wasserstein"),
)
"""price: log10(1 + price). completeness: the share of an item's main columns that are filled;
attributes_filled: how many attributes have a value. category_and_price: the category's first level with the
reference's price quarter, which moves where prices or categories no longer belong to their items."""


def measure(metric: Metric, reference: Sample, current: Sample) -> float:
    """The metric's statistic; NaN where a side has no value."""
    before, after = (_present(sample.columns[metric.column]) for sample in (reference, current))
    if not len(before) or not len(after):
        return float("nan")
    return _STATISTICS[metric.method](before, after)


def level(metric: Metric, sample: Sample) -> float | None:
    """What the metric is in one sample: a mean, or the concentration; None for categories and vectors."""
    values = _present(sample.columns[metric.column])
    if not len(values) or metric.method in {"jensenshannon", "embedding distance"}:
        return None
    return _concentration(values) if metric.column == "shown" else float(values.mean())


def values(metric: Metric, sample: Sample) -> int:
    """Rows of the sample in which the metric's column has a value."""
    return len(_present(sample.columns[metric.column]))


def _present(column: NDArray[Any]) -> NDArray[Any]:
    if column.dtype.kind != "f":
        return column
    absent = np.isnan(column if column.ndim == 1 else column[:, 0])
    return column[~absent] if absent.any() else column


def _wasserstein(before: NDArray[Any], after: NDArray[Any]) -> float:
    return _column_score("wasserstein", "num", before, after)


def _jensenshannon(before: NDArray[Any], after: NDArray[Any]) -> float:
    return _column_score("jensenshannon", "cat", before, after)


def _column_score(name: str, kind: str, before: NDArray[Any], after: NDArray[Any]) -> float:
    evidently, series = _evidently(), _series()
    found = evidently[name](series(before), series(after), evidently[kind], None)
    return float(found.drift_score)


def _embedding_distance(before: NDArray[Any], after: NDArray[Any]) -> float:
    import pandas as pd

    score, _, _ = _evidently()["distance"](
        current_emb=pd.DataFrame(after), reference_emb=pd.DataFrame(before)
    )
    return float(score)


def _difference(before: NDArray[Any], after: NDArray[Any]) -> float:
    return float(after.mean() - before.mean())


def _concentration_difference(before: NDArray[Any], after: NDArray[Any]) -> float:
    return _concentration(after) - _concentration(before)


def _concentration(shown: NDArray[Any]) -> float:
    """Of the items that were shown at all; 0 where nothing was."""
    places = shown[shown >= 0]
    if not len(places):
        return 0.0
    counts = np.sort(np.bincount(places))[::-1]
    items = int(np.count_nonzero(counts))
    return float(counts[: int(np.ceil(MOST_SHOWN * items))].sum() / len(places))


_STATISTICS: dict[Method, Callable[[NDArray[Any], NDArray[Any]], float]] = {
    "wasserstein": _wasserstein,
    "jensenshannon": _jensenshannon,
    "embedding distance": _embedding_distance,
    "difference": _difference,
    "difference of concentration": _concentration_difference,
}


@cache
def _series() -> Callable[[NDArray[Any]], Any]:
    import pandas as pd

    series: Callable[[NDArray[Any]], Any] = pd.Series
    return series


@cache
def _evidently() -> dict[str, Any]:
    """Evidently's functions; its import takes seconds, and must not be the first to ask for telemetry."""
    without_telemetry()
    from evidently.legacy.calculations.stattests import jensenshannon_stat_test, wasserstein_stat_test
    from evidently.legacy.core import ColumnType
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import distance

    return {
        "wasserstein": wasserstein_stat_test,
        "jensenshannon": jensenshannon_stat_test,
        "distance": distance(dist="euclidean"),
        "num": ColumnType.Numerical,
        "cat": ColumnType.Categorical,
    }


def without_telemetry() -> None:
    """To be called before Evidently is imported: it reports its use unless this variable is set."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
