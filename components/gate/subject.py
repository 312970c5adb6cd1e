"""What a gate report is about, as one line: whose run it was and what it was judged on."""

from dataclasses import dataclass
from datetime import datetime

from components.contract.records import PreparedData


@dataclass(frozen=True)
class Subject:
    """Not part of the report's JSON, which is the same again for the same scorecards."""

    shop: str
    run_id: str
    prepared: PreparedData

    @property
    def line(self) -> str:
        """ "demo · run 20260101-120000-abcdef · judged 2026-01-01 – 2026-01-15 · …"."""
        counts = self.prepared.counts
        catalogue = f"{counts['items']:,} catalogue items, {counts['new_items']:,} of them new"
        asked = [f"{counts[f'test_{one}_requests']:,} {one}" for one in self.prepared.entrances]
        window = _window(self.prepared.cutoff, self.prepared.judged_until)
        parts = (f"run {self.run_id}", window, catalogue, f"judged requests: {', '.join(asked)}")
        return " · ".join((self.shop, *parts))


def _window(cutoff: datetime | None, until: datetime | None) -> str:
    """From the cut-off to the last judged row."""
    if cutoff is None:
        return "undated, new items held out by id"
    first = _moment(cutoff)
    return f"judged {first} – {_moment(until)}" if until else f"cut-off {first}, judgements undated"


def _moment(at: datetime) -> str:
    """A day; with the time where it is not midnight."""
    return f"{at:%Y-%m-%d}" if at == datetime(at.year, at.month, at.day) else f"{at:%Y-%m-%d %H:%M}"
