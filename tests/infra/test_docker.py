"""Dockerfiles and compose.yaml, as far as they can be checked without a Docker daemon."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
DOCKERFILES = ("Dockerfile", "Dockerfile.cuda")
OURS = {"bucket", "prefect", "mlflow", "worker", "service"}
"""Services that run our image."""


def instructions(name: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, its text on one line), comments left out."""
    lines = [line for line in (DOCKER / name).read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, _, rest in found]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return found


def tool(name: str) -> str:
    """Path of a linter in .venv or on the machine; the test is skipped where it is not installed."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.mark.parametrize("name", DOCKERFILES)
def test_hadolint_finds_nothing(name: str) -> None:
    """Its own rules, none switched off."""
    done = subprocess.run(
        [tool("hadolint"), str(DOCKER / name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


def test_shellcheck_finds_nothing() -> None:
    """In every script of infra/, mlflow/ and docker/; they are POSIX sh."""
    scripts = [path for folder in ("infra", "mlflow", "docker") for path in (ROOT / folder).rglob("*.sh")]
    assert all(path.read_text().startswith("#!/bin/sh\n") for path in scripts)
    done = subprocess.run(
        [tool("shellcheck"), *map(str, scripts)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", DOCKERFILES)
def test_base_images_are_pinned_to_a_patch_version(name: str) -> None:
    """Both stages from the same one; nothing from Debian's packages, whose versions pass away."""
    bases = {text.partition(" ")[0] for word, text in instructions(name) if word == "FROM"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases.pop())
    assert not any("apt" in text for word, text in instructions(name) if word == "RUN")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_image_runs_as_no_root_with_a_health_check(name: str) -> None:
    """As a numeric user, which Kubernetes' runAsNonRoot can check; commands in exec form."""
    last = dict(instructions(name))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last["USER"])
    assert last["CMD"].startswith("[")
    assert "CMD [" in last["HEALTHCHECK"]
    words = [word for word, _ in instructions(name)]
    assert words.index("USER") > max(at for at, word in enumerate(words) if word in ("RUN", "COPY"))


@pytest.mark.parametrize("name", DOCKERFILES)
def test_packages_come_in_the_pinned_versions_and_leave_no_cache(name: str) -> None:
    """All by constraints.txt; the second install is of our own code alone."""
    installs = [text for word, text in instructions(name) if word == "RUN" and "pip install" in text]
    assert len(installs) == 2
    assert all("--no-cache-dir" in text for text in installs)
    assert all("--constraint constraints.txt" in text or "--no-deps" in text for text in installs)


def test_the_cuda_image_differs_in_torch_alone() -> None:
    """One is edited when the other is."""
    plain, cuda = (dict.fromkeys(instructions(name)) for name in DOCKERFILES)
    assert [word for word, _ in plain if (word, _) not in cuda] == ["ARG", "RUN", "ENV"]
    assert [text for word, text in cuda if word == "RUN" and "CUDA=1" in text]


def test_the_build_context_holds_only_what_is_copied() -> None:
    """Everything is left out first; each COPY's source is then let in."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    first, *rest = [rule for rule in rules if rule and not rule.startswith("#")]
    assert first == "*"
    let_in = {rule[1:].removesuffix("/**") for rule in rest if rule.startswith("!")}
    copied: set[str] = set()
    for name in DOCKERFILES:
        for word, text in instructions(name):
            if word == "COPY" and not text.startswith("--from"):
                copied |= {source.partition("/")[0] for source in text.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_every_service_has_a_health_check_and_waits_for_healthy_ones() -> None:
    """Only the one that makes the bucket ends by itself."""
    services = compose()["services"]
    assert OURS | {"postgres", "s3"} == set(services)
    for name, service in services.items():
        assert (service["healthcheck"] == {"disable": True}) == (name == "bucket"), name
        for other, condition in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other == "bucket" else "service_healthy"
            assert condition == {"condition": expected}, (name, other)


def test_images_are_pinned() -> None:
    """Ours by the version of this package."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in compose()["services"].items():
        tag = service["image"].rstrip("}").rpartition(":")[2]
        assert tag not in ("", "latest")
        assert any(sign.isdigit() for sign in tag)
        assert (tag == version) == (name in OURS)


def test_our_containers_have_no_privileges() -> None:
    """And cannot write their own files."""
    for name in OURS:
        service = compose()["services"][name]
        assert service["read_only"] is True
        assert service["init"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_no_secret_is_written_down_or_has_a_default() -> None:
    """Without its variable compose refuses to start; those that may stay empty turn a part off."""
    words = ("PASSWORD", "SECRET", "TOKEN", "AUTH", "KEY")
    seen = 0
    for service in compose()["services"].values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in words) or ("://" in str(value) and "@" in str(value)):
                seen += 1
                secrets = re.findall(r"\$\{\w+(:?[?-])([^}]*)\}", str(value))
                assert secrets, name
                assert all(sign == ":?" or (sign, default) == (":-", "") for sign, default in secrets), name
    assert seen > 10


def test_each_process_gets_the_secrets_that_its_own_part_asks_for() -> None:
    """Runs post to Slack and write queries; chats ask the service, it writes answers and seals its log."""
    given = {name: set(compose()["services"][name]["environment"]) for name in ("worker", "service")}
    assert {"DEBUT_SLACK_BOT_TOKEN", "DEBUT_WRITER_KEY", "DEBUT_SIGNING_PASSWORD"} <= given["worker"]
    assert {
        "DEBUT_SLACK_BOT_TOKEN",
        "DEBUT_SLACK_SIGNING_SECRET",
        "DEBUT_MATTERMOST_TOKEN",
        "DEBUT_ANSWERS_KEY",
        "DEBUT_LOG_SECRET",
    } <= given["service"]


def test_the_example_of_variables_names_all_that_have_no_default() -> None:
    """And gives none a value."""
    needed = set(re.findall(r"\$\{(\w+):\?", (DOCKER / "compose.yaml").read_text()))
    lines = (DOCKER / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(example) == needed
    assert set(example.values()) == {""}


def test_ports_are_open_on_this_machine_only() -> None:
    """Unless DEBUT_BIND says otherwise; Postgres and the store have none."""
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("${DEBUT_BIND:-127.0.0.1}:") for port in ports)


def test_the_named_network_and_volume_are_those_of_the_docker_work_pool() -> None:
    """Without a name compose would put its project's before them."""
    assert compose()["networks"]["default"]["name"] == "debut"
    assert compose()["volumes"]["workspace"]["name"] == "debut-workspace"


def test_files_that_compose_mounts_and_runs_exist() -> None:
    """In the image infra/ and mlflow/ are under /opt/debut."""
    text = (DOCKER / "compose.yaml").read_text()
    inside = set(re.findall(r"/opt/debut/([\w/.]+)", text + (DOCKER / "Dockerfile").read_text()))
    scripts = {path for path in inside if path.endswith(".sh")}
    assert {"infra/worker.sh", "infra/serve.sh", "mlflow/start.sh"} <= scripts
    assert all((ROOT / path).is_file() for path in scripts)
    assert (DOCKER / "postgres" / "databases.sh").is_file()


def test_compose_takes_the_file() -> None:
    """Where the client has the compose plugin; it needs no daemon for this."""
    docker = tool("docker")
    if subprocess.run(
        [docker, "compose", "version"], capture_output=True, timeout=60, check=False
    ).returncode:
        pytest.skip("docker has no compose plugin here")
    needed = re.findall(r"\$\{(\w+):\?", (DOCKER / "compose.yaml").read_text())
    done = subprocess.run(
        [docker, "compose", "--file", str(DOCKER / "compose.yaml"), "config", "--quiet"],
        env=os.environ | dict.fromkeys(needed, "x"), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
