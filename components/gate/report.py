"""A gate report as canonical JSON, as a Markdown table, and as one HTML page that loads nothing else."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from components.contract.digests import canonical_json
from components.contract.records import Gate, GateReport
from components.cost.summary import HEADER, Cost, cost_notes, cost_rows
from components.gate import wording
from components.gate.subject import Subject

TEMPLATE = "report.html.jinja"
BLOCKING = ("fail", "unsure", "missing")
MARKS = {"pass": "✓", "fail": "✗", "unsure": "?", "missing": "!", "not judged": "–", "not applicable": "–"}
GROUPS = {
    "primary": ("New items", "Must be shown better: the whole interval above zero."),
    "guardrail": ("Guardrails", "Must be shown to lose no more than the margin (dashed line)."),
    "baseline": ("Baseline", "First release only: must lie above plain keyword search."),
    "bound": ("Bounds", "Limits on robustness, exposure, speed and size."),
    "ranking": ("Second stage", "The release with its second stage beside the same release without."),
    "task": (
        "Tasks",
        "What else the encoder answers, on test rows, each by its own policy.",
    ),
    "check": ("Checks", "Whether the figures above can be trusted."),
    "slice": ("Slices", "Block only where harm is shown (p adjusted for their number, Holm)."),
}


@dataclass(frozen=True)
class Drawing:
    """An interval on a scale of 0 … 100, left to right; None where there is nothing to draw."""

    zero: float
    low: float
    high: float
    point: float
    margin: float | None


@dataclass(frozen=True)
class Row:
    gate: Gate
    drawing: Drawing | None


@dataclass(frozen=True)
class Group:
    title: str
    rule: str
    rows: list[Row]
    counts: str
    """ "12 pass, 3 not judged"."""


def report_json(report: GateReport) -> bytes:
    """Canonical JSON, no newline at the end: equal reports give equal bytes."""
    return canonical_json(report.model_dump(mode="json"))


def report_markdown(report: GateReport, cost: Cost | None = None, about: Subject | None = None) -> str:
    """The verdict and one table of all gates, blocking ones first within each kind. "against": the champion's
    figure, BM25's in the baseline's lines. Where they are given, what it is about and what the candidate
    cost."""
    head = f"{_cell(about.line)}\n\n" if about else ""
    head += f"## {report.verdict}\n\n{_cell(report.sentence)}\n\n"
    head += f"{report.own_judgements.sentence}\n\n" if report.own_judgements else ""
    table = "| | gate | against | challenger | difference | requests | finding |\n"
    table += "|---|---|--:|--:|---|--:|---|\n"
    rows = "".join(
        _markdown_row(gate) for kind in GROUPS for gate in _ordered(g for g in report.gates if g.kind == kind)
    )
    priced = _markdown_cost(cost) if cost else ""
    return f"{head}{table}{rows}{priced}\nChallenger `{report.challenger_digest}`, {_champion(report)}.\n"


def report_html(report: GateReport, cost: Cost | None = None, about: Subject | None = None) -> str:
    """One page without scripts or outside resources; every text is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"figure": _figure, "difference": _difference, "mark": MARKS.__getitem__}
    return environment.get_template(TEMPLATE).render(
        about=about,
        report=report,
        champion=_champion(report),
        groups=[_group(kind, report) for kind in GROUPS if any(g.kind == kind for g in report.gates)],
        policy=[(name, value) for name, value in report.policy.items() if name != "bounds"],
        cost=(HEADER, cost_rows(cost), cost_notes(cost)) if cost else None,
    )


def _group(kind: str, report: GateReport) -> Group:
    gates = _ordered(gate for gate in report.gates if gate.kind == kind)
    widest = max((_extent(gate) for gate in gates), default=0.0)
    title, rule = GROUPS[kind]
    # Tasks are measured in accuracies, euros and more: each on its own scale.
    rows = [Row(gate, _drawing(gate, _extent(gate) if kind == "task" else widest)) for gate in gates]
    return Group(title, rule, rows, _counts(gates))


def _ordered(gates: Iterable[Gate]) -> list[Gate]:
    """Blocking gates first; otherwise in the report's order."""
    return sorted(gates, key=lambda gate: BLOCKING.index(gate.outcome) if gate.outcome in BLOCKING else 9)


def _counts(gates: list[Gate]) -> str:
    outcomes = [gate.outcome for gate in gates]
    return ", ".join(f"{outcomes.count(name)} {name}" for name in MARKS if name in outcomes)


def _extent(gate: Gate) -> float:
    return max(abs(value) for value in (gate.low, gate.high, gate.margin, 0.0) if value is not None)


def _drawing(gate: Gate, widest: float) -> Drawing | None:
    if gate.low is None or gate.high is None or gate.difference is None or widest == 0.0:
        return None
    return Drawing(
        zero=_place(0.0, widest),
        low=_place(gate.low, widest),
        high=_place(gate.high, widest),
        point=_place(gate.difference, widest),
        margin=None if gate.margin is None else _place(-gate.margin, widest),
    )


def _place(value: float, widest: float) -> float:
    """A difference in −widest … widest as 2 … 98, so that ends stay visible."""
    return round(50.0 + 48.0 * value / widest, 2)


def _markdown_row(gate: Gate) -> str:
    requests = f"{gate.requests:,}" if gate.requests else ""
    cells = (
        f"{MARKS[gate.outcome]} {gate.outcome}",
        gate.name,
        _figure(gate.champion),
        _figure(gate.challenger),
        _difference(gate),
        requests,
        gate.sentence,
    )
    return f"| {' | '.join(_cell(cell) for cell in cells)} |\n"


def _markdown_cost(cost: Cost) -> str:
    lines = [HEADER, ("---", *["--:"] * (len(HEADER) - 1)), *cost_rows(cost)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return f"\n### Cost\n\n{table}\n{' '.join(_cell(note) for note in cost_notes(cost))}\n"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:,.0f}"
    return text.replace("-", "−")


def _difference(gate: Gate) -> str:
    if gate.difference is None:
        return ""
    if gate.low is None or gate.high is None:
        return wording.signed(gate.difference)
    return f"{wording.signed(gate.difference)} {wording.interval(gate.low, gate.high)}"


def _champion(report: GateReport) -> str:
    return f"champion {report.champion_digest}" if report.champion_digest else "no digest of the champion"


def _cell(text: str) -> str:
    """Shop texts (category names) must not end a table cell, start a tag or a link."""
    text = " ".join(text.split())
    for character in "\\|`*[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
