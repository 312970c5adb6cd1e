"""A task's rows, cut into parts as the split has it: learn on the training side, calibrate on validation,
judge on the test.

    <task>/<part>.parquet     item_id (null: about no item), group (rows that ask the same: the item's
    duplicate group, else the normalised text), at, text, target (text or number), is_new (on validation: new
    in its window), asked_again (a judged row whose text was learned); part: train, validation, test
    <task>/unlabelled.parquet item_id, at, text of training rows without a target, for a task that trains
    itself

Which part a row belongs to:
- Dated rows (`at`): before the validation window, in it, or at and after T – and as its item says. Where the
  split is dated, a SELECT over dated tables has to give `at`: by a hash, rows of after T would be learned.
- A new item's rows are test rows, whatever their date; a validation-new item's of before T are of validation.
- Undated rows of established items: HELD_OUT of the duplicate groups for the test, as many for validation, by
  a hash of the group, so that a group is on the same side in every run.
- Rows whose text is a query: query_rows.py.
- On the training side stay only rows whose duplicate group has no held-out item and whose text is in no
  held-out row: both would give answers away; in validation neither a new item's duplicates nor a text of the
  test. But a dated row about no item may have a held-out row's text: a question that was asked before is
  asked again, and the head that serves has to know it. Texts are the same where they are the same normalised:
  an uncased encoder gives them one vector.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from components.contract.digests import sha256_tree
from components.contract.errors import ConfigError, DataError, LeakageError
from components.contract.records import TaskData
from components.contract.task import NEGATIVE, POSITIVE, Task, tells_sentiment
from components.data.checked_tables import select_checked
from components.data.database import open_database
from components.data.file_rows import tables_named
from components.encoder.texts import item_texts
from components.split.catalogue import normalised
from components.split.judged import JUDGE, judged_queries
from components.split.leakage import check_task_rows
from components.tasks.heads import prompted
from components.tasks.query_rows import Part, cut_queries

PARTS: tuple[Part, ...] = ("train", "validation", "test")
UNLABELLED = "unlabelled.parquet"
MOST_UNLABELLED = 20_000
"""Drawn by seed: each is encoded for every candidate."""
HELD_OUT = 0.1
_FEWEST = 2
_MARKS = {"new": "is_new", "asked_again": "asked_again"}
"""Of test rows, which are counted apart, and their columns."""
_MAY_BE_DATED = ("events", "reviews", "dialogues")


def write_rows(
    tasks: Sequence[Task], checked: Path, split: Path, out: Path, relevant_grade: float = 1.0
) -> TaskData:
    """Writes every task's rows into `out`. relevant_grade: from which an item answers a query. Raises
    ConfigError (SELECT, columns), DataError (nothing to learn), LeakageError (split.leakage)."""
    items = pl.read_parquet(split / "items.parquet")
    description = json.loads((split / "split.json").read_text())
    cutoffs = tuple(_moment(description[name]) for name in ("validation_cutoff", "cutoff", "judged_until"))
    counts = {}
    for task in tasks:
        selected = select_checked(checked, task.rows, f"task {task.name}", relevant_grade)
        if cutoffs[0] is not None:
            _require_dates(task, selected, checked)
        rows = _conformed(task, selected)
        if task.of_queries:
            parts = cut_queries(task, rows, items, cutoffs, judged_queries(split))
        else:
            # Rows without a target take none with one away, wherever they stand.
            parts = cut(rows.filter(pl.col("target").is_not_null()), items, cutoffs)
        parts = _with_asked_again(parts)
        _require_rows(task, parts)
        counts[task.name] = {str(name): len(frame) for name, frame in parts.items()}
        counts[task.name] |= {f"test_{mark}": int(parts["test"][name].sum()) for mark, name in _MARKS.items()}
        (out / task.name).mkdir(parents=True, exist_ok=True)
        for name, frame in parts.items():
            frame.write_parquet(out / task.name / f"{name}.parquet")
        if task.self_training is not None:
            unlabelled = _without_target(cut(rows, items, cutoffs), parts)
            counts[task.name]["unlabelled"] = len(unlabelled)
            unlabelled.write_parquet(out / task.name / UNLABELLED)
        check_task_rows(out / task.name, task.of_queries, split, checked)
    return TaskData(path=out.name, digest=sha256_tree(out), counts=counts)


def read_rows(folder: Path, task: Task, part: Part, reader: str) -> pl.DataFrame:
    """Rows of one part; raises LeakageError where anything but the judge asks for the test part."""
    if part == "test" and reader != JUDGE:
        raise LeakageError(f"task {task.name}: {reader!r} asked for test rows; only the judge may read them.")
    return pl.read_parquet(folder / task.name / f"{part}.parquet")


def read_unlabelled(folder: Path, task: Task) -> list[str]:
    """Texts of training rows without a target; none of a task that does not train itself."""
    if task.self_training is None:
        return []
    return pl.read_parquet(folder / task.name / UNLABELLED).get_column("text").to_list()


def text_of(task: Task, rows: pl.DataFrame) -> list[str]:
    """One text per row, as the head reads it."""
    return [prompted(task, text) for text in item_texts(rows, task.text)]


def cut(
    rows: pl.DataFrame, items: pl.DataFrame, cutoffs: tuple[datetime | None, ...]
) -> dict[Part, pl.DataFrame]:
    """The parts of conformed rows: item_id, text, target, at. items: the split's; cutoffs: start of the
    validation window, T, end of the judge window; None for undated data."""
    known = items.select("item_id", "group", "is_new", "is_validation_new")
    rows = rows.join(known, on="item_id", how="left", maintain_order="left")
    # A row about no item is its own group; one about an item that the checks took out is none.
    rows = rows.filter(pl.col("item_id").is_null() | pl.col("group").is_not_null())
    rows = rows.with_columns(
        pl.col("group").fill_null(normalised("text")),
        pl.col("is_new", "is_validation_new").fill_null(False),
        key=normalised("text"),
    )
    rows = rows.with_columns(part=_part(cutoffs)).filter(pl.col("part") != "none")
    held = rows.filter(pl.col("part") != "train")
    closed = items.filter(pl.col("is_new") | pl.col("is_validation_new")).get_column("group").unique()
    asked_again = pl.lit(cutoffs[0] is not None) & pl.col("at").is_not_null() & pl.col("item_id").is_null()
    given_away = pl.col("key").is_in(held.get_column("key").unique().implode()) & ~asked_again
    given_away |= pl.col("group").is_in(closed.implode())
    rows = rows.filter((pl.col("part") != "train") | ~given_away)
    # What judges is in no part that calibrates.
    of_test = rows.filter(pl.col("part") == "test").get_column("key").unique()
    judged = pl.col("key").is_in(of_test.implode()) & ~asked_again
    judged |= pl.col("group").is_in(items.filter("is_new").get_column("group").unique().implode())
    rows = rows.filter((pl.col("part") != "validation") | ~judged)
    # On validation, what was new then: intervals are to hold for such.
    rows = rows.with_columns(
        is_new=pl.col("is_new") | ((pl.col("part") == "validation") & pl.col("is_validation_new"))
    )
    columns = ("item_id", "group", "at", "text", "target", "is_new")
    return {part: rows.filter(pl.col("part") == part).select(columns) for part in PARTS}


def _part(cutoffs: tuple[datetime | None, ...]) -> pl.Expr:
    hashed = pl.col("group").map_elements(_share, return_dtype=pl.Float64)
    by_hash = (
        pl.when(pl.col("is_validation_new")).then(pl.lit("validation"))
        .when(hashed < HELD_OUT).then(pl.lit("test"))
        .when(hashed < 2 * HELD_OUT).then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
    )  # fmt: skip
    established = pl.when(pl.col("at").is_null()).then(by_hash).otherwise(_by_date(cutoffs, by_hash))
    return (
        pl.when(pl.col("is_new")).then(pl.lit("test"))
        .when(pl.col("is_validation_new") & (established == "train")).then(pl.lit("validation"))
        .otherwise(established)
    )  # fmt: skip


def _by_date(cutoffs: tuple[datetime | None, ...], else_by: pl.Expr) -> pl.Expr:
    start, cutoff, end = cutoffs
    if start is None or cutoff is None or end is None:
        return else_by
    at = pl.col("at")
    return (
        pl.when(at < start).then(pl.lit("train"))
        .when(at < cutoff).then(pl.lit("validation"))
        .when(at < end).then(pl.lit("test"))
        .otherwise(pl.lit("none"))
    )  # fmt: skip


def _share(group: str) -> float:
    """A number in [0, 1) that belongs to the group for ever."""
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64


def _require_dates(task: Task, rows: pl.DataFrame, checked: Path) -> None:
    """Raises ConfigError where rows of dated tables come without a date, which alone tells what is of after
    the cut-off."""
    if "at" in rows.columns and (rows.is_empty() or rows.get_column("at").null_count() < len(rows)):
        return
    read = _tables_read(task) & _dated_tables(checked)
    if read:
        raise ConfigError(
            f"task {task.name}: its SELECT reads {sorted(read)[0]}, whose rows are dated, and gives no date, "
            f"so that rows of after the cut-off would be learned. Let it give each row's date as the column "
            f'"at" (where a row is made of several: max("at") AS "at").'
        )


def _tables_read(task: Task) -> set[str]:
    with tempfile.TemporaryDirectory(prefix="debut-") as scratch, open_database(Path(scratch)) as connection:
        try:
            return tables_named(connection, task.rows)
        except RecursionError as error:  # Python's, at the tree of a SELECT that DuckDB itself has run
            raise ConfigError(
                f"task {task.name}: its SELECT is nested too deeply. Write long chains of operators or calls "
                f"in steps, for instance with WITH or concat_ws."
            ) from error


def _dated_tables(checked: Path) -> set[str]:
    """Names of the tables in which some row has a date; `relevant` has the events' dates."""
    files = {name: checked / f"{name}.parquet" for name in _MAY_BE_DATED}
    dated = {
        name
        for name, file in files.items()
        if file.is_file() and pl.read_parquet(file, columns=["at"]).get_column("at").is_not_null().any()
    }
    return dated | ({"relevant"} if "events" in dated else set())


def _conformed(task: Task, rows: pl.DataFrame) -> pl.DataFrame:
    missing = [name for name in ("target", *task.text) if name not in rows.columns]
    if missing:
        raise ConfigError(f"task {task.name}: its SELECT gives no column {missing[0]}; name it there.")
    kind = pl.Float64 if task.head == "regression" else pl.String
    try:
        target = rows.get_column("target").cast(kind)
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"task {task.name}: a target is no number; its SELECT must give numbers or null."
        ) from error
    at = pl.col("at") if "at" in rows.columns else pl.lit(None)
    item_id = pl.col("item_id") if "item_id" in rows.columns else pl.lit(None)
    texts = pl.Series(text_of(task, rows), dtype=pl.String)
    try:
        conformed = rows.select(
            item_id=item_id.cast(pl.String), at=at.cast(pl.Datetime("us")), text=texts, target=target
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"task {task.name}: `at` is no date; its SELECT must give timestamps.") from error
    conformed = conformed.filter(pl.col("text") != "")
    if task.self_training is None:
        conformed = conformed.filter(pl.col("target").is_not_null())
    if task.head == "regression" and not conformed.get_column("target").is_finite().all():
        raise DataError(f"task {task.name}: a target is NaN or infinite; make it null.")
    if task.log_scale and (conformed.get_column("target") <= 0).any():
        raise DataError(f"task {task.name}: a target is 0 or less and has no logarithm; make it null.")
    return conformed.sort("item_id", "at", "text", maintain_order=True)


def _with_asked_again(parts: dict[Part, pl.DataFrame]) -> dict[Part, pl.DataFrame]:
    """Adds asked_again: of a judged row, whether a training row has its text. Such a row says less of what
    the head makes of other texts, so the two can be told apart."""
    learned = parts["train"].select(normalised("text")).to_series().unique()
    asked = normalised("text").is_in(learned.implode())
    marks = {part: asked if part != "train" else pl.lit(False) for part in parts}
    return {part: rows.with_columns(asked_again=marks[part]) for part, rows in parts.items()}


def _without_target(all_parts: dict[Part, pl.DataFrame], parts: dict[Part, pl.DataFrame]) -> pl.DataFrame:
    """item_id, at, text of training rows that have none; each text once, and none that has a target
    elsewhere. parts: of the rows with a target."""
    labelled = pl.concat([frame.select(normalised("text")) for frame in parts.values()]).to_series().unique()
    train = all_parts["train"].with_columns(key=normalised("text"))
    found = train.filter(pl.col("target").is_null(), ~pl.col("key").is_in(labelled.implode()))
    found = found.unique("key", keep="first", maintain_order=True).select("item_id", "at", "text")
    return found.sample(MOST_UNLABELLED, seed=0) if len(found) > MOST_UNLABELLED else found


def _require_rows(task: Task, parts: dict[Part, pl.DataFrame]) -> None:
    for part in ("train", "validation"):
        if len(parts[part]) < _FEWEST:
            raise DataError(
                f"task {task.name}: {len(parts[part])} {part} rows with a target are too few to fit a head. "
                f"Take the task out of `tasks`, or see what its SELECT and the quarantine leave."
            )
    if task.head != "regression" and parts["train"].get_column("target").n_unique() < _FEWEST:
        raise DataError(
            f"task {task.name}: its training rows have a single class, so there is nothing to learn. "
            f"Take the task out of `tasks`, or let its SELECT give a finer target."
        )
    labels = parts["train"].get_column("target").unique().sort() if task.opinions else ()
    if task.opinions and not tells_sentiment(labels):
        raise DataError(
            f"task {task.name}: `opinions` needs training rows of the targets {NEGATIVE} and {POSITIVE}; "
            f"there are {', '.join(labels[:5])}. Let its SELECT name them so, or take `opinions` away."
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def trained_items(folder: Path) -> list[str]:
    """item_ids of all training rows of all tasks, with a target or without, sorted."""
    files = [*folder.glob("*/train.parquet"), *folder.glob(f"*/{UNLABELLED}")]
    return sorted({i for file in files for i in pl.read_parquet(file).get_column("item_id").drop_nulls()})


def trained_queries(folder: Path, tasks: Sequence[Task]) -> list[str]:
    """Normalised texts of the training rows of tasks whose text is a query, sorted."""
    files = [folder / task.name / "train.parquet" for task in tasks if task.of_queries]
    keys = [pl.read_parquet(file).select(normalised("text")).to_series() for file in files]
    return sorted({key for of in keys for key in of})
