"""What a person reads on the terminal."""

import io
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from components.monitoring.opinions import OpinionReport, TopicCount, TopicSurge
from flows import console, console_operations, console_pretrain


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is printed, 120 columns wide."""
    text = io.StringIO()
    monkeypatch.setattr(console, "_console", Console(file=text, width=120, highlight=False))
    return text


def test_lines_to_paste_mean_the_same_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: io.StringIO
) -> None:
    """A whole path, on one line however long it is."""
    monkeypatch.chdir(tmp_path)
    encoder = Path("pretrained") / ("x" * 150)
    console.verbatim(console_pretrain.yaml_lines(encoder))
    assert yaml.safe_load(shown.getvalue()) == {"encoder": {"name": str(tmp_path / encoder)}}


def gate(name: str, kind: str) -> dict[str, Any]:
    figures = {"champion": 0.169, "challenger": 0.403, "difference": 0.234, "low": 0.183, "high": 0.283}
    return {"name": name, "kind": kind, "outcome": "pass", **figures}


def test_a_baselines_figure_stands_under_no_other_name(shown: io.StringIO) -> None:
    """The column holds the champion's figures, and BM25's in the lines that are named so."""
    console.gate_table({"gates": [gate("new/recall@10", "primary"), gate("BM25 new/recall@10", "baseline")]})
    heading = shown.getvalue().splitlines()[0]
    assert "against" in heading and "champion" not in heading


@pytest.mark.parametrize(
    ("verdict", "decision", "kinds", "told"),
    [
        ("REJECT", 2, ["primary", "baseline"], "version 0 (aaaaaaaaaaaa), made champion as the baseline"),
        ("REJECT", 2, ["primary"], "aaaaaaaaaaaa, the champion as before"),
        ("PROMOTE", 2, ["primary", "baseline"], "bbbbbbbbbbbb, the challenger"),
        ("PROMOTE", None, ["primary"], "aaaaaaaaaaaa, the champion as before"),
    ],
)
def test_the_summary_ends_with_what_serves(
    shown: io.StringIO, verdict: str, decision: int | None, kinds: list[str], told: str
) -> None:
    """After a first run's refusal it is version 0; a challenger that waits for a review does not serve."""
    result = {"verdict": verdict, "sentence": "Why.", "decision": decision, "entrance": "search"}
    digests = {"champion_digest": "a" * 64, "challenger_digest": "b" * 64}
    figures: dict[str, Any] = {"bm25": {}, "champion": {}, "challenger": {}}
    gates = [gate("new/recall@10", kind) for kind in kinds]
    console.summary({**result, **digests, **figures, "gates": gates})
    last = shown.getvalue().splitlines()[-1]
    assert last.split(maxsplit=1) == ["serves", told]


def test_corrected_rows_are_counted_once(shown: io.StringIO) -> None:
    """They stand in the place of the rows that they correct, and are named only where there are any."""
    found = {"rows": {"items": 603, "events": 9}, "corrected": {"items": 3}, "quarantined": {"items": 6}}
    console.quality(found | {"outdated": {"items": 2}, "reasons": {}})
    items, outdated, events = shown.getvalue().splitlines()
    assert items.endswith("603 rows, 3 corrected, 6 in quarantine")
    assert "2 replayed rows left out: what they correct has changed since" in outdated
    assert events.endswith("9 rows, 0 in quarantine")


def test_a_warning_stays_one_line_and_is_no_markup(shown: io.StringIO) -> None:
    console.warning("tables.reviews gives no row ([red].csv)" + "x" * 120)
    [line] = shown.getvalue().splitlines()
    assert line.startswith("  warning                tables.reviews gives no row ([red].csv)x")


def test_the_fine_tuning_bar_counts_no_step_before_it_knows_them(shown: io.StringIO) -> None:
    """Mining and loading come first; then the step, the loss and the speed."""
    with console.training_progress() as move:
        assert " of " not in shown.getvalue()
        before = len(shown.getvalue())
        move({"kind": "step", "step": 3, "steps": 12, "loss": 0.5, "pairs_per_second": 50.0})
    assert "step 0 of 1" not in shown.getvalue()[:before] + shown.getvalue()
    assert "step 3 of 12  loss 0.500  50 pairs/s" in shown.getvalue()


def test_opinions_are_told_by_topic_with_customers_words(shown: io.StringIO) -> None:
    """Nothing where nobody reads reviews; words in brackets are no markup."""
    console_operations.opinions(None)
    assert shown.getvalue() == ""
    surge = TopicSurge(
        topic=("zip", "zipper"),
        since=datetime(2026, 3, 1),
        until=datetime(2026, 3, 4),
        negatives=9,
        reviews=100,
        usual=2.0,
        examples=("It [red] broke.",),
    )
    topic = TopicCount(topic=("zip", "zipper"), reviews=40, negatives=12)
    report = OpinionReport(
        release="D",
        reviews=100,
        topics=(topic,),
        surges=(surge,),
        false_alarms_per_year=1.0,
        sentence=surge.sentence,
    )
    console_operations.opinions(report)
    told = shown.getvalue()
    assert "Negative reviews about zip, zipper surge: 9 of 100 reviews from 2026-03-01 to 2026-03-04" in told
    assert "12 of     40 negative  zip, zipper" in told and "It [red] broke." in told
