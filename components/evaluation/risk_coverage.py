"""How often an answer is wrong when only the surest are given: risk against coverage.

El-Yaniv & Wiener, "On the foundations of noise-free selective classification" (JMLR 2010); the area under the
curve: Geifman, Uziel & El-Yaniv (ICLR 2019). Lower is better.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
AREA = "risk_coverage_area"


def risk_at_coverage(answers: pl.DataFrame) -> Floats | None:
    """(n,) share of wrong answers among the 1, 2, … n most probable; equally probable ones count alike,
    wherever they stand. None where the answers give no probability."""
    if "probability" not in answers.columns or answers.is_empty():
        return None
    ordered = answers.select(
        wrong=(pl.col("answer") != pl.col("target")).cast(pl.Float64), probability="probability"
    ).sort("probability", descending=True)
    wrong = ordered.select(pl.col("wrong").mean().over("probability")).to_series().to_numpy()
    return np.asarray(np.cumsum(wrong) / np.arange(1, len(wrong) + 1))


def risk_coverage_area(answers: pl.DataFrame) -> float | None:
    """Mean risk over all coverages."""
    risk = risk_at_coverage(answers)
    return None if risk is None else float(risk.mean())
