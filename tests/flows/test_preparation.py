"""What the data stages' results are kept by."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from components.contract.digests import sha256_json
from components.contract.settings import Settings
from flows import data_stages, preparation
from flows.run import Run, _plain
from flows.shop import Shop

BEGAN = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_a_row_that_was_dated_ahead_is_checked_anew_when_its_day_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it stayed in quarantine as long as the data are the same; no other day checks them anew."""
    ahead = [BEGAN.replace(tzinfo=None) + timedelta(days=days) for days in (-5, 3, 9999)]
    pl.DataFrame({"at": ahead}, schema={"at": pl.Datetime("us")}).write_parquet(tmp_path / "events.parquet")
    asked = []

    def cached(_: Run, _task: Any, stage: str, inputs: Any, **more: Any) -> tuple[Any, Path]:
        if stage == "check":
            asked.append((sha256_json(_plain(inputs)), more["now"]))
        return SimpleNamespace(digest="d", rows={}), tmp_path

    monkeypatch.setattr(Run, "cached", cached)
    monkeypatch.setattr(data_stages, "enforce_tolerance", lambda *_: None)
    monkeypatch.setattr(preparation, "warnings", lambda *_: [])
    shop = Shop(Settings(shop="tiny", tables={"items": "SELECT 1"}), tmp_path, tmp_path)
    for days in (0, 1, 3, 90):
        run = Run(shop, "run", {"data": {}, "replayed": {}}, began=BEGAN + timedelta(days=days))
        preparation.load_and_check(run)
    keys = [key for key, _ in asked]
    assert [keys.index(key) for key in keys] == [0, 0, 2, 2]
    assert asked[0][1] == BEGAN.replace(tzinfo=None)
