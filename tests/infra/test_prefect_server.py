"""Prefect's server as containers run it: on Postgres."""

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_a_cron_deployment_really_gets_scheduled_runs_on_postgres(
    start_prefect: Any, prefect_api: Any, postgres: str, tmp_path: Path, eventually: Any
) -> None:
    """As test_deployments shows it on SQLite; nothing falls back to that."""
    address = f"postgresql+asyncpg://{postgres}/prefect"
    with (
        start_prefect(tmp_path, PREFECT_API_DATABASE_CONNECTION_URL=address) as server,
        prefect_api(server) as api,
    ):
        flow = api.post("flows/", json={"name": "monitor"}).json()
        schedule = {"active": True, "schedule": {"cron": "7 * * * *", "timezone": "UTC"}}
        made = api.post(
            "deployments/", json={"name": "mugs", "flow_id": flow["id"], "schedules": [schedule]}
        ).raise_for_status()

        def scheduled() -> list[dict[str, Any]]:
            asked = {"deployments": {"id": {"any_": [made.json()["id"]]}}}
            runs = api.post("flow_runs/filter", json=asked).raise_for_status().json()
            return [run for run in runs if run["state_type"] == "SCHEDULED" and run["auto_scheduled"]]

        assert eventually(scheduled, 90)
    assert not (tmp_path / "prefect.db").exists()
