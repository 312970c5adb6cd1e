"""The servers that `make chaos` kills and starts again."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import other_words
import psutil
from servers import REPO, environment, free_ports, wait

ZOMBIE_SECONDS = 90
DAYS_BEFORE, DAYS_AFTER, FASHION_FROM = 45, 60, 38


class Servers:
    """Prefect's server and worker, MLflow's server and a service, each to be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefect_port, self.mlflow_port, self.service_port = map(str, free_ports(3))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = environment() | {
            "PREFECT_API_URL": f"http://127.0.0.1:{self.prefect_port}/api",
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
            "DEBUT_ZOMBIE_SECONDS": str(ZOMBIE_SECONDS),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def prepare(self) -> None:
        """A first champion, the data of the second retrain, and all servers."""
        mlflow = f"http://127.0.0.1:{self.mlflow_port}"
        self.config = other_words.write_shop(
            self.folder, DAYS_BEFORE, tracking={"uri": mlflow, "system_metrics": False}
        )
        self.start("mlflow")
        wait("MLflow", lambda: answers(f"{mlflow}/health"), 300)
        self.debut("retrain", "--config", str(self.config), "--workspace", str(self.folder / "ws"))
        other_words.write_data(self.folder, DAYS_AFTER, FASHION_FROM)
        self.start("prefect")
        wait("Prefect", self.prefect_answers, 300)
        options = ["--config", str(self.config), "--workspace", str(self.folder / "ws")]
        self.debut("deploy", *options, "--infra", str(REPO / "infra"), on_server=True)
        self.start("worker")

    def command(self, name: str) -> list[str]:
        python = [sys.executable, "-m"]
        local = ["--host", "127.0.0.1", "--port"]
        return {
            "prefect": [*python, "prefect", "server", "start", *local, self.prefect_port],
            "worker": [*python, "prefect", "worker", "start", "--pool", "debut-process", "--type", "process"],
            "mlflow": [
                *(*python, "mlflow", "server", *local, self.mlflow_port, "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"),
                *("--artifacts-destination", str(self.folder / "mlartifacts")),
            ],
        }[name]

    def start(self, name: str, command: list[str] | None = None) -> None:
        (self.folder / "logs").mkdir(exist_ok=True)
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command or self.command(name),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """SIGKILL to the process and what it started, but for ranks: they must see by themselves that who
        started them is gone."""
        process = psutil.Process(self.processes[name].pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                if not is_rank(one):
                    one.kill()
        self.processes[name].wait()

    def restart(self, name: str) -> None:
        self.start(name)
        if name == "prefect":
            wait("Prefect again", self.prefect_answers, 300)
        if name == "mlflow":
            wait("MLflow again", lambda: answers(f"http://127.0.0.1:{self.mlflow_port}/health"), 300)

    def debut(self, *arguments: str, on_server: bool = False) -> str:
        names = self.environment if on_server else environment()
        done = subprocess.run(
            [sys.executable, "-c", "from flows.cli import main; main()", *arguments],
            env=names,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
        )
        if done.returncode:
            raise SystemExit(f"debut {' '.join(arguments)}: {done.stderr[-2_000:]}")
        return done.stdout

    def prefect_answers(self) -> bool:
        return answers(f"http://127.0.0.1:{self.prefect_port}/api/health")

    def flow_processes(self) -> list[psutil.Process]:
        """What the worker started: the processes of runs."""
        try:
            return psutil.Process(self.processes["worker"].pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def show_logs(self) -> None:
        for path in sorted((self.folder / "logs").glob("*.log")):
            sys.stderr.write(f"--- {path.name}\n{path.read_text(errors='replace')[-3_000:]}\n")

    def stop(self) -> None:
        for name, process in self.processes.items():
            if process.poll() is None:
                self.kill(name)


def is_rank(process: psutil.Process) -> bool:
    """Whether this process trains."""
    try:
        return "components.training" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def works(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def answers(url: str) -> bool:
    return fetched(url) is not None


def fetched(url: str) -> Any | None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = answer.read()
    except (urllib.error.URLError, OSError):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return {"text": body.decode(errors="replace")}
