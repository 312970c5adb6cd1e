"""The report as JSON, Markdown and HTML."""

import re
from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import numpy as np
import pytest

from components.contract.digests import canonical_json
from components.contract.records import OwnJudgements, PreparedData
from components.gate.report import report_html, report_json, report_markdown
from components.gate.subject import Subject
from components.gate.verdict import decide


@pytest.fixture(scope="module")
def report(cards, policy, change):
    """A report with a rejected bound, an unsure check and an unjudged slice."""
    pair = cards.promoted()
    few = np.where(np.arange(120) < 10, 0.5, np.nan)
    challenger, champion = (change(card, "query_length:2/recall@10", few) for card in pair)
    challenger = replace(challenger, bounds=challenger.bounds | {"size_mb": 12_345.0})
    return decide(challenger, champion, policy, floor=cards.make("BM25", np.zeros(120)), overlap="it was.")


class Tags(HTMLParser):
    """Collects open tags and checks that every one is closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_json_is_canonical(report):
    """Sorted keys, no spaces, and no clock in it."""
    assert report_json(report) == canonical_json(report.model_dump(mode="json"))
    assert b'"verdict":"REJECT"' in report_json(report)


def test_html_is_whole_and_loads_nothing(report):
    """Balanced tags, no script, no address of another server."""
    page = report_html(report)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe"}
    assert not re.search(r"https?://|url\(|@import", page)
    assert "prefers-color-scheme: dark" in page


def test_html_says_the_verdict_in_words_and_lists_every_gate(report):
    """The verdict, its sentence, and each gate's outcome are text, not colour alone."""
    page = report_html(report)
    assert "✗ REJECT" in page
    assert page.count('<td class="outcome') == len(report.gates)
    for heading in ("New items", "Guardrails", "Baseline", "Bounds", "Checks", "Slices"):
        assert f"<h2>{heading}</h2>" in page


def test_shop_texts_are_escaped(report):
    """A category name with markup stays text in HTML and one cell in Markdown."""
    page, table = report_html(report), report_markdown(report)
    assert "<b>names</b>" not in page and "&lt;b&gt;names&lt;/b&gt;" in page
    assert "<b>" not in table and "Odd \\| &lt;b&gt;names" in table


def test_markdown_is_one_table_row_per_gate(report):
    """Every row has the seven columns; blocking gates come first within their kind."""
    rows = [line for line in report_markdown(report).splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(report.gates)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {8}
    bounds = [row for row in rows if any(f"| {name}" in row for name in ("size\\_mb", "size_mb", "p95_lat"))]
    assert bounds[0].startswith("| ✗ fail | size_mb")


def test_a_baselines_figure_stands_under_no_other_name(report):
    """What a challenger is held against is the champion's figure, and BM25's in the baseline's lines."""
    assert "| | gate | against | challenger |" in report_markdown(report)
    page = report_html(report)
    assert ">Against</th>" in page and ">Champion</th>" not in page


def test_the_cost_has_a_section_of_its_own_and_no_place_in_the_json(report, cost):
    """Both pages show it and say what is estimated and what came from the cache; without it there is none."""
    page, table = report_html(report, cost=cost), report_markdown(report, cost)
    for shown in ("per point gained", "24.00 Wh", "6.00 Wh", "900 MB", "30.0 min", "× 12 W per core",
                  "Training came from the cache", "2026-02-27 12:00 UTC", "+4.0 points"):  # fmt: skip
        assert shown in page and shown in table, shown
    assert "GPU-hours" not in page  # there was none
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "Cost" not in report_html(report) and "Cost" not in report_markdown(report)


def test_a_verdict_that_rests_on_peoples_own_labels_says_so(report):
    """How many there are and how many count here, in all three forms; without any nothing is said."""
    labelled = report.model_copy(update={"own_judgements": OwnJudgements(imported=1_200, judged=80)})
    told = "imported with debut label import: 1,200, of which 80 are of this test"
    for shown in (report_html, report_markdown):
        assert told in shown(labelled) and "label import" not in shown(report)
    assert b'"own_judgements":{"imported":1200,"judged":80}' in report_json(labelled)


def test_a_report_without_champion_digest_renders(report):
    """BM25 or the untrained encoder may have no digest."""
    bare = report.model_copy(update={"champion_digest": None})
    assert "no digest of the champion" in report_markdown(bare)
    assert "no digest of the champion" in report_html(bare)


@pytest.fixture
def subject():
    counts = {
        "items": 2_000,
        "new_items": 110,
        "test_search_requests": 1_267,
        "test_recommendation_requests": 829,
    }
    prepared = PreparedData(
        path="split",
        digest="f" * 64,
        counts=counts,
        entrances=("search", "recommendation"),
        cutoff=datetime(2026, 1, 1),
        judged_until=datetime(2026, 1, 15, 6, 30),
    )
    return Subject("small_shop", "20260116-080000-abcdef", prepared)


def test_both_pages_begin_with_what_they_are_about(report, subject):
    """Shop, run, judged window, catalogue and requests in one line; the shop in the title."""
    line = (
        "small_shop · run 20260116-080000-abcdef · judged 2026-01-01 – 2026-01-15 06:30 · "
        "2,000 catalogue items, 110 of them new · judged requests: 1,267 search, 829 recommendation"
    )
    assert report_markdown(report, about=subject).startswith(f"{line}\n\n## REJECT\n")
    page = report_html(report, about=subject)
    assert f'<p class="about">{line}</p>' in page
    assert "<title>Gate report of small_shop: REJECT</title>" in page
    assert report_html(report, about=subject) == page
    assert report_markdown(report).startswith("## REJECT\n") and 'class="about"' not in report_html(report)


def test_what_has_no_dates_is_said_to_be_undated(subject):
    """Judgements without dates have no window; without a cut-off the items have none either."""
    of_judgements = subject.prepared.model_copy(update={"judged_until": None})
    assert "· cut-off 2026-01-01, judgements undated ·" in replace(subject, prepared=of_judgements).line
    undated = of_judgements.model_copy(update={"cutoff": None})
    assert "· undated, new items held out by id ·" in replace(subject, prepared=undated).line


def test_every_minus_of_a_table_is_the_minus_sign(report, cost):
    """In the figures of both sides and in the gain, as in the differences."""
    lower = report.gates[0].model_copy(update={"champion": -0.125, "challenger": -12_000.0})
    changed = report.model_copy(update={"gates": (lower,)})
    lost = cost.model_copy(
        update={"gain_points": -4.0, "gain_low": -5.0, "gain_high": -3.0, "per_point": None}
    )
    for page in (report_html(changed, lost), report_markdown(changed, lost)):
        assert "−0.125" in page and "−12,000" in page
        assert "−4.0 points of new-item recall" in page and "−5.0, −3.0" in page
        assert not re.search(r"[\s\[>|]-\d", page.partition("</style>")[2] or page)
