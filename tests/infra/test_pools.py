"""Base job templates of the work pools: what Prefect, Docker's client and Kubernetes demand of them."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prefect.server.schemas.actions import DeploymentCreate, WorkPoolCreate
from prefect.utilities.templating import apply_values, find_placeholders
from prefect.workers.process import ProcessJobConfiguration

ROOT = Path(__file__).parents[2]
KINDS = ("process", "docker", "kubernetes")
GPU = {"Driver": "nvidia", "Count": 1, "Capabilities": [["gpu"]]}


def template(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "infra" / "pools" / f"{kind}.json").read_text())
    return found


def prefects_own(kind: str) -> dict[str, Any]:
    """The template that Prefect's server offers for a new pool of this kind."""
    views = files("prefect.server.api") / "collections_data" / "views" / "aggregate-worker-metadata.json"
    packages: dict[str, Any] = json.loads(views.read_text())
    (found,) = (workers[kind] for workers in packages.values() if kind in workers)
    return dict(found["default_base_job_configuration"])


def job(kind: str, **variables: Any) -> dict[str, Any]:
    """The job that a run with these job variables is started with."""
    properties = template(kind)["variables"]["properties"]
    values = {name: one["default"] for name, one in properties.items() if one.get("default") is not None}
    return dict(apply_values(template(kind)["job_configuration"], values | variables))


def check_variables(kind: str, **variables: Any) -> None:
    """Raises what Prefect's server answers a deployment with such job variables with."""
    asked = DeploymentCreate(
        name="x", flow_id="00000000-0000-0000-0000-000000000000", job_variables=variables
    )
    asked.check_valid_configuration(template(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_prefect_takes_it_as_a_pools_template(kind: str) -> None:
    """By the server's own check: every placeholder of the job has a variable."""
    pool = WorkPoolCreate(name=f"debut-{kind}", type=kind, base_job_template=template(kind))
    assert pool.base_job_template == template(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_every_variable_is_used(kind: str) -> None:
    """One that no placeholder names could be set without any effect."""
    used = {each.name for each in find_placeholders(template(kind)["job_configuration"])}
    assert used == set(template(kind)["variables"]["properties"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_variables_are_a_valid_schema_and_every_default_fits_it(kind: str) -> None:
    """A default that its own type refuses would fail every run."""
    schema = template(kind)["variables"]
    jsonschema.Draft202012Validator.check_schema(schema)
    defaults = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
    jsonschema.validate(defaults, schema)


@pytest.mark.parametrize("kind", KINDS)
def test_the_job_has_only_keys_that_its_worker_knows(kind: str) -> None:
    """Prefect's own template lists them; prefect-docker's `container_create_kwargs` and prefect-kubernetes'
    `annotations` are newer than that list."""
    newer = {"docker": {"container_create_kwargs"}, "kubernetes": {"annotations"}}.get(kind, set())
    assert set(template(kind)["job_configuration"]) <= set(prefects_own(kind)["job_configuration"]) | newer


def test_a_process_job_is_what_the_worker_starts_by() -> None:
    """The worker's own class takes the template's defaults and a deployment's environment."""
    built = ProcessJobConfiguration.model_validate(job("process", env={"A": "1"}))
    assert built.env["A"] == "1"
    assert built.stream_output is True


@pytest.mark.parametrize(("requests", "expected"), [([], []), ([GPU], [1])])
def test_dockers_client_takes_the_gpu_request(requests: list[Any], expected: list[int]) -> None:
    """What prefect-docker hands to docker-py's `containers.create`; no GPU unless one is asked for."""
    from docker.models.containers import _create_container_args

    extra = job("docker", device_requests=requests)["container_create_kwargs"]
    made = _create_container_args({"image": "debut", "command": "x", "version": "1.50", **extra})
    assert [each["Count"] for each in made["host_config"]["DeviceRequests"]] == expected
    assert made["host_config"]["SecurityOpt"] == ["no-new-privileges:true"]


def test_a_docker_job_joins_composes_network_and_volume() -> None:
    """It reaches Prefect's server by the first and the releases by the second."""
    made = job("docker")
    assert made["networks"] == ["debut"]
    assert made["volumes"] == ["debut-workspace:/var/lib/debut"]
    assert "privileged" not in made


def test_a_kubernetes_job_asks_for_gpus_and_takes_its_secrets_by_reference() -> None:
    """And runs as no root on a root file system that it cannot write."""
    manifest = job("kubernetes", gpus=2, command=["x"])["job_manifest"]
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 2
    assert container["resources"]["requests"]["nvidia.com/gpu"] == 2
    assert container["envFrom"] == [{"secretRef": {"name": "debut-worker"}}]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounted = {each["name"] for each in container["volumeMounts"]}
    assert mounted == {each["name"] for each in pod["volumes"]}
    assert (manifest["spec"]["parallelism"], manifest["spec"]["completions"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "variables"),
    [("kubernetes", {"gpus": -1}), ("kubernetes", {"nodes": 2}), ("docker", {"device_requests": "all"})],
)
def test_a_deployment_with_wrong_job_variables_is_refused(kind: str, variables: dict[str, Any]) -> None:
    """Two nodes too: each pod would run the whole flow, because the ranks start inside one."""
    with pytest.raises(Exception, match=next(iter(variables))):
        check_variables(kind, **variables)


def test_the_same_check_takes_right_ones() -> None:
    """So the refusals above are about the values."""
    check_variables("kubernetes", gpus=4, nodes=1)
    check_variables("docker", device_requests=[GPU])


def test_the_images_default_is_this_version() -> None:
    """docker/README.md builds it under that name."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for kind in ("docker", "kubernetes"):
        assert template(kind)["variables"]["properties"]["image"]["default"] == f"debut:{version}"
