"""Which run judged which release, by the gate reports in the workspace's runs."""

import json
from pathlib import Path

from components.evaluation.age import recall_by_age, recall_by_population
from components.evaluation.scorecard import Scorecard
from components.service.releases import AgeCurve, AgePlot

_Judged = tuple[str | None, str | None]
REPORT, PICTURE = "gate_report.json", "recall_by_age.png"


class JudgedRuns:
    """A run's report is written last and nothing changes after it, so what was read of a run is kept."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._judged: dict[Path, _Judged] = {}
        self._plots: dict[Path, AgePlot] = {}

    def of(self, digest: str, *, champion: bool = False) -> Path | None:
        """Folder of the newest run that judged the release, or (champion) judged another against it."""
        report = self.file(digest, REPORT, champion=champion)
        return report.parent if report is not None else None

    def file(self, digest: str, name: str, *, champion: bool = False) -> Path | None:
        """A file of the newest such run that has one of this name."""
        # Run ids begin with the moment, so their order is the order of time.
        for report in sorted(self._runs.glob(f"*/{REPORT}"), reverse=True):
            path = report.with_name(name)
            if self._digests(report)[champion] == digest and path.is_file():
                return path
        return None

    def recall_by_age(self, digest: str) -> AgePlot | None:
        """See `Releases.recall_by_age`; StorageError where a scorecard is damaged."""
        run = self.of(digest) or self.of(digest, champion=True)
        if run is None:
            return None
        if run not in self._plots:
            self._plots[run] = _plot(run)
        return self._plots[run]

    def _digests(self, report: Path) -> _Judged:
        if report not in self._judged:
            found = json.loads(report.read_bytes())
            self._judged[report] = found["challenger_digest"], found["champion_digest"]
        return self._judged[report]


def _plot(run: Path) -> AgePlot:
    cards = {name: Scorecard.read(run / "scorecards" / name) for name in ("challenger", "champion")}
    dated = bool(recall_by_age(cards["challenger"]))
    points = recall_by_age if dated else recall_by_population
    picture = run / PICTURE
    return AgePlot(
        curves=(
            AgeCurve("challenger", cards["challenger"].digest, tuple(points(cards["challenger"]))),
            AgeCurve("champion", cards["champion"].digest, tuple(points(cards["champion"]))),
        ),
        k=cards["challenger"].k,
        dated=dated,
        picture=picture if picture.is_file() else None,
    )
