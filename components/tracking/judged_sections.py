"""What was judged, as sections of a model version's page: gates, tasks' figures and their answers."""

from collections.abc import Mapping, Sequence

from components.contract.records import Gate
from components.contract.task import Task
from components.evaluation.risk_coverage import AREA
from components.tracking.sections import Line, Section

Summary = Mapping[str, Mapping[str, float | int | None]]
"""{slice: {metric: mean, …, "requests": n}}, as Scorecard.summary gives it."""

LINES_NAMED = 10
"""Gates of a section."""
OPTIONAL_SECTIONS = ("Second stage", "Tasks that did not pass")
"""Left out where the release has none."""
_REPORT, _METRICS = "the gate report", "the run's metrics"

# What a reviewer can best do without goes first: gates that passed, then those that were not judged. What
# keeps a release from promotion, and what a person has to decide, goes last.
_NEEDS = {"pass": 0, "not applicable": 0, "not judged": 1}
_MEASURED, _NOT_PASSED, _PRIMARY, _ANSWERS, _PERSONAL = 2, 3, 4, 5, 6


def gate_sections(gates: Sequence[Gate]) -> list[Section | str]:
    """Sections of those that a reviewer reads, and a sentence that counts the others."""
    slices = [gate for gate in gates if gate.kind == "slice"]
    others = [gate for gate in gates if gate.kind in ("baseline", "bound", "check")]
    tasks = [gate for gate in gates if gate.kind == "task"]
    sections = {
        "Primary figures": [gate for gate in gates if gate.kind == "primary"],
        "Guardrails": [gate for gate in gates if gate.kind == "guardrail"],
        "Second stage": [gate for gate in gates if gate.kind == "ranking"],
        "Tasks that did not pass": _open(tasks),
        "Bounds and checks that did not pass": _open(others),
        "Slices shown harmed": [gate for gate in slices if gate.outcome == "fail"],
    }
    sections = {title: found for title, found in sections.items() if found or title not in OPTIONAL_SECTIONS}
    unjudged = sum(gate.outcome == "not judged" for gate in slices)
    counts = f"{len(slices)} slices, {unjudged} of them too small to judge; {len(others)} bounds and checks."
    if tasks:
        counts = f"{len(tasks)} comparisons of tasks, {len(_open(tasks))} of them open; {counts}"
    return [*(_gates(title, found) for title, found in sections.items()), counts]


def _open(gates: Sequence[Gate]) -> list[Gate]:
    return [gate for gate in gates if gate.outcome not in ("pass", "not applicable")]


def _gates(title: str, gates: Sequence[Gate]) -> Section:
    """Each sentence once: a task with too few rows says the same beside the champion and beside TF-IDF."""
    lines = dict.fromkeys(
        Line(f"{gate.outcome}: {gate.sentence}", _need(gate), outcome=gate.outcome) for gate in gates
    )
    return Section(f"**{title}**", tuple(lines), _REPORT).at_most(LINES_NAMED)


def _need(gate: Gate) -> int:
    return _PRIMARY if gate.kind == "primary" else _NEEDS.get(gate.outcome, _NOT_PASSED)


def measured_tasks(
    tasks: Sequence[Task], figures: Mapping[str, Summary], baseline: Mapping[str, Summary]
) -> Section | str:
    """Every figure of each task but what `answers` tells, on all test rows and in brackets on new items', and
    the baseline's of the first; empty where no task was measured."""
    lines = []
    for task in tasks:
        found = figures.get(task.name)
        if not found or not found["all"]["rows"]:
            continue
        # How sure it is matters where it may abstain.
        unsaid = {"rows", "answered_share", "answered_accuracy"} | (set() if task.precision else {AREA})
        told = [
            f"{name.replace('_', ' ')} {value}"
            for name in found["all"]
            if name not in unsaid and (value := _told(found, name))
        ]
        if simple := _told(baseline.get(task.name, {}), task.measured[0]):
            told.insert(1, f"of TF-IDF {simple}")
        new = found.get("new", {}).get("rows")
        rows = f"{found['all']['rows']:,} rows" + (f" ({new:,} new)" if new else "")
        lines.append(Line(f"{task.name}, {rows}: {', '.join(told) or 'not judged'}", _MEASURED))
    title = "**Tasks, measured** (test rows; new items in brackets)"
    return Section(title, tuple(lines), _METRICS) if lines else ""


def _told(figures: Summary, name: str) -> str:
    """On all rows and, in brackets, on new items'; empty where there is none."""
    value, new = (figures.get(population, {}).get(name) for population in ("all", "new"))
    return "" if value is None else f"{value:.3f}" + ("" if new is None else f" ({new:.3f})")


def answers(tasks: Sequence[Task], figures: Mapping[str, Summary]) -> Section | str:
    """Of the tasks that abstain, how often they do and are right; and what a release holds of customers.
    Empty where none abstains and nothing is held."""
    lines = []
    for task in tasks:
        found = figures.get(task.name, {})
        lines += [Line(told, _ANSWERS) for name in ("all", "new") if (told := _answered(task, found, name))]
        if task.name in figures and task.head == "nearest":
            holds = f"{task.name} holds the training texts as people wrote them: fit to be shown?"
            lines.append(Line(holds, _PERSONAL))
    return Section("**Answers** (test rows)", tuple(lines), _METRICS) if lines else ""


def _answered(task: Task, figures: Summary, population: str) -> str:
    """Empty where it never abstains, or was not measured on this population."""
    found = figures.get(population, {})
    share, right = found.get("answered_share"), found.get("answered_accuracy")
    if task.precision is None or share is None or right is None or not found["rows"]:
        return ""
    return (
        f"{task.name}, {population} rows: {share:.0%} of {found['rows']:,} answered, {right:.0%} of these "
        f"rightly, where {task.precision:.0%} were asked for"
    )
