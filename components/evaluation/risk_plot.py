"""The plot of a task's risk against its coverage."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from components.contract.task import Task
from components.evaluation.page import save
from components.evaluation.plots import BLUE, GREEN, GREY, ORANGE
from components.evaluation.risk_coverage import risk_at_coverage

HEADER = ("system", "coverage", "risk")
_POINTS = 50
_COLOURS = {"challenger": BLUE, "champion": ORANGE}


def plot_risk_coverage(
    task: Task, systems: Mapping[str, pl.DataFrame], folder: Path
) -> tuple[Path, Path] | None:
    """risk_coverage_<task>.png and .html; None where no system gives probabilities."""
    curves = {name: risk for name, frame in systems.items() if (risk := risk_at_coverage(frame)) is not None}
    if not curves:
        return None
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.add_subplot()
    rows = []
    for name, risk in curves.items():
        places = np.unique(np.linspace(0, len(risk) - 1, _POINTS).astype(np.int64))
        coverage = (places + 1) / len(risk)
        label = f"{name}, area {risk.mean():.3f}"
        axes.plot(coverage, risk[places], color=_COLOURS.get(name, GREEN), linewidth=2, label=label)
        rows += [(name, float(c), float(r)) for c, r in zip(coverage, risk[places], strict=True)]
    if task.precision is not None:
        axes.axhline(1 - task.precision, color=GREY, linewidth=1, linestyle="--")
    axes.set_xlabel("coverage: share of the questions that are answered, the surest first")
    axes.set_ylabel("risk: share of these answers that are wrong")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    aim = "" if task.precision is None else f" Dashed: the risk that precision {task.precision:g} asks for."
    return save(
        figure,
        folder,
        f"risk_coverage_{task.name}",
        title=f"Risk against coverage: {task.name}",
        sentence=f"Test rows of the task {task.name}; lower is better.{aim}",
        header=HEADER,
        rows=rows,
    )
