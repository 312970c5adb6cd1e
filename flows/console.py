"""What a person sees in the terminal: steps, progress, one table, a verdict in colour."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from components.contract.records import Decision

if TYPE_CHECKING:  # its module imports Great Expectations, which takes seconds
    from components.evaluation.undiscoverable_report import UndiscoverableReport
    from components.service.keys import KeyRecord
    from flows.run import Data

_VERDICT_STYLE = {"PROMOTE": "bold white on green", "REJECT": "bold white on red"}
_UNDECIDED_STYLE = "bold black on yellow"
_REASONS = 6
_CELL = 40
_OUTCOME = {
    "pass": "[green]✔ pass[/]",
    "fail": "[red]✘ fail[/]",
    "unsure": "[yellow]? unsure[/]",
    "missing": "[red]! missing[/]",
    "not applicable": "[dim]n/a[/]",
}
_POPULATIONS = {
    "new": "new items",
    "new_only": "new items only",
    "established": "established",
    "all": "all items",
}
_SHOWN_KINDS = ("primary", "guardrail", "baseline", "task", "check")

# Progress goes where --json does not: the last line of stdout belongs to the JSON object.
_console = Console(highlight=False, quiet=True)


def open_terminal(as_json: bool) -> None:
    """Starts printing (a flow that a worker runs prints nothing); to stderr where stdout is for JSON."""
    _console.quiet = False
    _console.stderr = as_json


def say(text: str) -> None:
    _console.print(text)


def verbatim(text: str) -> None:
    """For pasting: a long path stays one line."""
    _console.print(Text(text), soft_wrap=True)


def show(table: Table) -> None:
    _console.print(table)


def chapter(title: str) -> None:
    _console.print()
    _console.rule(f"[bold]{title}", align="left", style="cyan")


def fact(label: str, text: str) -> None:
    """One labelled line; `text` may hold markup, so what comes from a person is escaped by the caller."""
    # Not broken by us: a path or digest that is copied from the terminal stays whole.
    _console.print(f"  [dim]{label:<22}[/] {text}", soft_wrap=True)


def step(text: str) -> None:
    _console.print(f"  [dim]·[/] {text}")


def warning(text: str) -> None:
    _console.print(f"  [yellow]{'warning':<22}[/] {escape(text)}", soft_wrap=True)


def data(found: "Data") -> None:
    """What the data stages found: rows, bad rows with the main reasons, what is judged."""
    quality(
        {
            "rows": found.loaded.rows,
            "corrected": found.loaded.corrected,
            "outdated": found.loaded.outdated,
            "quarantined": found.checked.quarantined,
            "reasons": found.checked.broken,
        }
    )
    if found.lost_items:
        lost = found.lost_items
        fact(
            "lost to quarantine",
            f"{lost['lost_items']:,} items have no event left, {lost.get('lost_new_items', 0):,} of them new",
        )
    counts, cutoff = found.prepared.counts, found.prepared.cutoff
    fact("cut-off", f"{cutoff:%Y-%m-%d}" if cutoff else "undated: new items are held out by id")
    fact("catalogue", f"{counts['items']:,} items, [bold]{counts['new_items']:,} new[/]")
    judged = counts["test_search_requests"] + counts["test_recommendation_requests"]
    fact("judged", f"{judged:,} requests, {counts['requests_with_new']:,} of them with a relevant new item")


def mined(pairs: dict[str, int], counts: dict[str, int]) -> None:
    """Training pairs per kind, and how many candidate negatives each filter dropped."""
    fact("pairs", ", ".join(f"{count:,} {kind}" for kind, count in pairs.items() if count))
    if counts:
        shown = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
        fact("hard negatives", shown)


def problem(text: str) -> None:
    sentence = Text("error: ", style="bold red") + Text(text)
    Console(stderr=True, highlight=False).print(sentence, soft_wrap=True)


def note(text: str) -> None:
    """A line on stderr: stdout holds what a script reads."""
    Console(stderr=True, highlight=False).print(Text(text), soft_wrap=True)


def json_line(text: str) -> None:
    print(text, flush=True)


@contextmanager
def training_progress(
    what: str = "fine-tuning", unit: str = "pairs"
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Yields what `training.launch.train` calls with each line of metrics; moves one bar."""
    columns = (
        TextColumn("  [dim]{task.description:<22}[/]"),
        BarColumn(bar_width=36),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_console) as bar:
        line = bar.add_task(what, total=None, note="")  # its steps are not counted yet

        def show(metrics: dict[str, Any]) -> None:
            if metrics["kind"] == "step":
                done = f"step {metrics['step']} of {metrics['steps']}"
                note = f"{done}  loss {metrics['loss']:.3f}  {metrics[f'{unit}_per_second']:.0f} {unit}/s"
                bar.update(line, completed=metrics["step"], total=metrics["steps"], note=note)

        yield show


def gate_table(report: dict[str, Any]) -> None:
    """The gates a decision hangs on, one line each; slices and bounds only where they do not pass."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))  # 80 columns suffice
    table.add_column("gate")
    # "against": the champion's figure, or BM25's in the lines that are named so.
    for name in ("against", "challenger", "difference", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
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
    interval = "" if gate["low"] is None else f"{gate['low']:+.3f} … {_number(gate['high'], '+.3f')}"
    shown = gate["difference"] is not None or gate["challenger"] is not None
    return [
        gate["name"].replace("/recall@10", "").replace("_", " "),
        _number(gate["champion"], ".3f") if shown else "",
        _number(gate["challenger"], ".3f") if shown else "",
        _number(gate["difference"], "+.3f") if shown else "",
        interval,
        _OUTCOME.get(gate["outcome"], f"[dim]{gate['outcome']}[/]"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def nothing_new(result: dict[str, Any]) -> None:
    say(
        f"[bold]Nothing new[/] since run {result['run_id']}: data, configuration, code, versions and base "
        f"weights are the same. Its verdict was {result['verdict']}; --force runs again."
    )


def summary(result: dict[str, Any]) -> None:
    """A run's figures: recall of the three systems, the gates, the verdict, and what serves after it."""
    recall_table(result)
    chapter("Gate")
    gate_table(result)
    verdict(result["verdict"], result["sentence"])
    fact("serves", _serves(result))


def _serves(result: dict[str, Any]) -> str:
    """By the run's own decision; without one the challenger waits for a review."""
    if result["verdict"] == "PROMOTE" and result["decision"] is not None:
        return f"{result['challenger_digest'][:12]}, the challenger"
    champion = result["champion_digest"][:12]
    # Only a challenger of version 0 is held against BM25.
    if any(gate["kind"] == "baseline" for gate in result["gates"]):
        return f"version 0 ({champion}), made champion as the baseline"
    return f"{champion}, the champion as before"


def recall_table(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column(f"recall@10, {result['entrance']}")
    for name in ("BM25", "champion", "challenger", "requests"):
        table.add_column(name, justify="right")
    for name, label in _POPULATIONS.items():
        systems = [result[system].get(name, {}) for system in ("bm25", "champion", "challenger")]
        values = [_number(system.get("recall@10"), ".3f") for system in systems]
        table.add_row(label, *values[:2], f"[bold]{values[2]}[/]", f"{systems[2].get('requests', 0):,}")
    _console.print()
    _console.print(table)


def quality(found: dict[str, Any]) -> None:
    """Rows, corrected and bad ones per table, and why."""
    for name, rows in found["rows"].items():
        corrected = found["corrected"].get(name, 0)
        parts = [f"{rows:,} rows", *([f"{corrected:,} corrected"] if corrected else [])]
        fact(name, ", ".join([*parts, f"{found['quarantined'].get(name, 0):,} in quarantine"]))
        if name in found["outdated"]:
            told = counted(found["outdated"][name], "replayed row")
            fact("", f"[dim]{told} left out: what they correct has changed since, or is gone[/]")
    reasons = sorted(found["reasons"].items(), key=lambda item: -item[1])
    for reason, rows in reasons[:_REASONS]:
        fact("", f"[dim]{rows:>9,}  {reason}[/]")
    if len(reasons) > _REASONS:
        fact("", f"[dim]and {len(reasons) - _REASONS} more reasons in the report[/]")


def decision(record: Decision) -> None:
    fact(f"decision {record.number}", _decided(record))


def _decided(record: Decision) -> str:
    of = "to" if record.kind == "rollback" else "of"
    release = f" {of} {record.release[:12]}" if record.release else ""
    return f"{record.kind}{release}: {escape(record.reason)}"


def verified(records: int, place: str) -> None:
    fact("decision log", f"{counted(records, 'record')}, none changed or missing: {escape(place)}")


def status(found: dict[str, Any]) -> None:
    """What `promotion.status` found, and the workspace that it was found in."""
    for name in ("champion", "previous", "challenger"):
        fact(name, found[name] or "–")
    fact("since", found["since"] or "–")
    last = found["last_record"]
    fact("last decision", _decided(Decision.model_validate(last)) if last else "–")
    fact("records", str(found["records"]))
    fact("workspace", escape(found["workspace"]))


def undiscoverable(report: "UndiscoverableReport", most: int = 20) -> None:
    say(report.sentence)
    if not report.items:
        return
    table = Table("item", "title", "reason", "what to try", box=None)
    for item in report.items[:most]:
        table.add_row(escape(item.item_id), escape(cut(item.title)), item.reason, escape(item.fix))
    _console.print(table)
    if len(report.items) > most:
        say(f"… and {len(report.items) - most:,} more in the list.")


def serving(host: str, port: int, anonymous_read: bool, names: "Sequence[str] | None" = None) -> None:
    fact("service", f"http://{host}:{port}/  (OpenAPI: /openapi.json)")
    where = f" at {', '.join(names)}; --anonymous-read: at any name" if names else ""
    fact(
        "searches", f"need no key{where}" if anonymous_read else "need a key: debut keys add NAME --role read"
    )
    fact("changes", "need a key: debut keys add NAME --role write (operate: to roll back)")


def keys(found: "Sequence[KeyRecord]") -> None:
    table = Table("id", "name", "role", "created", "state", box=None)
    for key in found:
        state = "revoked" if key.revoked else "valid"
        table.add_row(key.id, escape(key.name), key.role, f"{key.created:%Y-%m-%d %H:%M}", state)
    if not found:
        say("No key yet: debut keys add NAME --role read")
        return
    _console.print(table)


def counted(count: int, thing: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def cut(text: str) -> str:
    """A cell as the terminal shows it; exported files hold all of it."""
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def next_steps(steps: dict[str, str]) -> None:
    chapter("Look at")
    for name, where in steps.items():
        fact(name, escape(where))


def prediction(answer: dict[str, Any]) -> None:
    """A label with the next ones, or a value with its interval."""
    fact("asked", escape(answer["says"]))
    if "label" in answer:
        if answer["abstained"]:
            fact("unsure", "no answer is probable enough to be relied on; the likeliest are")
        for each in (answer, *answer["alternatives"]):
            fact(f"{each['probability']:.1%}", escape(each["label"]))
        return
    fact("value", f"{answer['value']:,.4g}")
    if answer["low"] is not None:
        fact(f"{answer['coverage']:.0%} interval", f"{answer['low']:,.4g} to {answer['high']:,.4g}")
