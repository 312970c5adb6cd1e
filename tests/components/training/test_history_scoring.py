"""How histories score: as configured, or as validation says."""

from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest

from components.contract.settings import HistoryScoring, RetrievalSettings, Settings
from components.encoder.transformer import TransformerEncoder
from components.index.vectors import SNAPSHOT_COLUMNS, encode_catalogue
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


def _vectors(shop: Any, saved: Path, folder: Path) -> Path:
    folder.mkdir()
    items = pl.read_parquet(shop.split / "items.parquet")
    items = items.with_columns(pl.lit(None).alias(c) for c in SNAPSHOT_COLUMNS if c not in items.columns)
    encode_catalogue(items, TransformerEncoder.load_saved(saved), ("title",), folder)
    return folder


def test_a_configured_scoring_is_taken(shop: Any, tmp_path: Path) -> None:
    """Nothing is read, not even the encoder."""
    nowhere = tmp_path / "nowhere"
    assert choose_history_scoring(nowhere, nowhere, nowhere, _settings(shop, "top3")) == "top3"


def test_without_judged_users_the_mean_is_taken(shop: Any, saved: Path, tmp_path: Path) -> None:
    """The shop's validation has search requests only: no vector is read."""
    found = choose_history_scoring(saved, tmp_path / "nowhere", shop.split, _settings(shop, "auto"))
    assert found == "mean"


def test_auto_takes_the_best_on_validation(shop: Any, saved: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Every scoring is measured on the catalogue's vectors; the one with the highest recall comes out."""
    split, vectors = _with_users(shop, tmp_path / "split"), _vectors(shop, saved, tmp_path / "vectors")
    assert choose_history_scoring(saved, vectors, split, _settings(shop, "auto")) in get_args(HistoryScoring)
    best = {"mean": 0.1, "top3": 0.2, "top10": 0.4, "centred_top10": 0.3}
    monkeypatch.setattr(
        "components.training.history_scoring.validation_recall",
        lambda _validation, _vectors, _encoder, scoring: {"recommendation": {"new": best[scoring]}},
    )
    assert choose_history_scoring(saved, vectors, split, _settings(shop, "auto")) == "top10"
