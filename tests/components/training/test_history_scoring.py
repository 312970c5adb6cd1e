"""How histories score: as configured, or as validation says."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.contract.settings import RetrievalSettings, Settings
from components.training.history_scoring import choose_history_scoring


def _settings(shop: Any, scoring: Any) -> Settings:
    return Settings(
        shop="shop",
        tables={"items": "SELECT 1"},
        encoder=shop.encoder,
        retrieval=RetrievalSettings(history_scoring=scoring),
    )


@pytest.fixture
def saved(shop: Any, tmp_path: Path) -> Path:
    shop.load().save(tmp_path / "encoder")
    return tmp_path / "encoder"


def _with_users(shop: Any, folder: Path) -> Path:
    """The shop's split with one judged user, who has a history."""
    (folder / "validation").mkdir(parents=True)
    pl.read_parquet(shop.split / "items.parquet").write_parquet(folder / "items.parquet")
    request = pl.DataFrame(
        [("recommendation", "u1", None, ["i00", "i06"], ["i00", "i06"], 2)],
        schema=pl.read_parquet(shop.split / "validation/requests.parquet").schema,
        orient="row",
    )
    request.write_parquet(folder / "validation/requests.parquet")
    judgement = pl.DataFrame(
        [("recommendation", "u1", "i12", 3.0, True)],
        schema=pl.read_parquet(shop.split / "validation/judgements.parquet").schema,
        orient="row",
    )
    judgement.write_parquet(folder / "validation/judgements.parquet")
    return folder


def test_a_configured_scoring_is_taken(shop: Any, tmp_path: Path) -> None:
    """Nothing is read, not even the encoder."""
    settings = _settings(shop, "top3")
    assert choose_history_scoring(tmp_path / "nowhere", tmp_path / "nowhere", settings) == "top3"


def test_without_judged_users_the_mean_is_taken(shop: Any, saved: Path) -> None:
    """The shop's validation has search requests only."""
    assert choose_history_scoring(saved, shop.split, _settings(shop, "auto")) == "mean"


def test_auto_measures_both_on_validation(shop: Any, saved: Path, tmp_path: Path) -> None:
    """With judged users one of the two comes out, the same one again."""
    split = _with_users(shop, tmp_path / "split")
    found = {choose_history_scoring(saved, split, _settings(shop, "auto")) for _ in range(2)}
    assert len(found) == 1
    assert found <= {"mean", "top3"}
