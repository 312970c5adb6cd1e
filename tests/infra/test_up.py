"""`make up` on this machine: what it starts, what it refuses, and that nothing is left when it ends."""

import base64
import contextlib
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STARTS_WITHIN, STOPS_WITHIN = 300.0, 90.0
"""Seconds, on a busy machine."""
SECRETS = ("mlflow_admin_password", "mlflow_encryption_key", "mlflow_flask_key", "mlflow_webhook_secret")

_SLOW_FLOW = """\
import subprocess
import time
from prefect import flow

@flow(name="monitor")
def monitor(config: str, root: str | None = None, workspace: str | None = None) -> None:
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    time.sleep(1000)
"""


def _hears_ctrl_c() -> None:
    """Where the tests run in the background of a shell, SIGINT is ignored, and a shell cannot change that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def status(address: str, user: str | None = None, **headers: str) -> int:
    request = urllib.request.Request(address, headers=headers)
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def marked(servers: Path) -> list[psutil.Process]:
    """Live processes that this `make up` started, however deep."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("DEBUT_UP") == str(servers):
                found.append(process)
    return found


@dataclass(frozen=True)
class Up:
    process: subprocess.Popen[bytes]
    servers: Path
    log: Path
    service: str
    prefect: str
    mlflow: str

    def password(self) -> str:
        return (self.servers / "secrets" / "mlflow_admin_password").read_text()


def start(folder: Path, flows: Path, free_port: Callable[[], int], environment: Any) -> Up:
    service, prefect, mlflow, worker = (free_port() for _ in range(4))
    log = folder / "up.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", str(ROOT / "infra" / "up.sh")],
            env=environment(
                DEBUT_CONFIG="demo", DEBUT_WORKSPACE=str(folder / "ws"), DEBUT_ROOT=str(folder),
                DEBUT_PORT=str(service), DEBUT_PREFECT_PORT=str(prefect), DEBUT_MLFLOW_PORT=str(mlflow),
                DEBUT_WORKER_PORT=str(worker), PREFECT_WORKER_QUERY_SECONDS="1", PYTHONPATH=str(flows),
            ),
            stdout=out, stderr=out, start_new_session=True, preexec_fn=_hears_ctrl_c,
        )  # fmt: skip
    at = "http://127.0.0.1"
    return Up(
        process, (folder / "ws" / "demo" / "servers").resolve(), log,
        f"{at}:{service}", f"{at}:{prefect}", f"{at}:{mlflow}",
    )  # fmt: skip


def is_up(up: Up) -> bool:
    return (
        status(f"{up.service}/healthz") == 200
        and status(f"{up.prefect}/api/health") == 200
        and status(f"{up.mlflow}/health") == 200
        and "started!" in up.log.read_text()  # the worker, after the deployment
    )


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For PYTHONPATH: our flows, with a monitor that runs until it is ended and starts a process."""
    folder = tmp_path_factory.mktemp("flows") / "flows"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"__path__ = [{str(folder)!r}, {str(ROOT / 'flows')!r}]\n")
    (folder / "monitor.py").write_text(_SLOW_FLOW)
    return folder.parent


@pytest.fixture(scope="module")
def up(
    tmp_path_factory: pytest.TempPathFactory,
    flows: Path,
    free_port: Callable[[], int],
    environment: Any,
    eventually: Any,
) -> Iterator[Up]:
    up = start(tmp_path_factory.mktemp("up"), flows, free_port, environment)
    try:
        assert eventually(lambda: is_up(up) or up.process.poll() is not None, STARTS_WITHIN), (
            up.log.read_text()
        )
        assert up.process.poll() is None, up.log.read_text()
        yield up
    finally:
        if up.process.poll() is None:
            up.process.terminate()
            up.process.wait(60)
        for process in marked(up.servers):
            process.kill()


@pytest.mark.slow
def test_make_up_brings_up_service_prefect_and_mlflow(up: Up) -> None:
    """All three answer, and the shop is deployed."""
    assert is_up(up)
    assert status(f"{up.prefect}/api/deployments/name/retrain/demo") == 200
    assert status(f"{up.prefect}/api/deployments/name/index-refresh/demo") == 200


@pytest.mark.slow
def test_mlflow_asks_for_a_login_and_for_its_own_name(up: Up) -> None:
    """Nobody reads without a login; a page of another name cannot reach it through a browser."""
    address = f"{up.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    assert status(address) == 401
    assert status(address, "admin:password1234") == 401
    assert status(address, f"admin:{up.password()}") == 200
    assert status(address, f"admin:{up.password()}", Host="evil.example") == 403


@pytest.mark.slow
def test_who_has_a_login_reads_and_only_who_was_given_edit_sets_a_tag(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tag `review` is set by who has EDIT on the shop's registered model (mlflow/REVIEWING.md)."""
    from mlflow.exceptions import MlflowException
    from mlflow.server import get_app_client
    from mlflow.tracking import MlflowClient

    def act_as(user: str, password: str) -> MlflowClient:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        return MlflowClient(up.mlflow, up.mlflow)

    client = act_as("admin", up.password())
    users: Any = get_app_client("basic-auth", tracking_uri=up.mlflow)
    for name in ("reader", "reviewer"):
        users.create_user(name, f"{name}-of-the-shop")
    client.create_registered_model("demo")
    client.create_model_version("demo", "s3://nowhere/at-all")
    users.grant_user_permission("reviewer", "registered_model", "demo", "EDIT")

    reader = act_as("reader", "reader-of-the-shop")
    assert reader.get_model_version("demo", "1").version
    with pytest.raises(MlflowException, match=r"403|[Pp]ermission"):
        reader.set_model_version_tag("demo", "1", "review", "approved:0123456789ab")
    reviewer = act_as("reviewer", "reviewer-of-the-shop")
    reviewer.set_model_version_tag("demo", "1", "review", "approved:0123456789ab")
    assert reviewer.get_model_version("demo", "1").tags == {"review": "approved:0123456789ab"}


@pytest.mark.slow
def test_secrets_are_the_owners_alone_and_shown_nowhere(up: Up) -> None:
    """Neither in what is printed nor in a command line."""
    folder = up.servers / "secrets"
    assert sorted(path.name for path in folder.iterdir()) == sorted(SECRETS)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(up.servers.stat().st_mode) == 0o700
    lines = " ".join(" ".join(process.cmdline()) for process in marked(up.servers))
    for name in SECRETS:
        secret = (folder / name).read_text()
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert len(base64.urlsafe_b64decode(secret)) == 32
        assert secret not in up.log.read_text() + lines


@pytest.mark.slow
def test_a_second_make_up_of_the_shop_is_refused(
    up: Up, flows: Path, tmp_path: Path, environment: Any
) -> None:
    """Two would share databases; the first goes on."""
    workspace = up.servers.parents[1]
    second = subprocess.run(
        ["sh", str(ROOT / "infra" / "up.sh")],
        env=environment(DEBUT_CONFIG="demo", DEBUT_WORKSPACE=str(workspace), PYTHONPATH=str(flows)),
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert "is up already" in second.stderr
    assert is_up(up)


@pytest.mark.slow
def test_a_stop_ends_all_and_tells_what_ran(up: Up, environment: Any, eventually: Any) -> None:
    """Also a run in the middle, and what that run started in a process group of its own; ends `up`."""
    begun = subprocess.run(
        [shutil.which("prefect", path=str(BIN)) or "prefect", "deployment", "run", "monitor/demo"],
        env=environment(PREFECT_API_URL=f"{up.prefect}/api", PYTHONPATH=""),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert begun.returncode == 0, begun.stderr

    def names() -> list[str]:
        with contextlib.suppress(psutil.Error):
            return [process.name() for process in marked(up.servers)]
        return []

    assert eventually(lambda: "sleep" in names(), 120), up.log.read_text()
    os.killpg(up.process.pid, signal.SIGINT)  # what Ctrl-C in a terminal does
    up.process.wait(STOPS_WITHIN)
    assert marked(up.servers) == []
    assert not (up.servers / "up.pid").exists()
    with contextlib.closing(sqlite3.connect(up.servers / "prefect" / "prefect.db")) as database:
        states = database.execute("select state_type from flow_run where auto_scheduled = 0").fetchall()
    assert states == [("CRASHED",)]  # a run that stayed Running would hold its place in the concurrency limit


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """A second start keeps them: the databases are encrypted with them, and people know the password."""
    for _ in range(2):
        subprocess.run(
            ["sh", str(ROOT / "infra" / "secrets.sh"), str(tmp_path / "s")], check=True, timeout=30
        )
        made = {path.name: path.read_text() for path in (tmp_path / "s").iterdir()}
        (tmp_path / "first").write_text(str(made)) if not (tmp_path / "first").exists() else None
    assert (tmp_path / "first").read_text() == str(made)
    assert len(set(made.values())) == len(SECRETS)


def test_a_shop_must_be_named(environment: Any) -> None:
    """The sentence says how."""
    done = subprocess.run(
        ["sh", str(ROOT / "infra" / "up.sh")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "make up DEBUT_CONFIG=debut.yaml" in done.stderr


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": ""}, "is not set"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "password1234"}, "default"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "Change-Me-Please"}, "default"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD": "short"}, "12 characters"),
        ({"MLFLOW_AUTH_ADMIN_PASSWORD_FILE": "/no/such/file"}, "cannot be read"),
        ({"MLFLOW_FLASK_SERVER_SECRET_KEY": ""}, "MLFLOW_FLASK_SERVER_SECRET_KEY"),
        ({"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": ""}, "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"),
        ({"MLFLOW_SERVER_ALLOWED_HOSTS": "*"}, "must name hosts"),
        ({"MLFLOW_BACKEND_STORE_URI": ""}, "MLFLOW_BACKEND_STORE_URI"),
    ],
)
def test_mlflow_is_refused_without_safe_settings(
    tmp_path: Path, environment: Any, changes: dict[str, str], told: str
) -> None:
    """Before anything is started, in one sentence that does not show the password."""
    good = {
        "MLFLOW_AUTH_ADMIN_PASSWORD": "quite-a-long-one",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x" * 32,
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": "x" * 44,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_ARTIFACTS_DESTINATION": str(tmp_path),
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1",
        "MLFLOW_STATE": str(tmp_path),
    }
    done = subprocess.run(
        ["sh", str(ROOT / "mlflow" / "start.sh")],
        env=environment(**(good | changes)), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    password = changes.get("MLFLOW_AUTH_ADMIN_PASSWORD")
    assert not password or password not in done.stderr
    assert not (tmp_path / "mlflow.db").exists()


def test_the_wait_for_a_server_ends_with_a_sentence(environment: Any) -> None:
    """Its address, and how long it was asked for."""
    done = subprocess.run(
        ["sh", str(ROOT / "infra" / "wait_for.sh"), "http://127.0.0.1:9/health", "1"],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "http://127.0.0.1:9/health did not answer within 1 seconds" in done.stderr
