"""A shop as chat sees it: what is recorded, and what is told while Prefect is away."""

import json
from typing import Any

import pytest

from components.chatops.board import Thread
from components.contract.errors import ConfigError, OrchestrationError
from components.contract.ports import JobRun
from flows import acts
from flows.chat import ShopBoard
from flows.shop import Shop, open_shop


class Away:
    """An orchestrator whose server is away; notes what the decision log held when it was asked."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.log: list[str] = []

    def start(self, job: str, parameters: Any, name: str | None = None) -> JobRun:
        self.log = [record.reason for record in self._shop.decision_log().records()]
        raise OrchestrationError(f"Cannot start {job}: the server is away.")

    def recent(self, limit: int = 10) -> Any:
        raise OrchestrationError("Cannot list runs: the server is away.")

    def resume(self, name: str, answer: Any) -> bool:
        raise AssertionError((name, answer))

    def emit(self, event: str, subject: str, payload: Any) -> None:
        raise AssertionError((event, subject, payload))


@pytest.fixture
def shop(tiny_shop: Any) -> Shop:
    return open_shop(str(tiny_shop.config), None, str(tiny_shop.workspace.parent))


def test_a_retrain_is_recorded_before_it_is_started(shop: Shop) -> None:
    away = Away(shop)
    with pytest.raises(OrchestrationError):
        ShopBoard(shop, away).start_retrain(None, "of the season", "slack:U0ADA", Thread("C0", "1.0"))
    assert away.log == ["retrain because of the season"]
    [record] = shop.decision_log().records()
    assert (record.kind, record.actor) == ("chat_command", "slack:U0ADA")


def test_a_retrain_of_another_shop_is_refused_and_not_recorded(shop: Shop) -> None:
    with pytest.raises(ConfigError, match="the shop tiny, not to plates"):
        ShopBoard(shop, Away(shop)).start_retrain("plates", "", "slack:U0ADA", None)
    assert shop.decision_log().records() == []


def test_while_prefect_is_away_the_champion_is_told_all_the_same(shop: Shop) -> None:
    log = shop.decision_log()
    log.append("promotion", release="b" * 64, actor="ada", reason="baseline", expected_champion=None)
    told = ShopBoard(shop, Away(shop)).status()
    assert (told.champion, told.runs) == ("b" * 64, ())
    assert told.problem == "Cannot list runs: the server is away."


def test_without_a_server_the_status_says_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert "no Prefect server is named" in str(ShopBoard(shop).status().problem)


def test_a_rollback_names_its_release(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was named reaches the one function that rolls back."""
    asked: list[Any] = []
    monkeypatch.setattr(acts, "roll_back", lambda _shop, actor, **named: asked.append((actor, named)))
    ShopBoard(shop, Away(shop)).rollback("slack:U0ADA", "it fails", "0123ab")
    ShopBoard(shop, Away(shop)).rollback("slack:U0ADA", "it fails")
    assert asked == [
        ("slack:U0ADA", {"to": "0123ab", "reason": "it fails"}),
        ("slack:U0ADA", {"to": None, "reason": "it fails"}),
    ]


@pytest.mark.parametrize("command", ["retrain because I try it", "rollback I try it"])
def test_a_dry_run_on_the_command_line_changes_nothing(tiny_shop: Any, debut: Any, command: str) -> None:
    outcome = debut("chat", "--dry-run", command, *tiny_shop.arguments)
    assert outcome.code == 0
    assert "A dry run changes nothing. Given by slack:U0DRYRUN, this would" in json.dumps(outcome.out)
    assert tiny_shop.decisions() == []
