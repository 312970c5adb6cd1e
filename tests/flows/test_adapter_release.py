"""A release that is an adapter alone: retrained, judged, promoted and served beside its base, taken back."""

from pathlib import Path
from typing import Any

import pytest

from components.encoder.base import BASES
from components.release.candidate import load_manifest

ADAPTER = {"method": "lora", "lora_rank": 4, "learning_rate": 5e-3, "adapter_only": True}
TRAINING = ADAPTER | {"max_pairs": 160, "batch_size": 16, "validation_items": 100, "precision": "fp32"}


@pytest.fixture
def adapting(retrained: Any) -> Any:
    retrained.configure(training=TRAINING, retrieval={"inference": "torch"})
    return retrained


@pytest.mark.parametrize("method", [{}, {"method": "prefix", "prompt_tokens": 4, "learning_rate": 0.05}])
def test_it_is_judged_and_served_as_any_other(
    method: dict[str, Any],
    adapting: Any,
    connected: Any,
    served_and_taken_back: Any,
    tiny_encoder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither weights nor a graph are in it, but for the base's name; after its promotion the service merges
    both, and a rollback goes back to the whole encoder before it."""
    monkeypatch.setenv(BASES, str(tiny_encoder.parent))
    adapting.configure(training=TRAINING | method)
    outcome = connected("retrain", *adapting.arguments, "--json")
    assert outcome.code == 0, outcome.err
    result = outcome.json
    candidates = adapting.workspace / "candidates"
    names = load_manifest(candidates / result["challenger_digest"]).keys()
    assert {"encoder/adapter_model.safetensors", "encoder/adapter_base.json"} <= names
    assert not {name for name in names if name.startswith("inference/")} | (
        {"encoder/model.safetensors"} & names
    )
    assert result["challenger"]["new"]["requests"] == result["champion"]["new"]["requests"] > 0
    served_and_taken_back(adapting, result)
    monkeypatch.delenv(BASES)
    override = ["--override", "--role", "lead", "--reason", "to see it refused"]
    refused = connected("promote", result["challenger_digest"], *adapting.arguments, *override)
    assert refused.code == 1
    assert "needs its base encoder on every machine: set DEBUT_BASES" in refused.sentence


def test_a_base_of_this_machine_alone_is_refused_before_anything_is_trained(
    adapting: Any, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(BASES, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = sorted((adapting.workspace / "stages").glob("train-*"))
    refused = connected("retrain", *adapting.arguments)
    assert refused.code == 1
    assert "A release that is an adapter alone needs its base encoder on every machine" in refused.sentence
    assert sorted((adapting.workspace / "stages").glob("train-*")) == before


@pytest.mark.parametrize(
    ("training", "retrieval", "said"),
    [
        ({"method": "full"}, {}, "method full trains no adapter: set method to lora, ia3 or prefix"),
        ({"method": "prefix", "adapter_only": False}, {}, "method prefix is merged with no weights"),
        ({"start": "champion"}, {}, "an adapter's base is encoder.name"),
        ({"fine_tuned_share": 0.5}, {}, "set fine_tuned_share to 1"),
        ({}, {"inference": "auto"}, "set retrieval.inference to torch"),
    ],
)
def test_what_does_not_go_with_it_is_a_sentence(
    tiny_shop: Any, connected: Any, training: Any, retrieval: Any, said: str
) -> None:
    tiny_shop.configure(training=TRAINING | training, retrieval={"inference": "torch"} | retrieval)
    refused = connected("retrain", *tiny_shop.arguments)
    assert refused.code == 1
    assert said in refused.sentence


def test_a_search_of_settings_averages_no_adapter_alone(adapting: Any, connected: Any) -> None:
    refused = connected("tune", *adapting.arguments, "--minutes", 1)
    assert refused.code == 1
    assert "neither a prompt nor an adapter alone is averaged with its base" in refused.sentence
