import re
from html.parser import HTMLParser

import pytest

from components.contract.digests import sha256_tree
from components.contract.errors import DataError
from components.contract.settings import QualitySettings
from components.quality import checks, report

HOSTILE = "<script>alert('x')</script><img src=http://evil.example/x.png onerror=alert(1)>"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.tags


@pytest.fixture
def page(loaded, table, tmp_path) -> str:
    items = table("items", *({"item_id": f"{HOSTILE}{n}", "title": HOSTILE * 200} for n in range(30)), {})
    events = table("events", {"kind": HOSTILE}, {"kind": "\t"}, {"kind": None, "query": HOSTILE})
    checks.inspect(loaded(items=items, events=events), QualitySettings(), tmp_path / "out")
    return (tmp_path / "out/quality.html").read_text()


def test_self_contained(page) -> None:
    """The page is one file: no script, no image, no style sheet, and only links within itself."""
    found = tags(page)
    assert not {tag for tag, _ in found} & {"script", "img", "link", "iframe", "object", "embed", "base"}
    targets = [value for _, attrs in found for name, value in attrs.items() if name in ("src", "href")]
    assert targets
    assert all(target.startswith("#") for target in targets)
    assert not re.search(r"url\(|@import", page)


def test_hostile_titles(page) -> None:
    """What stands in the data stays text: no tag or handler comes from a title."""
    assert "&lt;script&gt;alert(" in page
    assert not [attrs for _, attrs in tags(page) if any(name.startswith("on") for name in attrs)]


def test_examples_are_the_first_twenty(page) -> None:
    """Twenty bad rows of each expectation are shown with their keys, and how many there are."""
    assert "The first 20 of 30" in page
    assert "items.csv, row 20<" in page
    assert "items.csv, row 21<" not in page


def test_missing_values_have_names(page) -> None:
    """A null and a blank value are told apart."""
    assert '<b class="null">null</b>' in page
    assert '<b class="null">blank</b>' in page


def test_nothing_bad(loaded, table, tmp_path) -> None:
    """A clean shop's page says so."""
    checks.inspect(loaded(events=table("events", {})), QualitySettings(), tmp_path / "out")
    assert "All 2 rows passed" in (tmp_path / "out/quality.html").read_text()


def test_coverage(loaded, table, tmp_path) -> None:
    """The effect on coverage is added to both files later, with or without figures about new items."""
    checked = checks.inspect(loaded(events=table("events", {})), QualitySettings(), tmp_path / "out")
    lost = {"items_with_events": 1200, "lost_items": 7, "lost_items_quarantined": 2}
    report.add_coverage(tmp_path / "out", lost)
    assert "New items" not in (tmp_path / "out/quality.html").read_text()
    lost |= {"new_items_with_events": 30, "lost_new_items": 5}
    report.add_coverage(tmp_path / "out", lost)
    assert report.read(tmp_path / "out")["coverage"] == lost
    assert "of 30 with events" in (tmp_path / "out/quality.html").read_text()
    assert sha256_tree(tmp_path / "out", suffixes=(".parquet",)) == checked.digest
    report.add_coverage(tmp_path / "out", {})
    assert "Effect on coverage" not in (tmp_path / "out/quality.html").read_text()


def test_no_report(tmp_path) -> None:
    """Before the first run there is no report."""
    with pytest.raises(DataError, match="no quality report"):
        report.read(tmp_path)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.25, "25 %"), (0.0369, "3.7 %"), (0.0004, "0.04 %"), (1e-6, "< 0.01 %")],
)
def test_percent(share, text) -> None:
    """A share that is not zero never reads as 0 %."""
    assert report.percent(share) == text


@pytest.mark.parametrize("share", [0.9951, 0.9999, 0.999999])
def test_almost_all_is_not_all(share) -> None:
    """Nor does a share below one read as 100 %."""
    assert report.percent(share) != "100 %"
