"""`debut deploy`, as a team runs it, against a Prefect server on loopback."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from components.contract.errors import ConfigError, OrchestrationError
from components.contract.settings import Settings
from flows import deploy
from flows.shop import Shop

ROOT = Path(__file__).parents[2]
SHOP = """
shop: bowls
sources: {products: {path: products.csv}, clicks: {path: clicks.csv}}
tables: {items: SELECT * FROM products, events: SELECT * FROM clicks}
"""
DRIFT, DEAD = "debut: drift of bowls starts a retrain", "debut: runs whose process died"


def debut_deploy(prefect_server: Any, folder: Path, **more: str) -> Any:
    (folder / "debut.yaml").write_text(SHOP)
    command = [sys.executable, "-c", "from flows.cli import main; main()", "deploy"]
    options = ["--config", "debut.yaml", "--infra", str(ROOT / "infra")]
    return prefect_server.run(*command, *options, cwd=folder, PYTHONPATH=str(ROOT), **more)


def automations(api: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    answer = api.post("automations/filter", json={})
    answer.raise_for_status()
    for one in answer.json():
        found.setdefault(one["name"], []).append(one)
    return found


@pytest.mark.slow
def test_a_second_time_nothing_is_doubled_and_what_was_switched_off_stays_off(
    prefect_server: Any, prefect_api: Any, tmp_path: Path
) -> None:
    """Work pool, deployments and automations are made once; people may switch automations off in Prefect."""
    with prefect_api(prefect_server) as api:
        first = debut_deploy(prefect_server, tmp_path)
        assert first.returncode == 0, first.stdout + first.stderr
        for name in (DRIFT, DEAD):
            (made,) = automations(api)[name]
            assert made["enabled"]
            api.patch(f"automations/{made['id']}", json={"enabled": False}).raise_for_status()
        second = debut_deploy(prefect_server, tmp_path)
        assert second.returncode == 0, second.stdout + second.stderr
        assert [len(automations(api)[name]) for name in (DRIFT, DEAD)] == [1, 1]
        assert not any(automations(api)[name][0]["enabled"] for name in (DRIFT, DEAD))
        found = api.post("deployments/filter", json={"deployments": {"name": {"any_": ["bowls"]}}}).json()
        assert len(found) == 5
        assert sum(len(one["schedules"]) for one in found) == 4


@pytest.mark.slow
def test_a_time_that_would_end_healthy_runs_is_refused(prefect_server: Any, tmp_path: Path) -> None:
    done = debut_deploy(prefect_server, tmp_path, DEBUT_ZOMBIE_SECONDS="89")
    assert done.returncode == 1
    assert "DEBUT_ZOMBIE_SECONDS is '89'" in done.stderr


class Server:
    """What `debut deploy` asks of Prefect's server."""

    def __init__(self) -> None:
        self.automations = [SimpleNamespace(id=1, name=DRIFT, enabled=False)]

    def read_automations(self) -> list[Any]:
        return list(self.automations)

    def pause_automation(self, automation: int) -> None:
        for one in self.automations:
            one.enabled = one.enabled and one.id != automation

    def read_work_pool(self, name: str) -> Any:
        return SimpleNamespace(name=name, base_job_template=None)

    def update_work_pool(self, name: str, update: Any) -> None:
        pass


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Server, Shop]:
    """Its deployments' triggers are made anew, enabled, before a later deployment fails."""
    server = Server()

    @contextmanager
    def client(_: str) -> Iterator[Server]:
        yield server

    def fail(*_: Any) -> None:
        server.automations = [SimpleNamespace(id=2, name=DRIFT, enabled=True)]
        raise OrchestrationError("not deployed")

    monkeypatch.setattr(deploy, "prefect_client", client)
    monkeypatch.setattr(deploy, "_deploy", fail)
    return server, Shop(Settings(shop="bowls", tables={"items": "SELECT 1"}), tmp_path, tmp_path)


def test_what_was_switched_off_stays_off_where_the_deployment_fails(shop: tuple[Server, Shop]) -> None:
    """The next call could not know that it was off."""
    server, bowls = shop
    with pytest.raises(OrchestrationError, match="not deployed"):
        deploy.deploy_shop(bowls, "debut.yaml", None, ROOT / "infra", "process")
    assert [(one.id, one.enabled) for one in server.automations] == [(2, False)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "automations.yaml is missing: run `debut deploy` in a checkout, or give --infra"),
        ("- {", "automations.yaml holds what Prefect takes for no automation"),
        ("- {name: one, actions: []}", r"takes for no automation \(0\.trigger"),
    ],
)
def test_automations_that_cannot_be_read_are_told_before_anything_is_changed(
    shop: tuple[Server, Shop], tmp_path: Path, text: str | None, told: str
) -> None:
    server, bowls = shop
    infra = tmp_path / "infra"
    shutil.copytree(ROOT / "infra", infra)
    (infra / "automations.yaml").unlink()
    if text is not None:
        (infra / "automations.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        deploy.deploy_shop(bowls, "debut.yaml", None, infra, "process")
    assert [one.id for one in server.automations] == [1]


def test_an_unknown_kind_of_pool_is_told_with_the_known_ones(
    shop: tuple[Server, Shop], tmp_path: Path
) -> None:
    """Where there are no pools at all, it is --infra that is wrong."""
    for infra, told in (
        (ROOT / "infra", "--pool is 'dockr': give one of docker, kubernetes, process; .* DEBUT_POOL_KIND"),
        (tmp_path / "nowhere", "give --infra"),
    ):
        with pytest.raises(ConfigError, match=told):
            deploy.deploy_shop(shop[1], "debut.yaml", None, infra, "dockr")


@pytest.mark.parametrize("seconds", ["89", "soon", "-540", "", "५४०"])
def test_only_whole_seconds_that_are_enough_are_taken(seconds: str) -> None:
    """In this process: that the command asks is shown above."""
    with pytest.raises(ConfigError, match="give whole seconds, 90 or more"):
        deploy._zombie_seconds(seconds)
    assert deploy._zombie_seconds("90") == "90"
