"""The leakage check finds every leak that is planted, and none where there is none."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.contract.errors import JudgeError, LeakageError
from components.contract.settings import SplitSettings
from components.split.leakage import check_leakage, check_task_rows
from components.split.split import split

Write = Callable[..., Path]
UNDATED = SplitSettings(test_queries=10, validation_queries=6, relevant_grade=2.0, positive_grade=2.0)
DATED = SplitSettings(
    cutoff=datetime(2026, 3, 1), judge_window_days=60, validation_window_days=20, refit_on_validation=True
)
FEW = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def run(folder: Path, settings: SplitSettings, name: str = "split") -> Path:
    out = folder.parent / name
    out.mkdir()
    split(folder, settings, out)
    return out


def append(path: Path, **values: Any) -> None:
    """Adds a copy of the file's first row with `values` in it."""
    rows = pl.read_parquet(path)
    changed = rows.head(1).with_columns(
        pl.lit(value, dtype=rows.schema[name]).alias(name) for name, value in values.items()
    )
    pl.concat([rows, changed]).write_parquet(path)


@pytest.fixture
def undated_split(write_tables: Write, undated: dict[str, pl.DataFrame]) -> tuple[Path, Path]:
    checked = write_tables(**undated)
    return run(checked, UNDATED), checked


@pytest.fixture
def dated_split(write_tables: Write, dated: dict[str, pl.DataFrame]) -> tuple[Path, Path]:
    checked = write_tables(**dated)
    return run(checked, DATED), checked


@pytest.mark.parametrize("kind", ["undated_split", "dated_split"])
def test_a_clean_split_passes(kind: str, request: pytest.FixtureRequest) -> None:
    """No leak, and the rows that were looked at are counted."""
    assert check_leakage(*request.getfixturevalue(kind))["training_rows"] > 0


@FEW
@given(seed=st.integers(0, 10_000), new=st.floats(0.05, 0.6), pseudo=st.floats(0.05, 0.6))
def test_no_split_by_item_leaks(
    write_tables: Write, undated: dict[str, pl.DataFrame], seed: int, new: float, pseudo: float
) -> None:
    """Whatever the seed and the shares, the check finds nothing."""
    changes = {"seed": seed, "new_item_share": new, "validation_new_item_share": pseudo}
    checked = write_tables(**undated)
    name = f"split-{len(list(checked.parent.iterdir()))}"
    try:
        out = run(checked, UNDATED.model_copy(update=changes), name)
    except JudgeError:  # so few new items that no judged query asks for one
        assume(False)
    check_leakage(out, checked)


@FEW
@given(day=st.integers(25, 95), window=st.integers(1, 20))
def test_no_split_by_time_leaks(
    write_tables: Write, dated: dict[str, pl.DataFrame], day: int, window: int
) -> None:
    """Whatever the cut-off and the window, the check finds nothing."""
    cutoff = datetime(2026, 1, 1) + timedelta(days=day)
    changes = {"cutoff": cutoff, "validation_window_days": window}
    checked = write_tables(**dated)
    name = f"split-{len(list(checked.parent.iterdir()))}"
    check_leakage(run(checked, DATED.model_copy(update=changes), name), checked)


@pytest.mark.parametrize(
    ("folder", "late", "name"),
    [
        ("train", datetime(2026, 2, 9), "search"),
        ("train", datetime(2026, 2, 9), "purchases"),
        ("refit", datetime(2026, 3, 1), "search"),
        ("refit", datetime(2026, 3, 1), "purchases"),
        ("statistics", datetime(2026, 3, 1), "purchases"),
    ],
)
def test_a_training_row_at_the_cutoff_stops_the_run(
    dated_split: tuple[Path, Path], folder: str, name: str, late: datetime
) -> None:
    """At T is past T: the interval is half-open."""
    append(dated_split[0] / folder / f"{name}.parquet", at=late)
    with pytest.raises(LeakageError, match="at or after the cut-off"):
        check_leakage(*dated_split)


@pytest.mark.parametrize(
    ("path", "item"),
    [
        ("train/search", "i061"),
        ("train/purchases", "i061"),
        ("refit/search", "i061"),
        ("refit/purchases", "i061"),
        ("statistics/purchases", "i061"),
        ("statistics/traffic", "i061"),
        ("validation/judgements", "i061"),
    ],
)
def test_a_row_of_an_item_that_is_still_unknown_stops_the_run(
    dated_split: tuple[Path, Path], path: str, item: str
) -> None:
    """Whatever date the row has."""
    append(dated_split[0] / f"{path}.parquet", item_id=item)
    with pytest.raises(LeakageError, match=r"first seen at or after|new in the test"):
        check_leakage(*dated_split)


def test_an_undated_row_in_dated_training_stops_the_run(dated_split: tuple[Path, Path]) -> None:
    """A row without a date cannot be shown to lie before T."""
    append(dated_split[0] / "train" / "search.parquet", at=None)
    with pytest.raises(LeakageError, match="not at all"):
        check_leakage(*dated_split)


@pytest.mark.parametrize("folder", ["train", "graded"])
@pytest.mark.parametrize("part", ["test", "validation"])
def test_a_held_out_query_in_training_stops_the_run(
    undated_split: tuple[Path, Path], part: str, folder: str
) -> None:
    """Also when it is written in another case and with more spaces, and where a teacher alone reads it."""
    query = pl.read_parquet(undated_split[0] / part / "requests.parquet").get_column("text")[0]
    append(undated_split[0] / folder / "search.parquet", query=f"  {query.upper()} ")
    with pytest.raises(LeakageError, match="test or validation query"):
        check_leakage(*undated_split)


@pytest.mark.parametrize("folder", ["train", "graded"])
@pytest.mark.parametrize("item", ["135", "130", "105"])
def test_a_held_out_item_or_its_duplicate_in_training_stops_the_run(
    undated_split: tuple[Path, Path], item: str, folder: str
) -> None:
    """A new item, a validation item, and an established item with a new item's title."""
    append(undated_split[0] / folder / "search.parquet", item_id=item)
    with pytest.raises(LeakageError, match="held-out item"):
        check_leakage(*undated_split)


def test_a_test_request_among_the_validation_requests_stops_the_run(undated_split: tuple[Path, Path]) -> None:
    """Settings chosen on a test query would be tuned on the test."""
    request = pl.read_parquet(undated_split[0] / "test" / "requests.parquet").get_column("request_id")[0]
    append(undated_split[0] / "validation" / "requests.parquet", request_id=request)
    with pytest.raises(LeakageError, match="test requests too"):
        check_leakage(*undated_split)


def test_a_statistic_past_the_cutoff_stops_the_run(dated_split: tuple[Path, Path]) -> None:
    """Both when it says so itself and when the numbers show it."""
    path = dated_split[0] / "split.json"
    description = json.loads(path.read_text())
    description["statistics"]["popularity"] = "2026-03-02T00:00:00"
    path.write_text(json.dumps(description))
    with pytest.raises(LeakageError, match="popularity"):
        check_leakage(*dated_split)


def test_a_frequency_that_counts_the_judge_window_stops_the_run(dated_split: tuple[Path, Path]) -> None:
    """The count is made again from the checked events before T."""
    path = dated_split[0] / "test" / "requests.parquet"
    pl.read_parquet(path).with_columns(frequency=pl.col("frequency") + 1_000).write_parquet(path)
    with pytest.raises(LeakageError, match="frequency"):
        check_leakage(*dated_split)


def task_rows(folder: Path, name: str = "train", **values: Any) -> Path:
    """A task's folder with one clean row and one with `values`."""
    clean = {"item_id": None, "at": None, "text": "clean"}
    schema = {"item_id": pl.String, "at": pl.Datetime("us"), "text": pl.String}
    folder.mkdir(exist_ok=True)
    for each in {"train", name}:
        rows = [clean, clean | values] if each == name else [clean]
        pl.DataFrame(rows, schema=schema).write_parquet(folder / f"{each}.parquet")
    return folder


@pytest.mark.parametrize("name", ["train", "unlabelled"])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"at": datetime(2026, 2, 9)}, "dated at or after the cut-off 2026-02-09"),
        ({"at": datetime(2026, 1, 9), "item_id": "i061"}, "first seen at or after"),
        ({"item_id": "i061"}, "first seen at or after"),
    ],
)
def test_a_task_row_of_after_the_cutoff_stops_the_run(
    dated_split: tuple[Path, Path], tmp_path: Path, values: dict[str, Any], told: str, name: str
) -> None:
    """By its own date or its item's, with a target or without; one of before, or about nothing, passes."""
    known = {"at": datetime(2026, 2, 8), "item_id": "i001"}
    check_task_rows(task_rows(tmp_path / "task", name, **known), False, *dated_split)
    with pytest.raises(LeakageError, match=told):
        check_task_rows(task_rows(tmp_path / "task", name, **values), False, *dated_split)


def test_an_undated_task_row_of_what_is_held_out_stops_the_run(
    undated_split: tuple[Path, Path], tmp_path: Path
) -> None:
    """Of a held-out item's duplicate; of a judged query in another case, where the text is a query."""
    query = pl.read_parquet(undated_split[0] / "test" / "requests.parquet").get_column("text")[0].upper()
    check_task_rows(task_rows(tmp_path / "task", text=query, item_id="101"), False, *undated_split)
    with pytest.raises(LeakageError, match="test or validation query"):
        check_task_rows(tmp_path / "task", True, *undated_split)
    with pytest.raises(LeakageError, match="held-out item"):
        check_task_rows(task_rows(tmp_path / "task", item_id="105"), False, *undated_split)
