"""What a shop's workspace tells the page of its runs and decisions."""

import os
from pathlib import Path

import numpy as np
import pytest

from components.contract.errors import StorageError
from components.contract.files import write_json
from components.contract.judging import GatePolicy
from components.contract.records import GateReport
from components.contract.settings import Settings
from components.evaluation.scorecard import EntranceScores, Scorecard
from components.service.releases import Challenger
from flows import acts, judge_stages
from flows.judged_runs import JudgedRuns
from flows.serving import ShopReleases
from flows.shop import Shop

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def _run(runs: Path, name: str, challenger: str, champion: str, dated: bool = True) -> Path:
    folder = runs / name
    write_json(folder / "gate_report.json", {"challenger_digest": challenger, "champion_digest": champion})
    slices = ("age:0-1", "age:1-7") if dated else ("new", "established")
    for system, digest in (("challenger", challenger), ("champion", champion)):
        values = np.full(4, 0.5 if system == "challenger" else 0.25)
        measures = {f"{name}/recall@10": values for name in slices}
        scores = EntranceScores("search", ("1", "2", "3", "4"), measures)
        Scorecard(system, digest, "search", {"search": scores}, {}).write(folder / "scorecards" / system)
    return folder


def test_the_newest_run_that_judged_a_release_counts(tmp_path: Path) -> None:
    """Where it was only ever the champion, the newest run it was judged against."""
    first, second = _run(tmp_path, "20260101-x", B, A), _run(tmp_path, "20260102-x", B, A)
    runs = JudgedRuns(tmp_path)
    assert (runs.of(B), runs.of(A), runs.of(A, champion=True)) == (second, None, second)
    assert runs.file(B, "gate_report.html") is None
    (second / "gate_report.html").write_text("report")
    assert runs.file(B, "gate_report.html") == second / "gate_report.html"
    third = _run(tmp_path, "20260103-x", A, B)
    assert (runs.of(A), runs.of(B)) == (third, second) and first.is_dir()


@pytest.mark.parametrize("dated", [True, False])
def test_recall_by_age_comes_from_the_scorecards(tmp_path: Path, dated: bool) -> None:
    """Both systems of the run, each with its D; undated: new and established items."""
    folder = _run(tmp_path, "20260101-x", B, A, dated)
    runs = JudgedRuns(tmp_path)
    plot = runs.recall_by_age(A)
    assert plot is not None and plot.dated is dated and plot.picture is None and plot.k == 10
    assert [(curve.system, curve.digest) for curve in plot.curves] == [("challenger", B), ("champion", A)]
    measured = [[p.mean for p in curve.points if p.mean is not None] for curve in plot.curves]
    assert measured == [[0.5, 0.5], [0.25, 0.25]]
    assert runs.recall_by_age(C) is None
    (folder / "recall_by_age.png").write_bytes(b"png")
    again = JudgedRuns(tmp_path).recall_by_age(B)
    assert again is not None and again.picture == folder / "recall_by_age.png"


def test_a_run_that_ended_before_its_scorecards_were_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page shows the run before it, and does not fail."""
    whole = _run(tmp_path, "20260101-x", B, A)
    report = GateReport(
        challenger_digest=B, champion_digest=A, verdict="REJECT", sentence="", gates=(),
        queries_needed=None, policy=GatePolicy().model_dump(mode="json"),
    )  # fmt: skip

    def full(*_: object) -> None:
        raise StorageError("No space left on device")

    monkeypatch.setattr(Scorecard, "write", full)
    cards = {name: Scorecard.read(whole / "scorecards" / name) for name in ("challenger", "champion")}
    with pytest.raises(StorageError):
        judge_stages.write_report.fn(tmp_path / "20260102-x", report, cards, None)
    assert JudgedRuns(tmp_path).of(B) == whole


def _shop(folder: Path) -> Shop:
    return Shop(Settings(shop="s", tables={"items": "SELECT 1"}), folder, folder)


def test_a_promotion_by_hand_is_held_against_the_newest_report(tmp_path: Path) -> None:
    """That of the newest run that judged the candidate, whatever later runs judged others."""
    shop, told = _shop(tmp_path), {"sentence": "s", "gates": [], "queries_needed": None, "policy": {}}
    for name, challenger, verdict in (("1", B, "PROMOTE"), ("2", B, "REJECT"), ("3", C, "PROMOTE")):
        digests = {"challenger_digest": challenger, "champion_digest": A}
        write_json(shop.runs / name / "gate_report.json", told | digests | {"verdict": verdict})
    (shop.candidates / B).mkdir(parents=True)
    report = acts._newest_report(shop, B)
    assert report is not None and report.verdict == "REJECT"
    assert acts._newest_report(shop, A) is None


def test_the_newest_list_of_undiscoverable_items_counts(tmp_path: Path) -> None:
    """Of the runs that judged the release, of those that judged another against it, and of the command."""
    shop = _shop(tmp_path)
    releases = ShopReleases(shop)
    first, second = _run(shop.runs, "1", B, A), _run(shop.runs, "2", C, B)
    assert (releases.undiscoverable(A), releases.undiscoverable(B)) == (None, None)
    by_command = shop.undiscoverable / B / "undiscoverable.csv"
    by_command.parent.mkdir(parents=True)
    lists = [first / "undiscoverable.csv", second / "champion_undiscoverable.csv", by_command]
    for seconds, path in enumerate(lists):
        path.write_text("item_id\n")
        os.utime(path, (seconds, seconds))
        assert releases.undiscoverable(B) == path
    (second / "undiscoverable.csv").write_text("item_id\n")
    assert releases.undiscoverable(B) == by_command  # that one is of C
    assert releases.undiscoverable(C) == second / "undiscoverable.csv"
    os.utime(lists[0], (9, 9))
    assert releases.undiscoverable(B) == lists[0]


def test_the_figures_of_a_release_are_its_newest_finished_run_s(tmp_path: Path) -> None:
    """A run that judged it and then failed has a report and no result."""
    shop = _shop(tmp_path)
    releases = ShopReleases(shop)
    assert releases.figures(B) == {}
    for name, recall in (("1", 0.1), ("2", 0.2)):
        figures = {"challenger": {"new": recall}, "champion": {"new": 0.05}, "seconds": 1}
        write_json(_run(shop.runs, name, B, A) / "result.json", figures)
    _run(shop.runs, "3", B, A)
    assert releases.figures(B) == {"challenger": {"new": 0.2}, "champion": {"new": 0.05}}
    assert releases.figures(A) == {"champion": {"new": 0.05}}, "which was judged as the champion alone"


def test_a_challenger_that_waits_for_review_goes_first(tmp_path: Path) -> None:
    """Until it is decided about; then the one that was refused, or the champion before, again."""
    shop = _shop(tmp_path)
    log, releases = shop.decision_log(), ShopReleases(shop)
    log.append("promotion", release=A, actor="t", reason="r", expected_champion=None)
    log.append("rejection", release=C, actor="t", reason="r")
    report = GateReport(
        challenger_digest=B,
        champion_digest=A,
        verdict="PROMOTE",
        sentence="s",
        gates=(),
        queries_needed=None,
        policy={},
    )
    reviews = shop.reviews()
    case = reviews.open("run-1", "s", report, days=7, requester="anna", because="")
    assert releases.challenger() == Challenger(B, "waiting")
    reviews.reject(case, report, actor="ben", reason="not now")
    assert releases.challenger() == Challenger(B, "rejection")


def test_the_challenger_is_the_refused_release_else_the_champion_before(tmp_path: Path) -> None:
    """A decision that changes the champion closes the refused one's case; a rollback's champion before is
    what it took back."""
    shop = _shop(tmp_path)
    log, releases = shop.decision_log(), ShopReleases(shop)
    assert releases.challenger() is None
    log.append("promotion", release=A, actor="t", reason="r", expected_champion=None)
    assert releases.challenger() is None
    log.append("promotion", release=B, actor="t", reason="r", expected_champion=A)
    assert releases.challenger() == Challenger(A, "previous")
    log.append("rejection", release=C, actor="t", reason="r")
    assert releases.challenger() == Challenger(C, "rejection")
    log.append("rollback", release=A, actor="t", reason="r", expected_champion=B)
    assert releases.challenger() == Challenger(B, "previous")
