"""`debut pretrain`: what it measures, what it leaves, and that a retrain can begin with it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

PRETRAINING = {"epochs": 20, "batch_size": 8, "learning_rate": 2e-3, "held_out_share": 0.4}


def test_a_wrong_key_is_told_with_its_line(tiny_shop: Any, debut: Any) -> None:
    tiny_shop.configure(pretraining={"masked_shar": 0.2})
    outcome = debut("pretrain", *tiny_shop.arguments)
    assert outcome.code == 1
    assert "debut.yaml, line " in outcome.sentence and "`pretraining.masked_shar`" in outcome.sentence


@pytest.mark.slow
def test_the_shops_words_are_learned_and_kept_for_later_retrains(retrained: Any, connected: Any) -> None:
    """Perplexity on held-out text falls; recall is there before and after, also of what is fine-tuned from
    both; the weights are in the workspace and in MLflow's registry; nothing is decided. The second time all
    of it comes from the cache. With the printed lines a retrain begins with it."""
    retrained.configure(pretraining=PRETRAINING)
    before = retrained.decisions()
    first = connected("pretrain", *retrained.arguments, "--json")
    assert first.code == 0, first.err
    found = first.json
    assert found["perplexity"]["after"] < 0.8 * found["perplexity"]["before"]
    assert set(found["recall"]) == {"before", "after", "fine_tuned_before", "fine_tuned_after"}
    slices = ("new", "new_only", "established")
    assert all(0.0 <= of[name] <= 1.0 for of in found["recall"].values() for name in slices)
    assert found["matching_accuracy"] == {"before": None, "after": None}  # this shop has no descriptions
    assert retrained.decisions() == before
    _check_mlflow(retrained, found)
    told = Path(found["encoder"]) / "pretraining.json"
    noted = told.read_text()
    told.write_text(json.dumps(json.loads(noted) | {"queries": None}))  # as an earlier version left it
    again = connected("pretrain", *retrained.arguments, "--json").json
    assert {name: again[name] for name in ("digest", "perplexity", "recall", "version")} == {
        name: found[name] for name in ("digest", "perplexity", "recall", "version")
    }
    assert told.read_text() == noted
    lines = yaml.safe_load(found["yaml"])
    encoder = yaml.safe_load(retrained.config.read_text())["encoder"] | lines["encoder"]
    retrained.configure(encoder=encoder)
    _check_retrain(retrained, connected("retrain", *retrained.arguments, "--json"), found)


def _check_mlflow(shop: Any, found: dict[str, Any]) -> None:
    client = MlflowClient(f"sqlite:///{shop.workspace / 'mlflow.db'}")
    version = client.get_model_version("tiny-pretrained", found["version"])
    assert version.tags["digest"] == found["digest"]
    run = client.get_run(version.run_id)
    assert run.data.metrics["perplexity/after"] == found["perplexity"]["after"]
    assert run.data.params["pretraining.epochs"] == "20"
    assert len(client.get_metric_history(version.run_id, "perplexity")) == 20  # one is "before"
    files = {Path(file.path).name for file in client.list_artifacts(version.run_id, "pretrained")}
    assert {"model.safetensors", "tokenizer.json", "pretraining.json", "encoder.json"} <= files
    kept = Path(found["encoder"])
    assert kept.parent == shop.workspace / "pretrained"
    told = json.loads((kept / "pretraining.json").read_text())
    assert told["after"]["perplexity"] == found["perplexity"]["after"]


def _check_retrain(shop: Any, outcome: Any, found: dict[str, Any]) -> None:
    """The challenger was fine-tuned from the pretrained encoder, judged, and its page says so."""
    assert outcome.code == 0, outcome.err
    challenger = outcome.json["challenger_digest"]
    fingerprint = json.loads((shop.workspace / "candidates" / challenger / "fingerprint.json").read_bytes())
    assert fingerprint["base_digest"] == found["digest"]
    assert outcome.json["verdict"] in ("PROMOTE", "REJECT", "INCONCLUSIVE")
    client = MlflowClient(f"sqlite:///{shop.workspace / 'mlflow.db'}")
    [version] = client.search_model_versions(f"name='tiny' and tags.digest='{challenger}'")
    assert f"version {found['version']} of tiny-pretrained" in version.description
