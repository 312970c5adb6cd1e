import json
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.contract.errors import DataError, QualityError
from components.contract.records import CheckedData
from components.contract.settings import QualitySettings
from components.contract.tables import KEY_COLUMNS
from components.quality import checks, quarantine, report

NOW = datetime(2024, 6, 1)
OPEN = QualitySettings(tolerance=1.0)
KEYS = ["table", *KEY_COLUMNS]


def test_check_leaves_its_files(loaded, table, tmp_path) -> None:
    """Clean tables keep the contract's columns and order; quarantine and report stand beside them."""
    events = table("events", {}, {"kind": "refund"}, {"quantity": 2.0})
    checked = checks.check(loaded(events=events), OPEN, tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out/events.parquet").equals(events[[0, 2]])
    names = ["events.parquet", "items.parquet", "quality.html", "quality.json", "quarantine.parquet"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert (checked.rows, checked.quarantined) == ({"items": 1, "events": 2}, {"items": 0, "events": 1})
    assert checked.broken == {"events: kind is one of impression, search_click, view, cart, purchase": 1}


def test_record_is_json_safe(loaded, tmp_path) -> None:
    """The record survives JSON, and the same input gives the same digest."""
    first = checks.check(loaded(), OPEN, tmp_path / "a")
    assert CheckedData.model_validate_json(first.model_dump_json()) == first
    assert checks.check(loaded(), OPEN, tmp_path / "b").digest == first.digest


def test_every_bad_row_is_kept(loaded, table, tmp_path) -> None:
    """10,000 bad rows are 10,000 lines of quarantine: nothing samples them."""
    events = table("events", *({"user_id": str(n), "quantity": -1.0} for n in range(10_000)), {})
    checks.check(loaded(events=events), OPEN, tmp_path / "out")
    assert quarantine.read(tmp_path / "out")["source_row"].to_list() == list(range(1, 10_001))


def test_nan_price(loaded, table, tmp_path) -> None:
    """A NaN price is a bad row, a missing price is not."""
    items = table("items", {"price": float("nan")}, {"item_id": "B2", "price": None})
    assert checks.check(loaded(items=items), OPEN, tmp_path / "out").rows == {"items": 1}


def test_item_in_quarantine_takes_its_rows_along(loaded, table, tmp_path) -> None:
    """Rows about a quarantined item say that it is the item's row that must be corrected."""
    items = table("items", {}, {"item_id": "B2", "title": None})
    reviews = table("reviews", {}, {"item_id": "B2"}, {"item_id": "C3"})
    broken = checks.check(loaded(items=items, reviews=reviews), OPEN, tmp_path / "out").broken
    assert broken == {
        "items: title is given": 1,
        "reviews: the item's own row passed its checks": 1,
        "reviews: item_id is in the items table": 1,
    }


def test_tolerance(loaded, table, tmp_path) -> None:
    """Past the tolerance the run stops with one sentence, and the quarantine is there to be read."""
    events = table(
        "events", *({"user_id": str(n)} for n in range(18)), {"kind": "refund"}, {"quantity": -1.0}
    )
    with pytest.raises(QualityError) as stopped:
        checks.check(loaded(events=events), QualitySettings(), tmp_path / "out")
    sentence = str(stopped.value)
    assert sentence.startswith("events: 2 of 20 rows (10 %) are in quarantine")
    assert "the tolerance is 5.0 %" in sentence
    assert '1 break "quantity is above 0"' in sentence
    assert str(tmp_path / "out/quarantine.parquet") in sentence
    assert "quality.table_tolerance.events" in sentence
    assert quarantine.read(tmp_path / "out").height == 2
    assert "The run stopped" in (tmp_path / "out/quality.html").read_text()


def test_the_stop_shows_a_row_and_its_value(loaded, table, tmp_path) -> None:
    """Few bad rows: one of them, as it stands in the file; a missing value is called empty."""
    good = [{"user_id": str(n)} for n in range(18)]
    for cell, shown in ((("quantity", -1.0), "quantity '-1.0'"), (("kind", None), "kind is empty")):
        with pytest.raises(QualityError) as stopped:
            checks.check(
                loaded(events=table("events", *good, dict([cell]))), QualitySettings(tolerance=0), tmp_path
            )
        assert f"(for instance events.csv, row 19: {shown})" in str(stopped.value)
        assert "table_tolerance" in str(stopped.value)


def test_a_rule_that_most_rows_break_is_told_to_be_the_selects(loaded, table, tmp_path) -> None:
    """Nobody corrects them one by one, and no tolerance makes them of use."""
    rows = [{"user_id": str(n), "kind": "click" if n else "purchase"} for n in range(5)]
    with pytest.raises(QualityError) as stopped:
        checks.check(loaded(events=table("events", *rows)), QualitySettings(), tmp_path)
    sentence = str(stopped.value)
    assert "4 of 5 rows (80 %)" in sentence and "events.csv, row 2: kind 'click'" in sentence
    assert "correct kind in the SELECT tables.events" in sentence
    assert "table_tolerance" not in sentence and "replay" not in sentence


def test_table_tolerance(loaded, table, tmp_path) -> None:
    """A table's own tolerance goes before the general one; a share equal to it is within."""
    events = table("events", {}, {"kind": "refund"})
    folder = loaded(events=events)
    checks.check(folder, QualitySettings(table_tolerance={"events": 0.5}), tmp_path / "out")
    with pytest.raises(QualityError):
        checks.check(
            folder, QualitySettings(tolerance=1.0, table_tolerance={"events": 0.4}), tmp_path / "out"
        )


def test_enforce_names_the_final_folder(loaded, table, tmp_path) -> None:
    """Where the stage moves after it was written, the sentence names where it will be."""
    checks.inspect(loaded(events=table("events", {"kind": "x"})), QualitySettings(), tmp_path / "tmp")
    with pytest.raises(QualityError, match="stages/check-1"):
        checks.enforce(tmp_path / "tmp", QualitySettings(), shown=Path("stages/check-1"))


def test_no_item_left(loaded, table, tmp_path) -> None:
    """Without any good item the run stops whatever the tolerance."""
    with pytest.raises(QualityError, match=r"items: 1 of 1 rows \(100 %\).*no item is left"):
        checks.check(loaded(items=table("items", {"title": None})), OPEN, tmp_path / "out")


def test_no_items(loaded, table, tmp_path) -> None:
    """Without an items table, or with an empty one, nothing can be checked."""
    with pytest.raises(DataError, match="items has no rows"):
        checks.check(loaded(items=table("items")), OPEN, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is no items table"):
        checks.check(tmp_path / "empty", OPEN, tmp_path / "out")


def test_empty_table(loaded, table, tmp_path) -> None:
    """An empty table passes: 0 of 0 rows are bad."""
    checked = checks.check(loaded(events=table("events")), QualitySettings(), tmp_path / "out")
    assert checked.rows["events"] == checked.quarantined["events"] == 0


def test_counts_in_json(loaded, table, tmp_path) -> None:
    """quality.json counts rows and expectations per table and shows the bad values."""
    events = table("events", {}, {"kind": "refund"}, {"kind": "refund", "user_id": "u2"}, {"user_id": "u3"})
    checks.inspect(loaded(events=events), OPEN, tmp_path / "out")
    events = json.loads((tmp_path / "out/quality.json").read_text())["tables"][1]
    first = events["expectations"][0]
    assert (events["rows"], events["clean"], events["quarantined"], events["share"]) == (4, 2, 2, 0.5)
    assert (first["rows"], first["share"], first["values"]) == (2, 0.5, [["refund", 2]])
    assert first["examples"][0]["source_row"] == 2
    assert [each["rows"] for each in events["expectations"][1:]] == [0] * (len(events["expectations"]) - 1)


def test_the_clock_changes_what_is_dated_ahead_alone(loaded, table, tmp_path) -> None:
    """Rows whose day has not come are counted as they are refused: the same number, the same outcome."""
    soon, never = NOW + timedelta(days=3), datetime(2990, 1, 1)
    folder = loaded(
        items=table("items", {"listed_at": NOW + timedelta(days=300)}, {"item_id": "B2", "listed_at": never}),
        events=table("events", {}, {"at": soon}, {"at": never}),
        reviews=table("reviews", {"at": NOW + timedelta(hours=20)}),
    )
    for days, ahead, clean in ((0, 2, 1), (1, 2, 1), (2, 1, 2), (99, 1, 2)):
        now = NOW + timedelta(days=days)
        assert checks.dated_ahead(folder, now) == {"items": 1, "events": ahead}
        assert checks.inspect(folder, OPEN, tmp_path / "out", now).rows == {
            "items": 1,
            "events": clean,
            "reviews": 1,
        }
    assert checks.dated_ahead(loaded(events=table("events", {})), NOW) == {}


def test_silent(loaded, table, tmp_path, capfd, recwarn) -> None:
    """Checking prints nothing: no progress bar, no warning."""
    checks.inspect(loaded(events=table("events", {"kind": "x"}, {})), OPEN, tmp_path / "out")
    assert tuple(capfd.readouterr()) == ("", "")
    assert not [each for each in recwarn if each.category is not DeprecationWarning]


CELL = {
    "item_id": st.sampled_from(["A1", "B2", "POST", "", None]),
    "title": st.sampled_from(["Oak chair", "?", None, "x" * 30]),
    "price": st.sampled_from([1.0, 0.0, -1.0, None, float("nan"), float("inf")]),
}
EVENT = {
    "item_id": st.sampled_from(["A1", "B2", "POST", "Z9", "", None]),
    "kind": st.sampled_from(["purchase", "refund", None]),
    "user_id": st.sampled_from(["u1", None]),
    "quantity": st.sampled_from([1.0, -1.0, None, float("nan")]),
    "at": st.sampled_from([datetime(2024, 1, 1), datetime(1970, 1, 1), None]),
}


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.lists(st.fixed_dictionaries(CELL), min_size=1, max_size=8),
    events=st.lists(st.fixed_dictionaries(EVENT), max_size=12),
)
def test_no_row_is_lost(loaded, table, tmp_path, items, events) -> None:
    """Clean and quarantined rows together are the loaded ones, and no row is in both."""
    rules = QualitySettings(tolerance=1.0, max_title_characters=20, ignore_item_pattern="POST")
    tables = {"items": table("items", *items), "events": table("events", *events)}
    checks.inspect(loaded(**tables), rules, tmp_path / "out")
    bad = quarantine.read(tmp_path / "out")
    for name, rows in tables.items():
        clean = pl.read_parquet(tmp_path / f"out/{name}.parquet")["source_row"]
        quarantined = bad.filter(table=name)["source_row"].unique()
        assert sorted([*clean, *quarantined]) == rows["source_row"].to_list()
    assert bad.select(*KEYS, "column", "expectation").is_unique().all()
    good_ids = pl.read_parquet(tmp_path / "out/items.parquet")["item_id"]
    assert good_ids.is_unique().all()
    assert set(pl.read_parquet(tmp_path / "out/events.parquet")["item_id"]) <= set(good_ids)
    assert (
        sum(each["quarantined"] for each in report.read(tmp_path / "out")["tables"])
        == bad.select(KEYS).n_unique()
    )
