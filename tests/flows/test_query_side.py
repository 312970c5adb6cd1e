"""A query-side update: a new map of queries on the champion's index, judged and served like any release."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from components.encoder.base import QUERY_MAP_FILE, items_digest
from components.index.vectors import read_vectors
from components.release.candidate import load_manifest
from flows.building import encoded
from flows.run import Run, new_run
from flows.shop import open_shop

TRAINING = {"start": "champion", "method": "query_side", "validation_items": 100}


def test_the_challenger_is_the_champion_with_another_map_and_is_judged_and_served(
    retrained: Any, connected: Any, served_and_taken_back: Any
) -> None:
    """Encoder, graph and the vectors of unchanged items are the champion's, byte for byte; the gate has its
    verdict; promoted by hand it serves, and a rollback takes it back. Since the first retrain one item has
    another title."""
    shop = retrained
    items = pl.read_csv(shop.folder / "items.csv", infer_schema=False)
    first = pl.col("sku") == "i000"
    items = items.with_columns(name=pl.when(first).then(pl.lit("red oak angle")).otherwise("name"))
    items.write_csv(shop.folder / "items.csv")
    shop.configure(training=TRAINING)
    outcome = connected("retrain", *shop.arguments, "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    folders = [
        shop.workspace / "candidates" / result[f"{role}_digest"] for role in ("champion", "challenger")
    ]
    champion, challenger = (load_manifest(folder) for folder in folders)
    assert f"encoder/{QUERY_MAP_FILE}" in challenger.keys() - champion.keys()
    for name in champion.keys() & challenger.keys():
        if name.startswith(("encoder/", "inference/")):
            assert champion[name] == challenger[name], name
    assert _changed(*(folder / "index" for folder in folders)) == ["i000"]
    assert result["verdict"] in ("PROMOTE", "REJECT", "INCONCLUSIVE")
    assert result["challenger"]["new"]["requests"] == result["champion"]["new"]["requests"] > 0
    served_and_taken_back(shop, result)


def _changed(*indexes: Path) -> list[str]:
    """Items with other vectors."""
    (ids, first), (_, second) = (read_vectors(index) for index in indexes)
    return [item for item, one, other in zip(ids, first, second, strict=True) if (one != other).any()]


def test_vectors_of_the_index_do_not_stand_for_those_of_a_full_retrain(
    retrained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor the other way round: encoded beside other texts they differ by roundings, and a query-side update
    leaves the champion's as they are. Another encoder's catalogue is encoded in both."""
    keys: list[tuple[list[Any], Path | None]] = []

    def cached(_: Run, task: Any, stage: str, inputs: Any, **given: Any) -> tuple[str, Path]:
        keys.append((inputs, given.get("index")))
        return "", Path(stage)

    stages = retrained.workspace / "stages"
    [split] = stages.glob("split-*")
    data = SimpleNamespace(split=split, prepared=SimpleNamespace(cutoff=None))
    encoders = [*stages.glob("base-*"), *stages.glob("train-*/encoder")]
    monkeypatch.setattr(Run, "cached", cached)
    for changes in ({}, {"training": TRAINING}):
        retrained.configure(**changes)
        run = new_run(open_shop(str(retrained.config), None, str(retrained.workspace.parent)))
        champion = run.shop.candidates / str(run.champion)
        own = items_digest(champion / "encoder")
        [another] = (folder for folder in encoders if items_digest(folder) != own)
        for encoder in (champion / "encoder", another):
            encoded(run, data, encoder, "champion")  # type: ignore[arg-type]
    (full, none), (other, _), (update, index), (other_again, nothing) = keys
    assert full != update and other == other_again
    assert (none, index, nothing) == (None, champion / "index", None)


def test_a_search_of_settings_has_nothing_to_search(tiny_shop: Any, connected: Any) -> None:
    tiny_shop.configure(training=TRAINING)
    refused = connected("tune", *tiny_shop.arguments, "--minutes", 1)
    assert refused.code == 1
    assert "training.method query_side has none of the settings that are searched" in refused.sentence
