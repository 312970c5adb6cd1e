"""Live traffic and the live catalogue of one window, in the reference's columns."""

import logging
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from components.contract.errors import MonitoringError
from components.contract.files import disk_errors
from components.contract.operations import MonitoringSettings
from components.monitoring.facts import DEPTH, REQUEST_COLUMNS, answer_facts, item_facts
from components.monitoring.reference import Undiscoverable, utc

logger = logging.getLogger(__name__)

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
    "ranked_item_ids",
    "ranked_scores",
    "zero_result",
    "k",
    "filters",
)
"""The columns of the traffic log (requests/*.parquet) that are read; none holds a query's text or a user."""
EXPLORED = ("request_id", "at", "release", "item_ids", "exploration_positions", "exploration_propensities")
"""Those that the estimate from exploration reads."""
MAX_REQUESTS = 20_000
"""Of a window; of more, about so many are drawn by the hash of their request_id."""
NO_FILTERS = "{}"
_WRITTEN = re.compile(r"(\d{8}T\d{6})Z-.*")
"""Names of the log's files begin with when they were written; their rows are not younger."""


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
    left_out: int = 0
    """Answers that are no ranking of at least DEPTH items without filters, as the judge's are."""


def read_window(
    traffic: Path,
    items: pl.DataFrame,
    start: datetime,
    end: datetime,
    settings: MonitoringSettings,
    undiscoverable: Undiscoverable | None = None,
) -> Window:
    """The requests answered in [start, end) and the catalogue at `end`.

    traffic: the traffic log's folder; items: the live catalogue (index.catalogue.catalogue_now); a time
    without a zone is UTC. Raises MonitoringError where there is no such log. A damaged file is left out and
    logged.
    """
    start, end = utc(start), utc(end)
    facts = item_facts(items, end, settings.new_item_days)
    new = set(facts.filter("is_new").get_column("item_id"))
    rows = read_requests(traffic, start, end)
    alike = rows.filter((pl.col("k") >= DEPTH) & (pl.col("filters").fill_null(NO_FILTERS) == NO_FILTERS))
    logged = answer_facts(_as_ranked(alike), new)
    requests = logged.select(pl.col(name).cast(kind) for name, kind in REQUEST_COLUMNS.items())
    return Window(start, end, requests, facts, undiscoverable, len(rows) - len(alike))


def _as_ranked(rows: pl.DataFrame) -> pl.DataFrame:
    """What the release ranked, without the service's freshness bonus: the reference knows none."""
    reordered = pl.col("ranked_item_ids").list.len() > 0
    return rows.with_columns(
        item_ids=pl.when(reordered).then("ranked_item_ids").otherwise("item_ids"),
        scores=pl.when(reordered).then("ranked_scores").otherwise("scores"),
        exploration_positions=pl.when(reordered).then(None).otherwise("exploration_positions"),
    ).drop("ranked_item_ids", "ranked_scores")


def read_requests(
    traffic: Path, start: datetime, end: datetime, columns: tuple[str, ...] = LOGGED
) -> pl.DataFrame:
    """The log's rows of answered requests in [start, end), naive UTC, by time; about MAX_REQUESTS at most."""
    return _read(traffic / "requests", columns, start, end, MAX_REQUESTS).sort("at", "request_id")


def read_explored(traffic: Path, start: datetime, end: datetime) -> pl.DataFrame:
    """All of the log's answers in [start, end), by time; EXPLORED columns."""
    return _read(traffic / "requests", EXPLORED, start, end, None).sort("at", "request_id")


def read_acts(traffic: Path, start: datetime, end: datetime) -> pl.DataFrame:
    """The log's rows of clicks and orders in [start, end): request_id, at, kind, item_id."""
    return _read(traffic / "events", ("request_id", "at", "kind", "item_id"), start, end, None)


def _read(
    folder: Path, columns: tuple[str, ...], start: datetime, end: datetime, most: int | None
) -> pl.DataFrame:
    if not folder.parent.is_dir():
        raise MonitoringError(f"{folder.parent}: there is no traffic log; `debut serve` writes one.")
    files = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
    counted = [(path, _count(path, start, end)) for path in files if _may_hold(path, start)]
    total = sum(count for _, count in counted)
    share = 1.0 if most is None or total <= most else most / total
    empty = pl.DataFrame(schema={name: _TYPES[name] for name in columns})
    return pl.concat([empty, *(_rows(path, columns, start, end, share) for path, n in counted if n)])


def _may_hold(path: Path, start: datetime) -> bool:
    """Not where the file was written before `start`: by its name, so that a year of files is not opened."""
    written = _WRITTEN.fullmatch(path.name)
    return written is None or datetime.strptime(written[1], "%Y%m%dT%H%M%S") >= start.replace(microsecond=0)


def _count(path: Path, start: datetime, end: datetime) -> int:
    """Rows of the window in a file; 0, and said so, of one that cannot be read."""
    try:
        with disk_errors(path):
            return int(_within(path, start, end).select(pl.len()).collect().item())
    except pl.exceptions.PolarsError as error:
        logger.error("%s is damaged; the monitor goes on without its rows: %s", path, error)
        return 0


def _rows(path: Path, columns: tuple[str, ...], start: datetime, end: datetime, share: float) -> pl.DataFrame:
    rows = _within(path, start, end)
    if share < 1.0:
        rows = rows.filter(pl.col("request_id").hash() % 1_000_000 < round(share * 1_000_000))
    with disk_errors(path):
        written = rows.collect_schema().names()  # a file of an earlier version has fewer
        own = (pl.col(name) if name in written else pl.lit(None).alias(name) for name in columns)
        return rows.select(one.cast(_TYPES[name]) for one, name in zip(own, columns, strict=True)).collect()


def _within(path: Path, start: datetime, end: datetime) -> pl.LazyFrame:
    at = pl.col("at").dt.convert_time_zone("UTC").dt.replace_time_zone(None).cast(pl.Datetime("us"))
    return pl.scan_parquet(path).with_columns(at).filter((pl.col("at") >= start) & (pl.col("at") < end))


_TYPES: dict[str, pl.DataType] = REQUEST_COLUMNS | {
    "request_id": pl.String(),
    "scores": pl.List(pl.Float64),
    "ranked_item_ids": pl.List(pl.String),
    "ranked_scores": pl.List(pl.Float64),
    "exploration_positions": pl.List(pl.Int64),
    "exploration_propensities": pl.List(pl.Float64),
    "k": pl.Int64(),
    "filters": pl.String(),
    "kind": pl.String(),
    "item_id": pl.String(),
}
