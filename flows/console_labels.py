"""What `debut label` prints."""

from rich.markup import escape
from rich.table import Table

from components.contract.records import GateReport
from components.gate.labelling import Labelling
from flows.console import counted, cut, fact, say, show
from flows.labels import Imported


def labelling(found: Labelling, report: GateReport, most: int = 20) -> None:
    """The first pairs, and what judging them all is expected to do to the gate's intervals."""
    fact("newest retrain", f"{report.verdict}: {escape(report.sentence)}")
    fact("not judged", f"{counted(found.unjudged, 'pooled pair')} of a test query and a new item")
    known = "learnt from the judged pairs" if found.calibrated else "0.5: too few judged pairs to learn from"
    fact("probability", known)
    for one in found.narrowing:
        before, after = (f"±{width * 100:.2f}" for width in (one.half_width, one.half_width_after))
        more = f", about {one.more_requests:.0f} requests more" if one.more_requests >= 0.5 else ""
        fact(
            one.measure,
            f"{before} → {after} points once these {len(found.pairs)} are judged{more}; missing judgements "
            f"are {one.missing_share:.0%} of the variance",
        )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("query", "item", "title", "p", "moves", "shown by"):
        table.add_column(column, overflow="fold")
    for line in found.pairs.head(most).iter_rows(named=True):
        cells = (line["query"], line["item_id"], cut(line["title"]))
        numbers = (f"{line['probability']:.2f}", f"{line['moves'] * 100:+.0f}", line["shown_by"])
        table.add_row(*(escape(cell) for cell in (*cells, *numbers)))
    show(table)
    if len(found.pairs) > most:
        say(f"[dim]  and {len(found.pairs) - most:,} more; --export writes all of them[/]")


def imported(found: Imported) -> None:
    if found.answers:
        fact(
            "judgements",
            f"{found.answers:,} taken in, {found.relevant:,} of them relevant; {found.labels:,} in all",
        )
        say("The next `debut retrain` judges with them; nothing is trained on them.")
    if found.blank:
        fact("left out", f"{counted(found.blank, 'row')} without a grade")
    if not found.answers:
        say("No row has a grade, so nothing was taken in: fill in the column grade.")
