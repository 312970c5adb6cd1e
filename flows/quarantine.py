"""The quarantine on the command line: list, export, replay."""

from pathlib import Path

import polars as pl

from components.contract.errors import ConfigError
from components.contract.tables import TABLES
from components.quality import quarantine
from components.quality.replay import ReplayResult, replay
from flows.lease import retrain_lease
from flows.shop import Shop


def newest_rows(shop: Shop, table: str | None) -> pl.DataFrame:
    """The quarantine of the newest check, one line per bad row and broken expectation.

    Raises ConfigError where there is no such table, DataError before the first check.
    """
    if table is not None and table not in TABLES:
        raise ConfigError(f"--table {table}: there is no such table; use one of {', '.join(TABLES)}.")
    rows = quarantine.read(shop.newest_check())
    return rows if table is None else rows.filter(pl.col("table") == table)


def export_rows(rows: pl.DataFrame, path: Path) -> int:
    return quarantine.export(rows, path)


def replay_rows(shop: Shop, fixed: Path, actor: str) -> ReplayResult:
    """Takes corrected rows in and records the act in the decision log. Raises DataError where the file cannot
    be read, OrchestrationError while a retrain runs."""

    def record(result: ReplayResult) -> None:
        if any(result.accepted.values()):
            accepted = ", ".join(f"{count} {table}" for table, count in result.accepted.items() if count)
            shop.decision_log().append(
                "replay", release=None, actor=actor, reason=f"Corrected rows from {fixed.name}: {accepted}"
            )

    with retrain_lease(shop, None, "replay"):  # a running retrain loads one state of them
        # The record first: one without rows does no harm, but rows without a record would.
        return replay(
            fixed, shop.workspace, shop.newest_check(), shop.settings.quality, before_writing=record
        )
