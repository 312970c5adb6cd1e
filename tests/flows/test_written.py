"""Written queries in a retrain: a writer trained here, more pairs, their cost; a service that is away."""

import json
from typing import Any

import polars as pl

from components.contract.digests import hashed

AUGMENT = {"hard_negatives": 1, "mining_depth": 10, "written_queries": 2, "round_trip": 60}


def test_a_retrain_writes_queries_for_items_without_clicks_and_trains_on_them(
    retrained: Any, connected: Any
) -> None:
    retrained.configure(augment=AUGMENT | {"written_below": 3, "writer": {"layers": 1, "epochs": 1}})
    outcome = connected("retrain", *retrained.arguments, "--json")
    assert outcome.code == 0, outcome.err
    [written] = retrained.workspace.glob("stages/written-*")
    pairs = pl.read_parquet(written / "search.parquet")
    assert len(pairs) > 0
    counts = [
        json.loads(path.read_text())["available_pairs"]
        for path in sorted(retrained.workspace.glob("stages/examples-*/examples.json"))
    ]
    assert max(counts) - min(counts) == pairs.unique().height
    usages = [*retrained.workspace.glob("stages/writ*/usage.json")]
    assert len(usages) == 2
    challenger = outcome.json["challenger_digest"]
    fingerprint = json.loads(
        (retrained.workspace / "candidates" / challenger / "fingerprint.json").read_text()
    )
    assert set(hashed(pairs["item_id"])) <= set(fingerprint["items"]), "the next judge has to know of them"
    assert set(hashed(pairs["query"])) <= set(fingerprint["requests"])
    [writer] = retrained.workspace.glob("stages/writer-*")
    assert (writer / "model.safetensors").is_file()


def test_a_service_that_is_away_stops_the_run(retrained: Any, connected: Any) -> None:
    service = {"endpoint": "http://127.0.0.1:9/v1", "model": "small"}
    retrained.configure(augment=AUGMENT | {"written_below": 3, "writer": service})
    outcome = connected("retrain", *retrained.arguments)
    assert outcome.code == 1
    assert (
        "augment.writer.endpoint: http://127.0.0.1:9/v1/chat/completions did not answer" in outcome.sentence
    )
