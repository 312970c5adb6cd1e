"""People's own judgements of test queries: read by the judge beside the shop's, and by nothing else.

They stand apart from the split, so that no training row, statistic or cached model can hold one.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from components.contract.errors import DataError
from components.contract.files import disk_errors, write_bytes
from components.contract.records import Entrance, OwnJudgements
from components.contract.settings import QualitySettings
from components.contract.spreadsheets import unguarded
from components.split.catalogue import normalised
from components.split.judged import JUDGE, JudgedSet, read_judged

SCHEMA = {"request_id": pl.String, "item_id": pl.String, "grade": pl.Float64}
SHOWN = 100
"""Characters of a cell that an error repeats."""
_ANSWERED = ("query", "item_id", "grade")


@dataclass(frozen=True)
class Labels:
    """Where a shop's labels are, and from which grade on a labelled item is relevant."""

    path: Path
    relevant_grade: float


@dataclass(frozen=True)
class Answers:
    """A file of answers: what it holds, and how many of its rows have no grade yet."""

    rows: pl.DataFrame
    blank: int


def read_test(split: Path, labels: Labels | None = None) -> dict[Entrance, JudgedSet]:
    """The judged sets of a split's test part, the labels among them."""
    judged = read_judged(split, "test", reader=JUDGE)
    if labels is None or "search" not in judged:
        return judged
    listed = pl.read_parquet(split / "items.parquet", columns=["item_id"]).get_column("item_id")
    return judged | {"search": with_labels(judged["search"], stored(labels.path), set(listed), labels)}


def with_labels(judged: JudgedSet, rows: pl.DataFrame, listed: set[str], labels: Labels) -> JudgedSet:
    """The set with those `rows` (SCHEMA) that are about its requests and listed items. A judgement of the
    shop's own stays where there is one, and so does whether condensed lists can be told: a few labels do not
    make a shop that is judged on clicks one whose lists are."""
    grades = {name: dict(own) for name, own in judged.judged.items()}
    relevant = {name: set(own) for name, own in judged.relevant.items()}
    for request_id, item_id, grade in rows.select(*SCHEMA).iter_rows():
        if request_id not in grades or item_id not in listed or item_id in grades[request_id]:
            continue
        grades[request_id][item_id] = grade
        if grade >= labels.relevant_grade:
            relevant[request_id].add(item_id)
    found = {name: frozenset(items) for name, items in relevant.items()}
    return replace(judged, judged=grades, relevant=found)


def own_judgements(split: Path, labels: Labels | None) -> OwnJudgements | None:
    """How many labels there are, and how many of them `read_test` adds; None: there are none."""
    rows = stored(labels.path) if labels else pl.DataFrame()
    if rows.is_empty():
        return None
    judged = _count(read_test(split, labels)) - _count(read_test(split))
    return OwnJudgements(imported=len(rows), judged=judged)


def _count(sets: Mapping[Entrance, JudgedSet]) -> int:
    return sum(len(grades) for one in sets.values() for grades in one.judged.values())


def stored(path: Path) -> pl.DataFrame:
    """The labels (SCHEMA); none where there is no file."""
    if not path.is_file():
        return pl.DataFrame(schema=SCHEMA)
    with disk_errors(path):
        return pl.read_parquet(path.read_bytes())


def store(answers: Answers, path: Path) -> int:
    """Adds the answers to the labels, a newer one in place of an older about the same pair; returns how many
    labels there are. The file is replaced whole."""
    rows = pl.concat([stored(path), answers.rows.select(*SCHEMA)])
    rows = rows.unique(["request_id", "item_id"], keep="last", maintain_order=True)
    buffer = io.BytesIO()
    rows.sort("request_id", "item_id").write_parquet(buffer)
    write_bytes(path, buffer.getvalue())
    return len(rows)


def read_answers(path: Path, split: Path, quality: QualitySettings) -> Answers:
    """Columns query, item_id and grade of a CSV (others are ignored) as SCHEMA; a row without a grade is left
    out and counted.

    Raises DataError, naming file and row, for a file that is no such CSV, a query that is no judged test
    query of the split, an item that is not in its catalogue, a grade outside the scale, a pair that stands
    there twice with different grades or that the shop's own judgements hold.
    """
    given = _cells(path)
    judged = read_judged(split, "test", reader=JUDGE).get("search")
    if judged is None:
        raise DataError(
            f"{path}: no search query of this shop is judged, so answers have no query to be about."
        )
    listed = set(pl.read_parquet(split / "items.parquet", columns=["item_id"]).get_column("item_id"))
    rows = given.filter(pl.col("grade") != "")
    found: dict[tuple[str, str], float] = {}
    for row, query, request_id, item_id, text in rows.iter_rows():
        place = f"{path}, row {row}"
        if request_id not in judged.judged:
            raise DataError(
                f"{place}: {query[:SHOWN]!r} is no judged test query of the newest run; grade the "
                f"queries that `debut label next` lists."
            )
        if item_id not in listed:
            raise DataError(
                f"{place}: there is no item {item_id[:SHOWN]!r} in the catalogue; leave item_id as it "
                f"was exported."
            )
        grade = _grade(text, place, quality.max_grade)
        own = judged.judged[request_id].get(item_id)
        if own is not None:
            raise DataError(
                f"{place}: the shop's own judgements grade {item_id!r} for {query!r} with {own:g}; correct "
                f"it there, or remove the row."
            )
        if found.setdefault((request_id, item_id), grade) != grade:
            raise DataError(f"{place}: {item_id!r} for {query!r} has another grade further up; keep one row.")
    answers = pl.DataFrame(
        [(request_id, item_id, grade) for (request_id, item_id), grade in found.items()],
        schema=SCHEMA,
        orient="row",
    )
    return Answers(answers, blank=len(given) - len(rows))


def _cells(path: Path) -> pl.DataFrame:
    """row (the header is 1), query, request_id, item_id, grade; all as text, stripped."""
    try:
        given = pl.read_csv(path.read_bytes(), infer_schema=False, encoding="utf8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} is no CSV in UTF-8 with commas: {reason}") from error
    missing = [name for name in _ANSWERED if name not in given.columns]
    if missing:
        raise DataError(
            f"{path}: the column {missing[0]} is missing; answers need {', '.join(_ANSWERED)}, as "
            f"`debut label next --export` writes them."
        )
    cells = given.select(
        unguarded(pl.col(name).fill_null("").str.strip_chars()).alias(name) for name in _ANSWERED
    )
    cells = cells.with_row_index("row", offset=2).with_columns(request_id=normalised("query"))
    return cells.select("row", "query", "request_id", "item_id", "grade")


def _grade(text: str, place: str, most: float) -> float:
    try:
        grade = float(text)
    except ValueError:
        grade = float("nan")
    if not 0.0 <= grade <= most:
        raise DataError(
            f"{place}: the grade is {text[:SHOWN]!r}; give a number from 0 to {most:g}, or leave it empty."
        )
    return grade
