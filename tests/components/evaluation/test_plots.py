"""The files of the two plots: whole, self-contained, byte-identical, and open about what is missing."""

import re

import numpy as np
import pytest

from components.contract.records import Gate, GateReport
from components.evaluation.plots import plot_gate_intervals, plot_recall_by_age
from components.evaluation.scorecard import EntranceScores, Scorecard

PNG = b"\x89PNG\r\n\x1a\n"


def card(name: str, dated: bool, empty: str | None = None) -> Scorecard:
    rng = np.random.default_rng(len(name))
    slices = ["new", "new_only", "established", "established_trained", "established_untrained"]
    slices += ["age:0-1", "age:1-7", "age:7+"] if dated else []
    measures = {f"{s}/recall@10": rng.random(80) * (np.nan if s == empty else 1.0) for s in slices}
    scores = EntranceScores("search", tuple(map(str, range(80))), measures)
    reasons = {} if dated else {"age_slices": "the items are undated (no listed_at, no events)"}
    return Scorecard(name, None, "search", {"search": scores}, {}, reasons)


def gate(name: str, kind: str, difference: float | None, outcome: str, margin: float | None = None) -> Gate:
    return Gate(
        name=name,
        kind=kind,
        champion=0.4,
        challenger=None if difference is None else 0.4 + difference,
        difference=difference,
        low=None if difference is None else difference - 0.02,
        high=None if difference is None or kind == "guardrail" else difference + 0.02,
        margin=margin,
        requests=120,
        outcome=outcome,
        sentence=f"{name} <in> words & more",
    )


@pytest.fixture
def report() -> GateReport:
    gates = (
        gate("new recall@10", "primary", 0.05, "pass"),
        gate("established recall@10", "guardrail", -0.03, "fail", 0.02),
        gate("category: Tools", "slice", -0.01, "unsure", 0.02),
        gate("category: Garden", "slice", None, "not judged", 0.02),
        gate("size_mb", "bound", None, "pass"),
    )
    return GateReport(
        challenger_digest="d",
        champion_digest=None,
        verdict="REJECT",
        sentence="Established recall fell.",
        gates=gates,
        queries_needed=None,
        policy={},
    )


def assert_self_contained(html: str) -> None:
    assert "<svg" in html
    assert "<script" not in html
    assert not re.search(r'(?:src|href)="(?!#)', html)
    assert "@import" not in html


def test_age_plot_of_dated_data(tmp_path):
    """A PNG and a page with the figures of both systems as a table."""
    png, html = plot_recall_by_age(card("challenger", True), card("champion", True, "age:0-1"), tmp_path)
    text = html.read_text()
    assert png.read_bytes().startswith(PNG)
    assert_self_contained(text)
    assert "Recall@10 against item age" in text
    assert text.count("<td>challenger</td>") == text.count("<td>champion</td>") == 3
    assert "<td>0-1</td><td>champion</td>" in text
    assert '<td class="number">0</td><td class="number">–</td>' in text


@pytest.mark.parametrize("empty", [None, "new_only"])
def test_undated_data_gets_populations_and_a_sentence(tmp_path, empty):
    """No age curve, and the page says why; a slice without requests does not break it."""
    _, html = plot_recall_by_age(card("challenger", False, empty), None, tmp_path)
    text = html.read_text()
    assert "There is no age curve: the items are undated" in text
    assert "never trained on" in text


def test_gate_plot_lists_every_gate_in_words(tmp_path, report):
    """Bounds have no interval but are in the table; text is escaped."""
    png, html = plot_gate_intervals(report, tmp_path)
    text = html.read_text()
    assert png.read_bytes().startswith(PNG)
    assert_self_contained(text)
    assert "REJECT" in text
    assert "Established recall fell." in text
    for line in report.gates:
        assert f"{line.name} &lt;in&gt; words &amp; more" in text


def test_a_category_with_dollar_signs_is_drawn_as_it_is_written(tmp_path, report):
    """Two of them would be read as mathematics."""
    dear = report.gates[0].model_copy(update={"name": "50% $a\\b$"})
    picture, _ = plot_gate_intervals(report.model_copy(update={"gates": (dear,)}), tmp_path)
    assert picture.read_bytes().startswith(PNG)


def test_gate_plot_without_any_interval(tmp_path, report):
    """A report in which nothing could be judged is still drawn."""
    nothing = report.model_copy(update={"gates": (gate("new recall@10", "primary", None, "missing"),)})
    assert plot_gate_intervals(nothing, tmp_path)[0].read_bytes().startswith(PNG)
    assert plot_gate_intervals(report.model_copy(update={"gates": ()}), tmp_path)[1].exists()


def test_plots_are_byte_identical_again(tmp_path, report):
    for folder in ("a", "b"):
        plot_gate_intervals(report, tmp_path / folder)
        plot_recall_by_age(card("challenger", True), card("champion", True), tmp_path / folder)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["gates.html", "gates.png", "recall_by_age.html", "recall_by_age.png"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
