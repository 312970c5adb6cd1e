"""The undiscoverable items of a candidate, with what was PUT and deleted since."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from components.contract.live import Change, LiveItem
from components.contract.records import PreparedData, RetrievalPlan
from components.index.retrieval import HISTORIES, PLAN_FILE
from components.index.vectors import read_vectors
from components.release.discoverability import CSV, check_release
from components.training.histories import HistoryModule

NEW_ITEM = "119"
"""Last in order, so new by the split by item."""


@pytest.fixture
def checked(shop: tuple[Path, PreparedData], tmp_path: Path, tiny_candidate):
    """check_release on a small split, with these changes; its report and CSV."""

    candidate, vectors = tiny_candidate(shop[0])

    def check(*changes: Change):
        out = tmp_path / f"out-{len(list(tmp_path.iterdir()))}"
        out.mkdir()
        report = check_release(candidate, vectors, shop[0], 10, out, changes)
        return report, pl.read_csv(out / CSV, infer_schema=False)

    return check


def put(item_id: str, title: str, **columns) -> Change:
    return Change(item_id=item_id, seq=1, item=LiveItem(item_id=item_id, title=title, **columns))


def test_live_items_are_new_items_too(checked) -> None:
    """One without a title is listed with its reason; a deleted new item is no longer counted."""
    before, _ = checked()
    gone = Change(item_id=NEW_ITEM, seq=2, item=None)
    after, rows = checked(put("zz1", ""), put("zz2", "purple gramophone"), gone)
    assert after.new_items == before.new_items + 2 - 1
    listed = dict(zip(rows["item_id"], rows["reason"], strict=True))
    assert listed["zz1"] == "no title"
    assert "zz2" not in listed


def test_an_item_that_replaces_one_is_counted_once(checked) -> None:
    before, _ = checked()
    after, _ = checked(put(NEW_ITEM, "purple gramophone"))
    assert after.new_items == before.new_items


def test_a_hidden_item_says_so(checked) -> None:
    _, rows = checked(put("zz1", "", in_stock=False))
    assert "not in stock" in rows.filter(pl.col("item_id") == "zz1").item(0, "fix")


def test_a_release_with_a_learned_encoder_of_histories_is_checked(
    shop: tuple[Path, PreparedData], tmp_path: Path, tiny_candidate
) -> None:
    """With live changes, which make another index of the same plan."""
    built, vectors = tiny_candidate(shop[0])
    candidate = tmp_path / "learned"
    shutil.copytree(built, candidate)
    HistoryModule("gru", read_vectors(vectors)[1].shape[1]).encoder().save(candidate / HISTORIES)
    (candidate / PLAN_FILE).unlink()
    (candidate / PLAN_FILE).write_text(RetrievalPlan(history_scoring="gru").model_dump_json())
    (tmp_path / "out").mkdir()
    report = check_release(candidate, vectors, shop[0], 10, tmp_path / "out", [put("zz1", "")])
    assert "zz1" in [one.item_id for one in report.items]
