"""`debut deploy`: work pool, deployments, automations and MLflow's webhook, each made or brought up to date.

What is deployed is written down in infra/; nothing here knows a job. Variables in those files are taken from
the environment: DEBUT_SHOP, DEBUT_CONFIG, DEBUT_ROOT, DEBUT_WORKSPACE, DEBUT_POOL.
"""

import json
import os
import string
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from pydantic import TypeAdapter, ValidationError

from components.contract.errors import ConfigError, OrchestrationError
from components.contract.files import disk_errors
from components.tracking.client import connect
from components.tracking.webhook import EVENT, SECRET_VARIABLE, ensure_webhook
from flows.orchestrator import prefect_client
from flows.shop import Shop

ZOMBIE_SECONDS = "540"
"""Three of Prefect's heartbeats."""
LEAST_ZOMBIE_SECONDS = 90
"""Three heartbeats at the highest frequency that Prefect takes."""
WEBHOOK_URL = "DEBUT_MLFLOW_WEBHOOK_URL"


def deploy_shop(shop: Shop, config: str, root: str | None, infra: Path, pool: str) -> dict[str, list[str]]:
    """Names of what is now on the server, by kind. Raises OrchestrationError, ConfigError, TrackingError."""
    values = _values(shop, config, root, pool)
    template, specs = _template(infra, pool), _automations(infra, values)  # before anything is changed
    with prefect_client("deploy") as client:
        off = {one.name for one in client.read_automations() if not one.enabled}
        work_pool = _work_pool(client, values["DEBUT_POOL"], pool, template)
        try:
            _deploy(infra, values)
            automations = [_automation(client, spec) for spec in specs]
        finally:  # some are made anew, enabled, even where others fail; nothing else knows that they were off
            _keep_off(client, off)
    return {
        "work pool": [work_pool],
        "deployments": _deployed(infra, values),
        "automations": automations,
        "MLflow webhook": _webhook(shop),
    }


def _values(shop: Shop, config: str, root: str | None, pool: str) -> dict[str, str]:
    """What the files of infra/ may name. Paths become absolute: a worker runs in a folder of its own."""
    file = Path(config)
    return {
        "DEBUT_SHOP": shop.settings.shop,
        "DEBUT_CONFIG": str(file.absolute()) if file.is_file() else config,
        "DEBUT_ROOT": _root(shop, root),
        "DEBUT_WORKSPACE": str(shop.workspace.parent),
        "DEBUT_POOL": f"debut-{pool}",
        "DEBUT_ZOMBIE_SECONDS": _zombie_seconds(os.environ.get("DEBUT_ZOMBIE_SECONDS", ZOMBIE_SECONDS)),
    }


def _root(shop: Shop, root: str | None) -> str:
    """Empty where the worker is to generate the example's files, as this command does."""
    if root is None and shop.generated:
        return ""
    return str((Path(root) if root else shop.root).absolute())


def _zombie_seconds(text: str) -> str:
    if not text.isascii() or not text.isdigit() or int(text) < LEAST_ZOMBIE_SECONDS:
        raise ConfigError(
            f"DEBUT_ZOMBIE_SECONDS is {text!r}: give whole seconds, {LEAST_ZOMBIE_SECONDS} or more, and at "
            f"least three times the worker's PREFECT_FLOWS_HEARTBEAT_FREQUENCY (180)."
        )
    return text


def _template(infra: Path, kind: str) -> dict[str, Any]:
    """The base job template of a kind of work pool: there is one file per kind."""
    kinds = sorted(path.stem for path in (infra / "pools").glob("*.json"))
    if kinds and kind not in kinds:
        raise ConfigError(
            f"--pool is {kind!r}: give one of {', '.join(kinds)}; infra/worker.sh takes it from "
            f"DEBUT_POOL_KIND."
        )
    found: dict[str, Any] = json.loads(_read(infra / "pools" / f"{kind}.json"))
    return found


def _work_pool(client: SyncPrefectClient, name: str, kind: str, template: dict[str, Any]) -> str:
    try:
        known = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type=kind, base_job_template=template))
        return name
    if known.base_job_template != template:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    return name


def _deploy(infra: Path, values: dict[str, str]) -> None:
    """By Prefect's own command, which is idempotent: the file's names decide what is made or changed."""
    file = infra / "prefect.yaml"
    _read(file)
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", file.name],
        cwd=infra,
        env=os.environ | values,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise OrchestrationError(f"{file} was not deployed: {told[-1] if told else 'Prefect says nothing'}.")


def _automations(infra: Path, values: dict[str, str]) -> list[AutomationCore]:
    path = infra / "automations.yaml"
    # safe_substitute: Prefect's own {{ … }} and any other $ stay as they are.
    text = string.Template(_read(path)).safe_substitute(os.environ | values)
    try:
        return TypeAdapter(list[AutomationCore]).validate_python(yaml.safe_load(text))
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    raise ConfigError(f"{path} holds what Prefect takes for no automation ({reason}): correct it there.")


def _automation(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    known = client.read_automations_by_name(wanted.name)
    if known:
        client.update_automation(known[0].id, wanted)
    else:
        client.create_automation(wanted)
    return wanted.name


def _keep_off(client: SyncPrefectClient, names: set[str]) -> None:
    """What somebody switched off stays off, though it was just made anew."""
    for automation in client.read_automations():
        if automation.enabled and automation.name in names:
            client.pause_automation(automation.id)


def _webhook(shop: Shop) -> list[str]:
    """MLflow's server tells the service of set tags, where both variables are there; the tags are read every
    few minutes in any case."""
    url, secret = os.environ.get(WEBHOOK_URL), os.environ.get(SECRET_VARIABLE)
    if not url or not secret:
        return []
    ensure_webhook(connect(shop.settings, shop.workspace), f"debut-{shop.settings.shop}", url, secret)
    return [f"{EVENT} → {url}"]


def _deployed(infra: Path, values: dict[str, str]) -> list[str]:
    deployments = yaml.safe_load(_read(infra / "prefect.yaml"))["deployments"]
    flows: list[Flow[..., Any]] = [load_flow_from_entrypoint(one["entrypoint"]) for one in deployments]
    return [f"{flow.name}/{values['DEBUT_SHOP']}" for flow in flows]


def _read(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path} is missing: run `debut deploy` in a checkout, or give --infra.")
    with disk_errors(path):
        return path.read_text()
