"""Live traffic and the live catalogue of one window, in the reference's columns."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors
from components.contract.operations import MonitoringSettings
from components.monitoring.facts import REQUEST_COLUMNS, answer_facts, item_facts
from components.monitoring.reference import Undiscoverable, utc

LOGGED = (
    "request_id",
    "at",
    "entrance",
    "release",
    "query_characters",
    "query_words",
    "language",
    "unknown_word_rate",
    "query_vector",
    "item_ids",
    "scores",
    "exploration_positions",
    "exploration_propensities",
    "zero_result",
)
"""The columns of the traffic log (requests/*.parquet) that are read; none holds a query's text or a user."""


@dataclass(frozen=True, eq=False)
class Window:
    start: datetime
    end: datetime
    """Exclusive; both naive, UTC."""
    requests: pl.DataFrame
    """facts.REQUEST_COLUMNS, by time; every entrance and release that answered."""
    items: pl.DataFrame
    """facts.item_facts of the live catalogue."""
    undiscoverable: Undiscoverable | None = None


def read_window(
    traffic: Path,
    items: pl.DataFrame,
    start: datetime,
    end: datetime,
    settings: MonitoringSettings,
    undiscoverable: Undiscoverable | None = None,
) -> Window:
    """The requests answered in [start, end) and the catalogue at `end`.

    traffic: the traffic log's folder; items: the live catalogue (contract columns; first_seen where known); a
    time without a zone is UTC. Raises MonitoringError where there is no such log, or a file of it is damaged.
    """
    start, end = utc(start), utc(end)
    facts = item_facts(items, end, settings.new_item_days)
    new = set(facts.filter("is_new").get_column("item_id"))
    logged = answer_facts(read_requests(traffic, start, end), new)
    requests = logged.select(pl.col(name).cast(kind) for name, kind in REQUEST_COLUMNS.items())
    return Window(start, end, requests, facts, undiscoverable)


def read_requests(traffic: Path, start: datetime, end: datetime) -> pl.DataFrame:
    """The log's rows of answered requests in [start, end), naive UTC, by time; LOGGED columns."""
    return _read(traffic / "requests", LOGGED, start, end).sort("at", "request_id")


def read_acts(traffic: Path, start: datetime, end: datetime) -> pl.DataFrame:
    """The log's rows of clicks and orders in [start, end): request_id, at, kind, item_id."""
    return _read(traffic / "events", ("request_id", "at", "kind", "item_id"), start, end)


def _read(folder: Path, columns: tuple[str, ...], start: datetime, end: datetime) -> pl.DataFrame:
    if not folder.parent.is_dir():
        raise MonitoringError(f"{folder.parent}: there is no traffic log; `debut serve` writes one.")
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    empty = pl.DataFrame(schema={name: _TYPES[name] for name in columns})
    try:
        with disk_errors(folder):
            frames = [_rows(path, columns, start, end) for path in files]
    except pl.exceptions.PolarsError as error:
        raise MonitoringError(f"{folder}: a file of the traffic log is damaged ({error}).") from error
    return pl.concat([empty, *frames])


def _rows(path: Path, columns: tuple[str, ...], start: datetime, end: datetime) -> pl.DataFrame:
    at = pl.col("at").dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    rows = pl.scan_parquet(path).select(columns).with_columns(at)
    within = rows.filter((pl.col("at") >= start) & (pl.col("at") < end))
    return within.select(pl.col(name).cast(_TYPES[name]) for name in columns).collect()


_TYPES: dict[str, pl.DataType] = REQUEST_COLUMNS | {
    "request_id": pl.String(),
    "scores": pl.List(pl.Float64),
    "exploration_positions": pl.List(pl.Int64),
    "exploration_propensities": pl.List(pl.Float64),
    "kind": pl.String(),
    "item_id": pl.String(),
}
