"""What a person sees in the terminal: steps, progress, one table, a verdict in colour."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

_VERDICT_STYLE = {"PROMOTE": "bold white on green", "REJECT": "bold white on red"}
_UNDECIDED_STYLE = "bold black on yellow"
_OUTCOME = {
    "pass": "[green]✔ pass[/]",
    "fail": "[red]✘ fail[/]",
    "unsure": "[yellow]? unsure[/]",
    "missing": "[red]! missing[/]",
}
_SHOWN_KINDS = ("primary", "guardrail", "baseline", "check")

# Progress goes where --json does not: the last line of stdout belongs to the JSON object.
_console = Console(highlight=False)


def use_stderr() -> None:
    """Sends everything but the JSON line to stderr."""
    _console.stderr = True


def say(text: str) -> None:
    _console.print(text)


def chapter(title: str) -> None:
    _console.print()
    _console.rule(f"[bold]{title}", align="left", style="cyan")


def fact(label: str, text: str) -> None:
    _console.print(f"  [dim]{label:<22}[/] {text}")


def problem(text: str) -> None:
    Console(stderr=True, highlight=False).print(Text("error: ", style="bold red") + Text(text))


def json_line(text: str) -> None:
    print(text, flush=True)


@contextmanager
def progress(label: str) -> Iterator[Any]:
    """Yields a callback(done, total, note) that moves one bar; the bar stays when the block ends."""
    columns = (
        TextColumn("  {task.description:<22}"),
        BarColumn(bar_width=36),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console) as bar:
        line = bar.add_task(label, total=1, note="")
        yield lambda done, total, note="": bar.update(line, completed=done, total=total, note=note)


def gate_table(report: dict[str, Any]) -> None:
    """The gates a decision hangs on, one line each; slices and bounds only where they block."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("gate")
    for name in ("champion", "challenger", "difference", "interval"):
        table.add_column(name, justify="right")
    table.add_column("outcome")
    gates = report["gates"]
    for gate in gates:
        if gate["kind"] in _SHOWN_KINDS or gate["outcome"] in ("fail", "missing", "unsure"):
            table.add_row(*_gate_cells(gate))
    _console.print(table)
    quiet = [gate for gate in gates if gate["kind"] in ("slice", "bound")]
    passed = sum(gate["outcome"] == "pass" for gate in quiet)
    idle = sum(gate["outcome"] in ("not judged", "not applicable") for gate in quiet)
    _console.print(f"[dim]  slices and bounds: {passed} of {len(quiet)} pass, {idle} not judged[/]")


def verdict(name: str, sentence: str) -> None:
    style = _VERDICT_STYLE.get(name, _UNDECIDED_STYLE)
    _console.print(Panel(Text.assemble((f" {name} ", style), "  ", sentence), expand=False))


def _gate_cells(gate: dict[str, Any]) -> list[str]:
    interval = "" if gate["low"] is None else f"[{gate['low']:+.3f}, {_number(gate['high'], '+.3f')}]"
    return [
        gate["name"],
        _number(gate["champion"], ".3f"),
        _number(gate["challenger"], ".3f"),
        _number(gate["difference"], "+.3f"),
        interval.replace("[", "\\["),
        _OUTCOME.get(gate["outcome"], f"[dim]{gate['outcome']}[/]"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
