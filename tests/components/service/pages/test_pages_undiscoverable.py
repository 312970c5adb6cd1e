"""The page `/undiscoverable`: the report's list, with nothing lost or run on the way."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from components.contract.files import write_json
from components.evaluation.likely_queries import LikelyQuery
from components.evaluation.undiscoverable_report import UndiscoverableItem, UndiscoverableReport

TITLES = {"a1": '<b>mug</b>, "small"\nblue', "a2": "=HYPERLINK(1) lamp", "a3": "", "a4": "מגבת 😀"}


def _report(folder: Path, count: int = 0) -> UndiscoverableReport:
    """The report's own files, of TITLES or of so many equal items."""
    titles = TITLES if not count else {f"n{number:04}": "mug" for number in range(count)}
    items = [
        UndiscoverableItem(
            item_id=item_id,
            title=title,
            category="Kitchen > Mugs",
            brand=None,
            listed_at=datetime(2026, 1, 2),
            first_seen=datetime(2026, 1, 2),
            age_days=3.0,
            reason="no title" if not title else "outranked",
            fix=f"Add to {title!r}: <i>size</i>.",
            best_query=f"{title} query" if title else None,
            best_place=12 if item_id != "a4" else None,
            queries=(LikelyQuery("mug", "own words"),),
            crowding=("100",),
        )
        for item_id, title in titles.items()
    ]
    report = UndiscoverableReport("champion", 10, 500, 500, 2_000, tuple(items))
    report.write_csv(folder / "undiscoverable.csv")
    write_json(folder / "undiscoverable.json", report.as_json())
    return report


@pytest.fixture
def listed(page_shop: Callable[..., Any], tmp_path: Path) -> Any:
    """A shop whose champion has a report."""
    shop = page_shop()
    shop.releases.files["undiscoverable"] = tmp_path / "undiscoverable.csv"
    return shop


def test_every_item_stands_there_with_reason_fix_and_best_query(listed: Any, tmp_path: Path) -> None:
    """As the report has them; markup is text, and the spreadsheet's apostrophe is gone."""
    report = _report(tmp_path)
    html = listed.page("/undiscoverable")
    rows = re.findall(r'<tr role="row">\n<th scope="row".*?</tr>', html, re.DOTALL)
    assert len(rows) == len(report.items)
    for item, row in zip(report.items, rows, strict=True):
        shown = [unescape(text) for text in re.findall(r"<bdi>(.*?)</bdi>", row, re.DOTALL)]
        assert shown[:2] == [item.title or "(no title)", "Kitchen > Mugs"] and item.fix in shown
        assert f'<span class="tag">{item.reason}</span>' in row and "<i>" not in row and "<b>" not in row
        assert (item.best_query in shown) if item.best_query else "no query could be made" in row
    assert html.count("place 12") == 2 and html.count("beyond place 100") == 1
    assert report.sentence in unescape(html)


def test_reasons_are_counted_and_filter(listed: Any, tmp_path: Path) -> None:
    """A reason that no item has is a page that says so."""
    _report(tmp_path)
    html = listed.page("/undiscoverable")
    assert re.findall(r'>([\w -]+) <span class="count">(\d+)', html) == [
        ("All", "4"), ("No title", "1"), ("Outranked", "3"),
    ]  # fmt: skip
    html = listed.page("/undiscoverable", reason="no title")
    assert html.count('<th scope="row"') == 1 and "1 item with the reason" in html
    assert "No item has the reason" in listed.page("/undiscoverable", 404, reason="<x>")


def test_a_long_list_has_pages(listed: Any, tmp_path: Path) -> None:
    """Each item is on one of them; a page beyond the last is the last."""
    _report(tmp_path, 250)
    seen = []
    for page in ("", "2", "3"):
        seen += re.findall(r"<code>(n\d+)</code>", listed.page("/undiscoverable", page=page))
    assert seen == [f"n{number:04}" for number in range(250)]
    for far in ("99", "-1", "x"):
        assert listed.page("/undiscoverable", page=far).count('<th scope="row"') in (50, 100)


def test_the_list_can_be_taken_along(listed: Any, tmp_path: Path) -> None:
    """The report's own file, under a name that says of which release."""
    _report(tmp_path)
    answer = listed.get("/undiscoverable.csv")
    assert answer.content == (tmp_path / "undiscoverable.csv").read_bytes()
    name = f'attachment; filename="undiscoverable-{listed.champion[:12]}.csv"'
    assert answer.headers["content-disposition"] == name


def test_without_a_list_the_page_names_the_command(page_shop: Callable[..., Any]) -> None:
    """With the options that name the shop; the first page leads there."""
    shop = page_shop(options="--config shops/oak.yaml")
    command = "debut undiscoverable --config shops/oak.yaml"
    assert f"<code>{command}</code>" in shop.page("/undiscoverable")
    assert "Nobody looked yet" in shop.page("/")
    assert f"run `{command}`" in shop.page("/undiscoverable.csv", 404)


def test_an_empty_list_is_good_news(listed: Any, tmp_path: Path) -> None:
    """Also where the figures are missing beside it."""
    UndiscoverableReport("champion", 10, 50, 50, 200, ()).write_csv(tmp_path / "undiscoverable.csv")
    html = listed.page("/undiscoverable")
    assert "Every new item is found" in html and "<code>debut undiscoverable</code> looks again" in html
    assert '<strong class="figure">0</strong>' in listed.page("/")


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"item_id,title\n1,a\n"])
def test_a_damaged_list_is_named(listed: Any, tmp_path: Path, data: bytes) -> None:
    """With the command that makes it anew."""
    (tmp_path / "undiscoverable.csv").write_bytes(data)
    html = listed.page("/undiscoverable", 503)
    assert "undiscoverable.csv" in html and "run `debut undiscoverable` again" in html


def test_the_list_says_of_when_it_is(listed: Any, tmp_path: Path) -> None:
    """By its file's time, in UTC."""
    _report(tmp_path)
    os.utime(tmp_path / "undiscoverable.csv", (1_767_225_600, 1_767_225_600))
    assert "As of 1 Jan 2026, 00:00 UTC" in listed.page("/undiscoverable")
