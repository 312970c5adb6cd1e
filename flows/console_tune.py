"""What `debut tune` prints."""

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from components.tuning.study import Finished, Proposal
from components.tuning.trial import Outcome
from flows.console import chapter, counted, fact, say, show

_BEST = 5


def study(finished: Sequence[Finished], taken_up: int, requests: int, own: bool) -> None:
    """What an earlier call left, and what is judged on."""
    chapter("Search")
    fact("judged on", f"{counted(requests, 'validation request')}; the test part is not read")
    if finished:
        early = sum(one.recall is None for one in finished)
        so_far = f", best {finished[0].recall:.4f}" if finished[0].recall is not None else ""
        fact("study so far", f"{counted(len(finished), 'trial')}, {early} of them stopped early{so_far}")
    if taken_up:
        fact("taken up", f"{counted(taken_up, 'trial')} that an earlier call left unfinished")
    if not own:
        fact("not tried", "debut.yaml's own values, which lie outside tune.space")


def trial(proposal: Proposal, outcome: Outcome | str, finished: Sequence[Finished]) -> None:
    if isinstance(outcome, str):
        fact(f"trial {proposal.number}", f"[red]failed[/]: {escape(outcome)}")
        return
    recall = f"recall {outcome.recall:.4f}" if outcome.recall is not None else outcome.state
    best = " [green]best so far[/]" if finished and finished[0].number == proposal.number else ""
    values = "  ".join(f"{name} {value:g}" for name, value in proposal.values.items())
    fact(f"trial {proposal.number}", f"{recall}{best}  [dim]{outcome.seconds:.0f} s  {values}[/]")


def result(found: dict[str, Any]) -> None:
    """The best trials, and what to put into debut.yaml."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
    for name in ("trial", "recall@10", "seconds", *found["best"]):
        table.add_column(name.replace("_", " "), justify="right")
    done = [row for row in found["table"] if row["recall"] is not None]
    for row in done[:_BEST]:
        cells = [f"{row[name]:g}" for name in found["best"]]
        table.add_row(str(row["trial"]), f"{row['recall']:.4f}", f"{row['seconds']:.0f}", *cells)
    chapter("Best trials")
    show(table)
    counts = f"{counted(found['trials'], 'trial')}, {found['pruned']} of them stopped early"
    fact("study", f"{counts}; {found['new_trials']} in this call")
    if found["configured_value"] is not None:
        fact("debut.yaml as it is", f"recall@10 {found['configured_value']:.4f}")
    fact("how good it is", "the next retrain's gate finds on the test part: the best of several trials looks")
    fact("", "a little too good on the validation part that it was chosen on")
    say("\nLines for debut.yaml:\n")
    say(escape(found["yaml"]))
