"""`debut deploy`, as a team runs it, against a Prefect server on loopback."""

import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from components.contract.errors import ConfigError
from flows import deploy

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


@pytest.mark.parametrize("seconds", ["89", "soon", "-540", "", "५४०"])
def test_only_whole_seconds_that_are_enough_are_taken(seconds: str) -> None:
    """In this process: that the command asks is shown above."""
    with pytest.raises(ConfigError, match="give whole seconds, 90 or more"):
        deploy._zombie_seconds(seconds)
    assert deploy._zombie_seconds("90") == "90"
