"""Judged requests as the evaluation reads them, and the rule on who may read the test part."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from components.contract.errors import LeakageError
from components.contract.ports import Request
from components.contract.records import Entrance
from components.split.catalogue import normalised

Part = Literal["validation", "test"]
PARTS: tuple[Part, ...] = ("validation", "test")
JUDGE = "judge"


@dataclass(frozen=True)
class JudgedSet:
    """The judged requests of one entrance, in request_id order."""

    entrance: Entrance
    requests: tuple[Request, ...]
    relevant: dict[str, frozenset[str]]
    """Per request_id the relevant item_ids (never empty)."""
    judged: dict[str, dict[str, float]]
    """Per request_id every judged item_id with its grade."""
    has_nonrelevant: bool
    """Whether some judged item is not relevant: then unjudged items can be condensed away."""
    frequency: dict[str, int]
    """Per request_id how often it occurs in training-side data; 0: unseen."""


def read_judged(split: Path, part: Part, reader: str) -> dict[Entrance, JudgedSet]:
    """The judged sets of a split folder, by entrance.

    Raises LeakageError where anything but the judge asks for the test part.
    """
    if part == "test" and reader != JUDGE:
        raise LeakageError(
            f"{split / part}: {reader!r} asked for test rows; only the judge may read them. "
            f"Tune on the validation part."
        )
    requests = pl.read_parquet(split / part / "requests.parquet")
    judgements = pl.read_parquet(split / part / "judgements.parquet")
    entrances = requests.get_column("entrance").unique(maintain_order=True).to_list()
    return {
        entrance: _judged_set(
            entrance,
            requests.filter(pl.col("entrance") == entrance),
            judgements.filter(pl.col("entrance") == entrance),
        )
        for entrance in entrances
    }


def judged_queries(split: Path) -> dict[Part, set[str]]:
    """Normalised texts of all judged queries by part: what nothing may learn from."""
    return {part: _queries(pl.read_parquet(split / part / "requests.parquet")) for part in PARTS}


def _queries(requests: pl.DataFrame) -> set[str]:
    texts = requests.filter(pl.col("entrance") == "search")
    return set(texts.select(key=normalised("text")).get_column("key").drop_nulls())


def _judged_set(entrance: Entrance, requests: pl.DataFrame, judgements: pl.DataFrame) -> JudgedSet:
    judged: dict[str, dict[str, float]] = {}
    relevant: dict[str, set[str]] = {}
    columns = judgements.select("request_id", "item_id", "grade", "relevant")
    for request_id, item_id, grade, is_relevant in columns.iter_rows():
        judged.setdefault(request_id, {})[item_id] = grade
        if is_relevant:
            relevant.setdefault(request_id, set()).add(item_id)
    return JudgedSet(
        entrance=entrance,
        requests=tuple(
            Request(
                request_id=row["request_id"],
                text=row["text"],
                history=tuple(row["history"]),
                exclude=frozenset(row["exclude"]),
            )
            for row in requests.iter_rows(named=True)
        ),
        relevant={request_id: frozenset(items) for request_id, items in relevant.items()},
        judged=judged,
        has_nonrelevant=not judgements.get_column("relevant").all(),
        frequency=dict(requests.select("request_id", "frequency").iter_rows()),
    )
