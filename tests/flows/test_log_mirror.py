"""MLflow's note of the decision log's head shows a log whose end was cut off."""

from typing import Any

import pytest

from components.tracking.client import connect
from components.tracking.registry import LOG_HEAD, read_log_head
from flows import acts
from flows.shop import Shop, open_shop


@pytest.fixture
def shop(retrained: Any) -> Shop:
    return open_shop(str(retrained.config), None, str(retrained.workspace.parent))


def noted(shop: Shop) -> tuple[int, str] | None:
    return read_log_head(connect(shop.settings, shop.workspace), "tiny")


def test_a_retrain_notes_the_head(shop: Shop) -> None:
    """So a shop's first run already can be compared."""
    found = noted(shop)
    assert found is not None
    assert found[0] == len(shop.decision_log().records()) == 2


def test_a_last_record_that_was_deleted_is_found_and_named(shop: Shop, retrained: Any, debut: Any) -> None:
    """The chain is whole without it. The note stays, also when another record takes its number."""
    assert "Record 2 is the one that MLflow noted." in debut("decisions", "verify", *retrained.arguments).out
    (retrained.workspace / "decisions" / "000002.json").unlink()
    gone = debut("decisions", "verify", *retrained.arguments)
    assert gone.code == 1
    assert "record 000002.json is missing" in gone.sentence
    shop.decision_log().append("rejection", release="e" * 64, actor="eve", reason="in its place")
    acts.mirror(shop)
    replaced = debut("decisions", "verify", *retrained.arguments)
    assert (replaced.code, "record 000002.json is not the one" in replaced.sentence) == (1, True)
    assert f"delete the tag {LOG_HEAD}" in replaced.sentence


def test_records_after_the_note_are_counted(shop: Shop, retrained: Any, debut: Any) -> None:
    """What MLflow was not told of yet, as keys and chat commands, is no failure; the next act notes it."""
    shop.decision_log().append("key_change", release=None, actor="mia", reason="a key")
    assert "MLflow noted; 1 came later." in debut("decisions", "verify", *retrained.arguments).out
    acts.mirror(shop)
    found = noted(shop)
    assert found is not None and found[0] == 3


def test_without_mlflow_or_a_note_the_log_is_verified_all_the_same(
    shop: Shop, retrained: Any, debut: Any
) -> None:
    """It is said that its end was not compared."""
    connect(shop.settings, shop.workspace).client.delete_registered_model_tag("tiny", LOG_HEAD)
    without = debut("decisions", "verify", *retrained.arguments)
    assert (without.code, "MLflow has no note of it yet" in without.out) == (0, True)
    retrained.configure(tracking={"uri": "http://127.0.0.1:9"})
    away = debut("decisions", "verify", *retrained.arguments)
    assert (away.code, "end was not compared with MLflow's note" in away.out) == (0, True)
