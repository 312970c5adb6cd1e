"""`debut profile`."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from flows.serving import shop_app
from flows.shop import open_shop


def test_the_command_and_the_service_tell_the_same_profile(retrained: Any, debut: Any) -> None:
    """By the champion and the newest check; a stranger is one sentence that repeats no id."""
    outcome = debut("profile", "u01", *retrained.arguments, "--json")
    assert outcome.code == 0, outcome.err
    told = outcome.json
    assert told["activity"]["acts"] > 0 and len(told["vector"]) > 1
    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    with TestClient(shop_app(shop, anonymous_read=True)) as client:
        answer = client.get("/profile/u01").json()
    assert answer.pop("vector") == pytest.approx(told.pop("vector"), abs=1e-5)
    assert answer == told
    refused = debut("profile", "stranger", *retrained.arguments)
    assert refused.code == 1 and "Nothing is known of this user" in refused.sentence
    assert "stranger" not in refused.sentence


def test_a_profile_needs_a_champion(debut: Any, tmp_path: Any) -> None:
    """And says what makes one."""
    refused = debut("profile", "u01", "--config", "demo", "--workspace", tmp_path)
    assert refused.code == 1 and "debut retrain" in refused.sentence
