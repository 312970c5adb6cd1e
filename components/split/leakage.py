"""The leakage check: reads a split folder as training would and stops the run on what must not be there.

It trusts nothing that the split says about itself: dates, queries, groups and statistics are looked up
again in the checked tables.
"""

import json
from datetime import datetime
from pathlib import Path

import polars as pl

from components.contract.errors import LeakageError
from components.split.catalogue import normalised, with_first_seen, with_groups

_NOTHING_TRAINED = "Nothing was trained; mend the split."


def check_leakage(split: Path, checked: Path) -> dict[str, int]:
    """Rows checked by kind; raises LeakageError at the first leak, naming file and row.

    - dated: a training row at or after its cut-off (validation cut-off for train/ and graded/, T for refit/,
      statistics/), or of an item that is first seen at or after it; a validation row of a new item;
    - undated: a held-out query, or a held-out item or its duplicate group, in a training row;
    - a request frequency that counts rows at or past T;
    - undated: a judged test request among the validation requests.
    """
    description = json.loads((split / "split.json").read_text())
    cutoff, validation_cutoff = (_moment(description[name]) for name in ("cutoff", "validation_cutoff"))
    checked_rows = 0
    seen = _first_seen(checked)
    folders = (
        ("train", validation_cutoff),
        ("graded", validation_cutoff),
        ("refit", cutoff),
        ("statistics", cutoff),
    )
    for folder, until in folders:
        for path in sorted((split / folder).glob("*.parquet")):
            rows = pl.read_parquet(path)
            checked_rows += len(rows)
            if until is None:
                items = with_groups(pl.read_parquet(checked / "items.parquet"))
                _check_undated(rows, path, split, items)
            else:
                _check_dated(rows, path, until, seen)
    if cutoff is not None:
        path = split / "validation" / "judgements.parquet"
        _stop(_unknown(pl.read_parquet(path), seen, cutoff), path, "are of an item that is new in the test")
    _check_test_apart(split, dated=cutoff is not None)
    _check_statistics(split, checked, description, cutoff)
    return {"training_rows": checked_rows}


def check_task_rows(folder: Path, of_queries: bool, split: Path, checked: Path) -> None:
    """The same of one task's training rows, with a target and without (components.tasks.rows). of_queries:
    their text is a query. A row may have no date, or be about no item: then the rest alone is looked up.
    Duplicate groups are the split's here."""
    until = _moment(json.loads((split / "split.json").read_text())["validation_cutoff"])
    items, seen = pl.read_parquet(split / "items.parquet"), _first_seen(checked)
    for path in (folder / "train.parquet", *folder.glob("unlabelled.parquet")):
        rows = pl.read_parquet(path)
        if until is None:
            _check_undated(rows.rename({"text": "query"}) if of_queries else rows, path, split, items)
            continue
        _stop(rows.filter(pl.col("at") >= until), path, f"are dated at or after the cut-off {until}")
        unknown = _unknown(rows, seen, until)
        _stop(unknown, path, f"are of an item that is first seen at or after {until}")


def _first_seen(checked: Path) -> pl.DataFrame:
    events = checked / "events.parquet"
    items = pl.read_parquet(checked / "items.parquet")
    return with_first_seen(items, pl.read_parquet(events) if events.is_file() else None)


def _unknown(rows: pl.DataFrame, seen: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """Rows of items that nobody had seen before `until`."""
    return rows.join(seen.filter(pl.col("first_seen") >= until), on="item_id", how="semi")


def _check_dated(rows: pl.DataFrame, path: Path, until: datetime, seen: pl.DataFrame) -> None:
    late = rows.filter(pl.col("at").is_null() | (pl.col("at") >= until))
    if len(late):
        raise LeakageError(
            f"{path}: {len(late)} training rows are dated at or after the cut-off {until} or not at all, "
            f"first: {late.row(0, named=True)}. {_NOTHING_TRAINED}"
        )
    _stop(_unknown(rows, seen, until), path, f"are of an item that is first seen at or after {until}")


def _check_undated(rows: pl.DataFrame, path: Path, split: Path, items: pl.DataFrame) -> None:
    """items: of the catalogue, with their duplicate groups."""
    if "query" in rows.columns:
        held_out = pl.concat(
            pl.read_parquet(split / part / "requests.parquet").select(query="request_id")
            for part in ("test", "validation")
        )
        leaked = rows.with_columns(query=normalised("query")).join(held_out, on="query", how="semi")
        _stop(leaked, path, "hold a test or validation query")
    marks = pl.read_parquet(split / "items.parquet").filter(pl.col("is_new") | pl.col("is_validation_new"))
    groups = items.join(marks.select("item_id"), on="item_id", how="semi").get_column("group").unique()
    held = items.filter(pl.col("group").is_in(groups.implode())).select("item_id")
    _stop(rows.join(held, on="item_id", how="semi"), path, "hold a held-out item or its duplicate")


def _check_test_apart(split: Path, dated: bool) -> None:
    """Undated: no request is in test and validation. Dated windows may share a query; that they share no row
    is the split's doing (by_time.py) and not looked up here, where validation's judgements have no date."""
    if dated:
        return
    test, validation = (
        pl.read_parquet(split / part / "requests.parquet").select("entrance", "request_id")
        for part in ("test", "validation")
    )
    shared = test.join(validation, on=["entrance", "request_id"], how="semi")
    _stop(shared, split / "validation" / "requests.parquet", "are test requests too")


def _check_statistics(
    split: Path, checked: Path, description: dict[str, dict[str, str]], cutoff: datetime | None
) -> None:
    for name, until in description["statistics"].items():
        if cutoff is not None and (until is None or datetime.fromisoformat(until) > cutoff):
            raise LeakageError(f"{split / 'split.json'}: {name} was computed up to {until}, past {cutoff}.")
    if cutoff is None:
        return
    events = pl.read_parquet(checked / "events.parquet").filter(pl.col("at") < cutoff)
    queries = events.filter(pl.col("query").is_not_null()).select(request_id=normalised("query"))
    allowed = queries.group_by("request_id").agg(_most=pl.len())
    requests = pl.read_parquet(split / "test" / "requests.parquet").filter(pl.col("entrance") == "search")
    counted = requests.join(allowed, on="request_id", how="left").with_columns(pl.col("_most").fill_null(0))
    _stop(
        counted.filter(pl.col("frequency") > pl.col("_most")),
        split / "test" / "requests.parquet",
        "have a frequency that counts events past the cut-off",
    )


def _stop(leaked: pl.DataFrame, path: Path, what: str) -> None:
    if len(leaked):
        raise LeakageError(
            f"{path}: {len(leaked)} rows {what}, first: {leaked.row(0, named=True)}. {_NOTHING_TRAINED}"
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
