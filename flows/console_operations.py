"""What the commands of a team that operates the loop print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from components.contract.records import Decision, ReviewCase
from flows.console import fact, say, show

if TYPE_CHECKING:  # its module imports scikit-learn
    from components.monitoring.opinions import OpinionReport


def decisions(records: Sequence[Decision]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "at (UTC)", "kind", "release", "by", "why"):
        table.add_column(heading, style="dim" if heading in ("", "at (UTC)") else None)
    for one in records:
        release = (one.release or "–")[:12]
        table.add_row(
            str(one.number),
            f"{one.at:%Y-%m-%d %H:%M}",
            one.kind,
            release,
            escape(one.actor),
            escape(one.reason),
        )
    show(table)


def reviews(cases: Sequence[tuple[ReviewCase, str]]) -> None:
    if not cases:
        say("No challenger waits, or ever waited, for a review.")
    for case, state in cases:
        until = f"until {case.expires:%Y-%m-%d %H:%M} UTC" if state == "waiting" else ""
        fact(
            case.run_id, f"{case.release[:12]} {state} {until}  [dim]asked for by {escape(case.requester)}[/]"
        )


def deployed(done: dict[str, list[str]]) -> None:
    """What `debut deploy` put on the server, by kind."""
    for kind, names in done.items():
        fact(kind, ", ".join(names) or "–")


def opinions(report: "OpinionReport | None") -> None:
    """What reviewers write about, and where negatives surge."""
    if report is None:
        return
    fact("opinions", escape(report.sentence))
    for topic in report.topics:
        fact("", f"{topic.negatives:>6,} of {topic.reviews:>6,} negative  {escape(', '.join(topic.topic))}")
    for surge in report.surges:
        for text in surge.examples:
            fact("", f"“{escape(text)}”")


def drift(report: dict[str, Any]) -> None:
    """The verdict on a window, and the metrics that raised or could not be judged."""
    say(f"{report['verdict'].upper()}: {escape(report['sentence'])}")
    for metric in report["metrics"]:
        if metric["outcome"] != "no drift":
            fact(metric["name"], escape(metric["sentence"]))
