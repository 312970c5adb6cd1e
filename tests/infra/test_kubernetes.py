"""The Kubernetes manifests: what the restricted pod security standard demands, and what they share."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.data.configuration import load_settings

BASE = Path(__file__).parents[2] / "infra" / "kubernetes" / "base"
DEPLOYMENTS = ("prefect", "mlflow", "worker", "service")


def documents(name: str) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all((BASE / f"{name}.yaml").read_text()) if one]


def deployment(name: str) -> dict[str, Any]:
    (found,) = (one for one in documents(name) if one["kind"] == "Deployment")
    return dict(found["spec"])


def container(name: str) -> dict[str, Any]:
    (found,) = deployment(name)["template"]["spec"]["containers"]
    return dict(found)


def test_every_manifest_is_part_of_the_kustomization() -> None:
    """A file that nobody lists would never be applied."""
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    files = {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml", "debut.yaml"}
    assert set(kustomization["resources"]) == files


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_restricted(name: str) -> None:
    """No root, no privilege, no writable root file system, no token of the cluster."""
    pod, one = deployment(name)["template"]["spec"], container(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_pod_is_probed_and_asks_for_what_it_needs(name: str) -> None:
    """All probes ask a port that the container names."""
    one = container(name)
    ports = {port["name"] for port in one["ports"]}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert one[probe]["httpGet"]["port"] in ports
        assert one[probe]["httpGet"]["path"].startswith("/")
    assert set(one["resources"]["requests"]) == {"cpu", "memory"}
    assert "memory" in one["resources"]["limits"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_volumes_and_labels_fit_together(name: str) -> None:
    """Each mount has its volume, each selector its pod, and each Service its port."""
    spec, one = deployment(name), container(name)
    assert {each["name"] for each in one["volumeMounts"]} == {
        each["name"] for each in spec["template"]["spec"]["volumes"]
    }
    assert "/tmp" in {each["mountPath"] for each in one["volumeMounts"]}
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    for service in (each for each in documents(name) if each["kind"] == "Service"):
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["port"] for port in service["spec"]["ports"]} == {
            port["containerPort"] for port in one["ports"]
        }


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_secrets_come_by_reference(name: str) -> None:
    """No variable that is written out is named like a secret; the image has a version."""
    one = container(name)
    assert all(each["secretRef"]["name"].startswith("debut-") for each in one["envFrom"])
    words = ("PASSWORD", "SECRET", "TOKEN", "AUTH", "KEY")
    assert [each["name"] for each in one["env"] if any(word in each["name"] for word in words)] == []
    assert one["image"].rpartition(":")[2] not in ("", "latest")


def test_slacks_bot_token_belongs_to_a_secret_that_worker_and_service_read() -> None:
    """Runs post their results and the buttons of a review; the service answers commands."""
    rows = [
        line
        for line in (BASE.parents[1] / "README.md").read_text().splitlines()
        if line.startswith("| `debut-")
    ]
    [secret] = [row.split("`")[1] for row in rows if "DEBUT_SLACK_BOT_TOKEN" in row]
    for name in ("worker", "service"):
        assert {"secretRef": {"name": secret}} in container(name)["envFrom"]


def test_worker_and_service_share_the_workspace() -> None:
    """The service serves what the worker builds."""
    (claim,) = documents("storage")
    for name in ("worker", "service"):
        claims = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in deployment(name)["template"]["spec"]["volumes"]
            if "persistentVolumeClaim" in volume
        ]
        assert claims == [claim["metadata"]["name"]]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_example_configuration_is_one() -> None:
    """It is part of the ConfigMap until it is replaced."""
    settings, _ = load_settings(str(BASE / "debut.yaml"))
    assert settings.tracking.uri == "http://mlflow:5000"


@pytest.mark.parametrize("overlay", ["base", "gpu"])
def test_kustomize_renders_them(overlay: str) -> None:
    """Where kubectl is installed; it needs no cluster for this."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    done = subprocess.run(
        ["kubectl", "kustomize", str(BASE.parent / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Deployment"]
    assert {one["metadata"]["name"] for one in found} == set(DEPLOYMENTS)
    (worker,) = (one for one in found if one["metadata"]["name"] == "worker")
    limits = worker["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert ("nvidia.com/gpu" in limits) == (overlay == "gpu")
