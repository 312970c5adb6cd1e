"""What a retrain fine-tunes: the base, or the champion's encoder."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.contract.errors import ConfigError
from components.contract.learning import EncoderSettings, TrainingSettings
from components.contract.records import Candidate
from components.contract.settings import Settings
from components.encoder.base import ADAPTER_CONFIG
from components.encoder.transformer import TransformerEncoder
from components.release.fingerprint import Fingerprint
from flows.run import Run
from flows.shop import Shop
from flows.training_spec import Miner, miner_of, require_unseen_validation, start_of


@pytest.fixture
def settings(tiny_encoder: Path) -> Settings:
    encoder = EncoderSettings(name=str(tiny_encoder), max_length=24, item_fields=("title",))
    return Settings(shop="tiny", tables={"items": "SELECT 1"}, encoder=encoder)


@pytest.fixture
def miner(settings: Settings, tiny_encoder: Path, tmp_path: Path) -> Miner:
    digest = TransformerEncoder.load(tiny_encoder, settings.encoder).save(tmp_path / "champion")
    return Miner(digest, tmp_path / "champion", tmp_path / "vectors", base="of the base")


def _warm(settings: Settings) -> Settings:
    return settings.model_copy(update={"training": TrainingSettings(start="champion")})


def _run(settings: Settings, tmp_path: Path) -> Run:
    return Run(Shop(settings, tmp_path, tmp_path), "run", {"base_weights": "of the base"})


def test_it_begins_with_the_base_or_with_the_champion(
    settings: Settings, miner: Miner, tmp_path: Path, tiny_encoder: Path
) -> None:
    run = _run(settings, tmp_path)
    assert start_of(run, settings, miner) == (tiny_encoder, "of the base", settings.encoder)
    saved = settings.encoder.without_place()
    assert start_of(run, _warm(settings), miner) == (miner.encoder, miner.digest, saved)


def test_what_its_base_is_called_decides_nothing(settings: Settings, miner: Miner, tmp_path: Path) -> None:
    """The shop's folder may have moved, and an earlier version kept `encoder.name` as debut.yaml has it."""
    file = miner.encoder / "encoder.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"name": "./base"}))
    assert start_of(_run(settings, tmp_path), _warm(settings), miner)[0] == miner.encoder


def test_a_champion_of_another_base_is_no_start(settings: Settings, miner: Miner, tmp_path: Path) -> None:
    """However alike their names."""
    with pytest.raises(ConfigError, match=r"made with another encoder\.name: retrain once with"):
        start_of(_run(settings, tmp_path), _warm(settings), replace(miner, base="of another"))


def test_a_validation_window_that_the_champion_knows_chooses_nothing() -> None:
    """As after a refit on it, or where the window was made longer."""
    march, april = datetime(2026, 3, 1), datetime(2026, 4, 1)
    for learned, validation in ((march, march), (march, april), (None, march), (april, None)):
        require_unseen_validation(learned, validation)
    with pytest.raises(ConfigError, match="rows up to 2026-04-01, past 2026-03-01, where the validation"):
        require_unseen_validation(april, march)


@pytest.mark.parametrize("method", ["full", "query_side"])
def test_neither_weights_nor_a_query_map_are_chosen_on_rows_that_the_champion_learned(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: Any
) -> None:
    """A champion that was trained again on its validation window, a week later."""
    champion = Candidate(path="champion", digest="d" * 64, encoder_digest="e" * 64, data_digest="x")
    known = Fingerprint(
        **dict.fromkeys(("data_digest", "encoder_digest", "base_digest", "lock_digest", "code_digest"), "x"),
        cutoff=datetime(2026, 4, 1),
        settings={"split": {"refit_on_validation": True}},
    )
    monkeypatch.setattr("flows.building.encoded_by", lambda *_: tmp_path)
    monkeypatch.setattr("components.release.candidate.load_fingerprint", lambda _: known)
    monkeypatch.setattr("flows.training_spec.learned_until", lambda _: datetime(2026, 3, 25))
    training = TrainingSettings(start="champion", method=method)
    run = _run(settings.model_copy(update={"training": training}), tmp_path)
    with pytest.raises(ConfigError, match="rows up to 2026-04-01, past 2026-03-25"):
        miner_of(run, SimpleNamespace(split=tmp_path), champion)


@pytest.mark.parametrize("changes", [{"pooling": "cls"}, {"item_fields": ("title", "brand")}])
def test_a_champion_that_was_made_otherwise_is_no_start(
    settings: Settings, miner: Miner, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """It reads texts in another way than the configuration says; which key differs is told."""
    other = _warm(settings.model_copy(update={"encoder": settings.encoder.model_copy(update=changes)}))
    [key] = changes
    with pytest.raises(ConfigError, match=rf"made with another encoder\.{key}: retrain once with"):
        start_of(_run(other, tmp_path), other, miner)


def test_nothing_is_trained_behind_a_prefix_but_a_map_of_queries(
    settings: Settings, miner: Miner, tmp_path: Path
) -> None:
    """Its model is peft's, whose weights would be saved without the prefix."""
    (miner.encoder / ADAPTER_CONFIG).write_text('{"peft_type": "PREFIX_TUNING"}')
    with pytest.raises(ConfigError, match="has a prefix, behind which nothing is trained: retrain once with"):
        start_of(_run(settings, tmp_path), _warm(settings), miner)
    queries = TrainingSettings(start="champion", method="query_side")
    of_queries = settings.model_copy(update={"training": queries})
    assert start_of(_run(settings, tmp_path), of_queries, miner)[0] == miner.encoder
