"""The two plots of a run: recall against item age, and the intervals of the gates.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every colour also has its own
marker and a word.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.contract.records import Gate, GateReport
from components.evaluation.age import RecallPoint, recall_by_age, recall_by_population
from components.evaluation.page import save
from components.evaluation.scorecard import Scorecard

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY, DARK, LIGHT = "#767676", "#333333", "#dddddd"
OUTCOMES = {"pass": (GREEN, "o"), "fail": (RED, "X"), "unsure": (ORANGE, "D")}
OTHER_OUTCOME = (GREY, "s")
KINDS = {"primary": "Primaries", "guardrail": "Guardrails", "baseline": "Above BM25", "slice": "Slices"}
RECALL_HEADER = ("slice", "system", "requests", "recall", "low", "high")
GATE_HEADER = ("gate", "kind", "champion", "challenger", "difference", "low", "high", "margin", "requests")
Curve = tuple[str, list[RecallPoint]]


def plot_recall_by_age(challenger: Scorecard, champion: Scorecard | None, folder: Path) -> tuple[Path, Path]:
    """recall_by_age.png and .html: champion beside challenger with 95 % bootstrap bands, primary entrance.

    Without dates there is no age curve: the plot then shows new and established items, and says so.
    """
    systems = [("challenger", challenger)] + ([("champion", champion)] if champion else [])
    dated = bool(recall_by_age(challenger))
    points = recall_by_age if dated else recall_by_population
    curves = [(name, points(card, challenger.primary)) for name, card in systems]
    figure = (_age_figure if dated else _population_figure)(curves, challenger.k)
    return save(
        figure,
        folder,
        "recall_by_age",
        title=f"Recall@{challenger.k} against item age"
        if dated
        else f"Recall@{challenger.k}, new and old items",
        sentence=_recall_sentence(challenger, dated),
        header=RECALL_HEADER,
        rows=[
            (p.label.replace("\n", " "), n, p.requests, p.mean, p.low, p.high) for n, c in curves for p in c
        ],
    )


def _recall_sentence(challenger: Scorecard, dated: bool) -> str:
    of = (
        f"Mean recall@{challenger.k} over {challenger.primary} requests, full catalogue, with 95 % bootstrap "
        "intervals."
    )
    if dated:
        return f"{of} Age: days from an item's first day to the end of the judge window."
    reason = challenger.not_applicable.get("age_slices", "the items are undated")
    return f"{of} There is no age curve: {reason}."


def _age_figure(curves: Sequence[Curve], k: int) -> Figure:
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for (name, points), colour, marker, shift in _styled(curves):
        x = np.arange(len(points)) + shift / 4
        mean, low, high = (_numbers(points, end) for end in ("mean", "low", "high"))
        axes.fill_between(x, low, high, color=colour, alpha=0.16, linewidth=0)
        # A bucket between empty ones has no band to its neighbours, so every point has its own bar too.
        axes.vlines(x, low, high, color=colour, linewidth=1.2)
        axes.plot(x, mean, color=colour, marker=marker, markersize=7, linewidth=2, label=name)
    points = curves[0][1]
    labels = [f"{point.label.replace('-', '–')}\nn = {point.requests}" for point in points]
    axes.set_xticks(np.arange(len(points)), labels)
    axes.set_xlim(-0.5, len(points) - 0.5)
    axes.set_xlabel("days since the item was first seen, at the end of the judge window; n: requests")
    _finish(axes, f"recall@{k}", f"Recall@{k} against item age")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return figure


def _population_figure(curves: Sequence[Curve], k: int) -> Figure:
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for (name, points), colour, marker, shift in _styled(curves):
        y = len(points) - 1 - np.arange(len(points)) + shift
        mean, low, high = (_numbers(points, end) for end in ("mean", "low", "high"))
        axes.hlines(y, low, high, color=colour, linewidth=2.5)
        axes.plot(mean, y, color=colour, marker=marker, markersize=8, linewidth=0, label=name)
        for position, end, point in zip(y, high, points, strict=True):
            text = "no requests" if point.mean is None else f"  {point.mean:.3f}"
            axes.text(
                0.0 if point.mean is None else end, position, text, va="center", color=colour, fontsize=9
            )
    points = curves[0][1]
    axes.set_yticks(
        np.arange(len(points))[::-1], [f"{point.label}\n(n = {point.requests})" for point in points]
    )
    _finish(axes, "", f"Recall@{k} of new and established items (undated: no age curve)")
    axes.set_xlabel(f"recall@{k}, 95 % bootstrap interval; n: requests")
    axes.grid(axis="x", color=LIGHT, linewidth=0.8)
    axes.grid(visible=False, axis="y")
    axes.set_ylim(-0.6, len(points) - 0.4)
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    figure.legend(loc="outside lower right", ncols=2, frameon=False)
    return figure


def plot_gate_intervals(report: GateReport, folder: Path) -> tuple[Path, Path]:
    """gates.png and .html: per gate the difference challenger − champion with its interval and margin."""
    return save(
        _gate_figure(report),
        folder,
        "gates",
        title=f"{report.verdict}: the gates",
        sentence=report.sentence,
        header=(*GATE_HEADER, "outcome", "in words"),
        rows=[
            (
                *(g.name, g.kind, g.champion, g.challenger, g.difference, g.low, g.high, g.margin),
                *(g.requests, g.outcome, g.sentence),
            )
            for g in report.gates
        ],
    )


def _gate_figure(report: GateReport) -> Figure:
    lines = _gate_lines(report.gates)
    figure = Figure(figsize=(9, 1.7 + 0.32 * len(lines)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color=DARK, linewidth=1)
    for y, line in enumerate(reversed(lines)):
        if isinstance(line, Gate):
            _draw_gate(axes, y, line)
    axes.set_yticks(range(len(lines)), [_gate_label(line) for line in reversed(lines)])
    for label, line in zip(axes.get_yticklabels(), reversed(lines), strict=True):
        label.set_fontweight("bold" if isinstance(line, str) else "normal")
        label.set_parse_math(False)  # a category's name may hold two dollar signs
    axes.set_ylim(-0.7, len(lines) - 0.3)
    axes.margins(x=0.08)
    _finish(axes, "", f"{report.verdict}: challenger − champion, per gate")
    axes.grid(visible=False, axis="y")
    axes.grid(axis="x", color=LIGHT, linewidth=0.8)
    axes.set_xlabel("difference in recall points (1 point = 0.01), with its interval")
    axes.tick_params(axis="y", left=False)
    _outcome_legend(figure, axes, [line for line in lines if isinstance(line, Gate)])
    return figure


def _gate_lines(gates: Sequence[Gate]) -> list[str | Gate]:
    """Headings and the gates under them; bounds and checks have no difference and are in the table only."""
    lines: list[str | Gate] = []
    for kind, heading in KINDS.items():
        of_kind = [gate for gate in gates if gate.kind == kind]
        lines += [heading, *of_kind] if of_kind else []
    return lines


def _gate_label(line: str | Gate) -> str:
    return line if isinstance(line, str) else line.name


def _draw_gate(axes: Axes, y: int, gate: Gate) -> None:
    colour, marker = OUTCOMES.get(gate.outcome, OTHER_OUTCOME)
    words = f"{gate.outcome}, n = {gate.requests}"
    axes.text(1.01, y, words, transform=axes.get_yaxis_transform(), va="center", fontsize=9, color=DARK)
    if gate.difference is None:
        return
    points = gate.difference * 100
    low = points if gate.low is None else gate.low * 100
    high = points if gate.high is None else gate.high * 100
    axes.hlines(y, low, high, color=colour, linewidth=2.5)
    axes.plot(points, y, marker=marker, color=colour, markersize=8)
    if gate.margin:
        axes.vlines(-abs(gate.margin) * 100, y - 0.4, y + 0.4, color=DARK, linestyle=(0, (2, 1)))


def _outcome_legend(figure: Figure, axes: Axes, gates: Sequence[Gate]) -> None:
    drawn = {gate.outcome for gate in gates if gate.difference is not None}
    for outcome in sorted(drawn):
        colour, marker = OUTCOMES.get(outcome, OTHER_OUTCOME)
        axes.plot([], [], color=colour, marker=marker, linewidth=2.5, markersize=7, label=outcome)
    if any(gate.margin for gate in gates):
        axes.plot([], [], color=DARK, linestyle=(0, (2, 1)), label="margin")
    if drawn:
        figure.legend(loc="outside lower center", ncols=5, frameon=False)


def _styled(curves: Sequence[Curve]) -> list[tuple[Curve, str, str, float]]:
    """Each curve with its colour, marker and a small shift, so that intervals do not cover each other."""
    styles = [(BLUE, "o", 0.14), (RED, "s", -0.14)]
    return [(curve, *style) for curve, style in zip(curves, styles, strict=False)]


def _numbers(points: Sequence[RecallPoint], end: str) -> np.ndarray:
    """The named figure of each point, NaN where there is none."""
    values = [getattr(point, end) for point in points]
    return np.array([np.nan if value is None else value for value in values])


def _finish(axes: Axes, ylabel: str, title: str) -> None:
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontweight="bold", fontsize=12)
    axes.grid(axis="y", color=LIGHT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
