"""Learned encoders of histories, from debut.yaml to an answer."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient

from components.contract.errors import ConfigError
from components.index.retrieval import PLAN_FILE
from flows.serving import shop_app
from flows.shop import open_shop


def test_a_retrain_releases_the_encoder_that_the_shop_asks_for(retrained: Any, finished: Any) -> None:
    """In both candidates under their digests, trained for the epochs that validation chose; it answers."""
    for folder in retrained.workspace.glob("candidates/*"):
        files = json.loads((folder / "manifest.json").read_bytes())["files"]
        assert {name for name in files if name.startswith("histories/")} == {
            "histories/attention.safetensors"
        }
        plan = json.loads((folder / PLAN_FILE).read_bytes())
        assert plan["history_scoring"] == "attention" and plan["history_encoder_epochs"] > 0
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    with TestClient(shop_app(shop, anonymous_read=True)) as client:
        assert client.post("/recommend", json={"user_id": "u01"}).json()["results"]


def test_a_scoring_that_is_not_trained_is_refused(tmp_path: Path) -> None:
    """With the line to add; and an unknown encoder is told by its key."""
    config = tmp_path / "debut.yaml"
    for retrieval, told in (
        ({"history_scoring": "gru"}, "history_encoders"),
        ({"history_encoders": ["lstm"]}, "history_encoders"),
    ):
        config.write_text(
            yaml.safe_dump({"shop": "a", "tables": {"items": "SELECT 1"}, "retrieval": retrieval})
        )
        with pytest.raises(ConfigError, match=told):
            open_shop(str(config), None, str(tmp_path))
