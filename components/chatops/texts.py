"""What chat says. Only `code` and code blocks are marked up: Slack and Mattermost read both the same."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from components.chatops.board import Comparison, Drift, Status
from components.chatops.commands import USAGES
from components.contract.ports import JobRun
from components.contract.records import Decision, Gate, GateReport, ReviewCase
from components.gate.wording import interval, signed

DIGITS = 12
"""Of a release's D."""
_DEEDS = {
    "promotion": "was promoted",
    "override": "was promoted against the verdict",
    "rollback": "was made the champion again",
    "rejection": "was rejected",
    "inconclusive": "was not promoted, the verdict being inconclusive",
}
ResultPlace = Literal["thread", "channel", "webhooks", "nowhere"]
_PLACES: dict[ResultPlace, str] = {
    "thread": "its result follows here",
    "channel": "its result goes to the channel of the settings (chat.channel)",
    "webhooks": "its result goes to the webhooks of the settings (chat.webhooks)",
    "nowhere": "its result is posted nowhere, for want of a Slack channel and of chat.webhooks: "
    "`/debut status` tells how it ended",
}
_JOINER = "\u2060"
_MARKUP = re.compile(r"@(?=all|here|channel)|\](?=[(\[:])", re.IGNORECASE)
"""What Mattermost reads as a mention of everybody, and as a link's text."""


def escaped(text: str) -> str:
    """Text that someone wrote: in Slack and Mattermost it mentions no channel and puts no address under other
    words. A bare address stays one that can be clicked, and a person's @name a mention in Mattermost."""
    entities = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(lambda found: found[0] + _JOINER, entities)


def help_text() -> str:
    return "\n".join(f"{usage}." for usage in USAGES.values())


def status_text(status: Status) -> str:
    serving = f"{_release(status.champion)} serves" if status.champion else "nothing serves yet"
    waiting = waiting_text(status.waiting) if status.waiting else "No challenger waits for a review."
    runs = [escaped(status.problem)] if status.problem else [_run(run) for run in status.runs]
    return "\n".join([f"Shop `{status.shop}`: {serving}.", waiting, *(runs or ["No runs yet."])])


def drift_text(drift: Drift | None) -> str:
    if drift is None:
        return "No window of traffic was judged yet."
    verdict = "Drift" if drift.drifted else "No drift"
    report = f"\nReport: {escaped(drift.report)}" if drift.report else ""
    return f"{verdict} in the window to {_moment(drift.at)}: {escaped(drift.sentence)}{report}"


def surge_text(sentence: str, examples: Sequence[str]) -> str:
    quoted = "".join(f"\n> {escaped(text)}" for text in examples)
    return f"{escaped(sentence)}{quoted}"


def champion_text(decision: Decision | None) -> str:
    if decision is None:
        return "No release was promoted yet."
    return (
        f"{_release(decision.release)} serves since {_moment(decision.at)}: {decision.kind} by "
        f"{escaped(decision.actor)} in record {decision.number} ({escaped(decision.reason)})."
    )


def compare_text(comparison: Comparison | None) -> str:
    if comparison is None:
        return "Nothing was judged yet."
    return verdict_text(comparison.run_id, comparison.report)


def verdict_text(run_id: str, report: GateReport) -> str:
    """The verdict's sentence and the table of the primary gates."""
    head = f"Run `{run_id}`: {report.verdict}. {escaped(report.sentence)}"
    rows = [_row(gate) for gate in report.gates if gate.kind == "primary"]
    return f"{head}\n{_table(rows)}" if rows else head


def decision_text(decision: Decision) -> str:
    """One sentence about one record of the decision log."""
    deed = _DEEDS.get(decision.kind, decision.kind.replace("_", " "))
    run = f" (run `{decision.run_id}`)" if decision.run_id else ""
    return (
        f"{_release(decision.release)} {deed} by {escaped(decision.actor)}{run}: "
        f"{escaped(decision.reason)} – record {decision.number} of the decision log."
    )


def waiting_text(case: ReviewCase) -> str:
    return (
        f"{_release(case.release)} of run `{case.run_id}` waits for a review until {_moment(case.expires)}; "
        f"{escaped(case.requester)} asked for it: {escaped(case.because)}"
    )


def retrain_text(mention: str, shop: str | None, because: str) -> str:
    return f"{mention} asks for a retrain{f' of `{shop}`' if shop else ''}: {escaped(because)}"


def review_text(case: ReviewCase) -> str:
    """The same for a chat without buttons: with the commands that answer."""
    run = case.run_id
    return (
        f"{waiting_text(case)}\n`/debut approve {run}` promotes it, `/debut reject {run} reason` refuses it."
    )


def started_text(run: JobRun, told: ResultPlace) -> str:
    """told: where the result goes."""
    return (
        f"Run `{escaped(run.name)}` is {escaped(run.state.lower())}, after any retrain that runs already; "
        f"{_PLACES[told]}{_link(run)}."
    )


def _release(digest: str | None) -> str:
    return f"`{digest[:DIGITS]}`" if digest else "The release"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _run(run: JobRun) -> str:
    return f"`{escaped(run.name)}` ({run.job}): {escaped(run.state)}{_link(run)}"


def _link(run: JobRun) -> str:
    return f" – {run.url}" if run.url else ""


def _row(gate: Gate) -> tuple[str, str, str, str, str]:
    difference = "" if gate.difference is None else signed(gate.difference)
    if difference and gate.low is not None and gate.high is not None:
        difference = f"{difference} {interval(gate.low, gate.high)}"
    return gate.name, _figure(gate.champion), _figure(gate.challenger), difference, gate.outcome


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell, in a code block."""
    table = [("gate", "champion", "challenger", "difference", "outcome"), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(["```", *map(escaped, lines), "```"])
