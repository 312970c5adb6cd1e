"""What the tests of infra/ share: a real Prefect server on loopback, and processes that are always ended."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PASSWORD = "of-this-test-alone"
DATABASES = ("prefect", "mlflow", "mlflow_users")
STARTS_WITHIN = 180.0
"""Seconds; a server takes 5–20 s on two free cores."""

_FLOW = """\
from prefect import flow

@flow(name="{flow}")
def {function}({parameters}) -> None:
    pass
"""


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], Any], float], Any]:
    """(read, seconds) → the first true answer of `read`, else its last one."""

    def wait(read: Callable[[], Any], seconds: float) -> Any:
        ends = time.monotonic() + seconds
        while not (found := read()) and time.monotonic() < ends:
            time.sleep(0.3)
        return found

    return wait


@pytest.fixture(scope="session")
def environment() -> Callable[..., dict[str, str]]:
    """This process's, less what names a server, a shop or a login; .venv's commands first; and more."""
    foreign = ("PREFECT_", "MLFLOW_", "DEBUT_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    kept |= {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "DO_NOT_TRACK": "true"}
    return lambda **more: kept | more


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=3) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="session")
def stub_flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For PYTHONPATH: a package `flows` whose flows do nothing, so that a deployment imports no torch."""
    folder = tmp_path_factory.mktemp("stubs") / "flows"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    shop = "config: str, root: str | None = None, workspace: str | None = None"
    flows = {
        "retrain": [("retrain", "retrain", f"{shop}, because: str = '', requested_by: str = 'schedule'")],
        "monitor": [("monitor", "monitor", shop)],
        "reviews": [("reviews", "look_after_reviews", shop), ("review", "review", f"run_id: str, {shop}")],
        "index_refresh": [("index-refresh", "refresh_index", shop)],
    }
    for module, found in flows.items():
        texts = [_FLOW.format(flow=flow, function=name, parameters=given) for flow, name, given in found]
        (folder / f"{module}.py").write_text("\n".join(texts))
    return folder.parent


@dataclass(frozen=True)
class Prefect:
    """A server, and the environment in which commands meet it and the stub flows."""

    url: str
    environment: dict[str, str]

    def run(self, *command: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


class _Patient(httpx.HTTPTransport):
    """Asks again where the server's SQLite was busy (503), as Prefect's own client does."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for pause in (1, 2, 4, 8):
            answer = super().handle_request(request)
            if answer.status_code != 503:
                return answer
            answer.close()
            time.sleep(pause)
        return super().handle_request(request)


@pytest.fixture(scope="session")
def prefect_api() -> Callable[[Prefect], httpx.Client]:
    """A client of a server's REST interface."""
    return lambda server: httpx.Client(base_url=f"{server.url}/", timeout=60, transport=_Patient())


StartPrefect = Callable[..., contextlib.AbstractContextManager[Prefect]]


@pytest.fixture(scope="session")
def prefect_server(
    tmp_path_factory: pytest.TempPathFactory, stub_flows: Path, start_prefect: StartPrefect
) -> Iterator[Prefect]:
    with start_prefect(tmp_path_factory.mktemp("prefect"), PYTHONPATH=str(stub_flows)) as server:
        yield server


@pytest.fixture(scope="session")
def start_prefect(
    free_port: Callable[[], int], environment: Callable[..., dict[str, str]], eventually: Any
) -> StartPrefect:
    """A server whose state is in a folder, and what else its environment shall hold."""

    @contextlib.contextmanager
    def start(home: Path, **more: str) -> Iterator[Prefect]:
        port = free_port()
        url = f"http://127.0.0.1:{port}/api"
        variables = environment(
            PREFECT_HOME=str(home),
            PREFECT_API_URL=url,
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS="5",
            PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY="PT1S",
            **more,
        )
        command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        with (home / "log").open("w") as log:
            server = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
            try:
                eventually(lambda: answers(f"{url}/health") or server.poll() is not None, STARTS_WITHIN)
                assert answers(f"{url}/health"), (home / "log").read_text()[-2000:]
                yield Prefect(url, variables)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGKILL)
                server.wait()

    return start


def postgres_program(name: str) -> str:
    """Its path: on PATH, or where Debian puts it; the test is skipped without it."""
    places = [os.environ["PATH"], *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip("Postgres is not installed")
    return found


@pytest.fixture(scope="session")
def postgres(free_port: Callable[[], int], eventually: Any) -> Iterator[str]:
    """Login and address of a server (user:password@host:port) with the databases of docker/postgres."""
    pytest.importorskip("psycopg2")
    initdb, server_program = postgres_program("initdb"), postgres_program("postgres")
    createdb = postgres_program("createdb")
    # It refuses to run as root; and that user cannot read pytest's own folders.
    owner: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp())
    if os.getuid() == 0:
        try:
            account = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("there is no user postgres to run Postgres as")
        owner = {"user": account.pw_uid, "group": account.pw_gid}
        os.chown(folder, account.pw_uid, account.pw_gid)
    secret = folder / "password"
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data, port = folder / "data", free_port()
    subprocess.run(
        [initdb, "--pgdata", data, "--username", "debut", "--auth", "scram-sha-256", "--pwfile", secret],
        check=True, capture_output=True, cwd=folder, timeout=120, **owner,
    )  # fmt: skip
    server = subprocess.Popen(
        [server_program, "-D", data, "-k", folder, "-p", str(port), "-c", "listen_addresses=127.0.0.1"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **owner,
    )  # fmt: skip
    try:
        login = os.environ | {
            "PGPASSWORD": PASSWORD, "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "debut"
        }  # fmt: skip

        def made(name: str) -> bool:
            done = subprocess.run([createdb, name], env=login, capture_output=True, timeout=30, check=False)
            return done.returncode == 0

        assert all(eventually(lambda name=name: made(name), 60) for name in DATABASES)  # type: ignore[misc]
        yield f"debut:{PASSWORD}@127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)  # does not wait for clients
        server.wait(30)
        shutil.rmtree(folder)
