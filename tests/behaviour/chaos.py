"""Kills in the middle of a retrain: `make chaos`.

    python tests/behaviour/chaos.py [--only VICTIM:BOUNDARY …]

Real servers and a shop whose retrain ends with PROMOTE (other_words.py). At each boundary of the loop the
run's processes are stopped (SIGSTOP), a victim is killed with SIGKILL, and the others go on; a killed server
is started again. Then: the champion is the old or the new release and whole, the decision log verifies, no
rank trains on, no lock is held, and the next run ends with the new champion. The last line is a JSON object.
"""

import argparse
import fcntl
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import other_words
import psutil
import yaml
from servers import REPO, environment, free_ports, prefect, say, wait

CHECK, EPOCH, REGISTER, PROMOTE, SWAP = (
    "data check",
    "mid-epoch",
    "candidate-register",
    "register-promote",
    "promote-swap",
)
BOUNDARIES = (CHECK, EPOCH, REGISTER, PROMOTE, SWAP)
CASES = (
    *(("worker", boundary) for boundary in BOUNDARIES),
    *(("prefect", boundary) for boundary in BOUNDARIES),
    *(("mlflow", boundary) for boundary in BOUNDARIES),
    ("rank", EPOCH),
    ("service", SWAP),
)
ZOMBIE_SECONDS = 90
DAYS_BEFORE, DAYS_AFTER, FASHION_FROM = 45, 60, 38


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with us
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="cases, as victim:boundary; else all")
    chosen = parser.parse_args().only
    cases = [tuple(one.split(":")) for one in chosen] if chosen else CASES
    started, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="debut-chaos-") as folder:
        servers = Servers(Path(folder))
        try:
            servers.prepare()
            for number, (victim, boundary) in enumerate(cases, start=1):
                outcomes.append(Case(servers, number, victim, boundary).play())
                say(json.dumps(outcomes[-1]))
        except BaseException:
            servers.show_logs()
            raise
        finally:
            servers.stop()
    sys.stdout.write(json.dumps(summary(outcomes) | {"seconds": round(time.monotonic() - started, 1)}) + "\n")


def summary(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kills": len(outcomes),
        "half_promoted": sum(one["half_promoted"] for one in outcomes),
        "next_run_ok": all(one["next_run_ok"] for one in outcomes),
        "orphan_ranks": sum(one["orphan_ranks"] for one in outcomes),
        "locks_held": sum(one["lock_held"] for one in outcomes),
        "zombies_crashed": sum(one["zombie_crashed"] for one in outcomes),
        "cases": outcomes,
    }


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
        wait("MLflow", lambda: answers(f"{mlflow}/health"), 120)
        self.debut("retrain", "--config", str(self.config), "--workspace", str(self.folder / "ws"))
        other_words.write_data(self.folder, DAYS_AFTER, FASHION_FROM)
        self.start("prefect")
        wait("Prefect", self.prefect_answers, 120)
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
            if "components.training" not in " ".join(one.cmdline()):
                one.kill()
        self.processes[name].wait()

    def restart(self, name: str) -> None:
        self.start(name)
        if name == "prefect":
            wait("Prefect again", self.prefect_answers, 120)
        if name == "mlflow":
            wait("MLflow again", lambda: answers(f"http://127.0.0.1:{self.mlflow_port}/health"), 120)

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


class Case:
    """One kill, in a shop of its own: the same files and the same first champion under another name."""

    def __init__(self, servers: Servers, number: int, victim: str, boundary: str) -> None:
        self.servers, self.victim, self.boundary = servers, victim, boundary
        self.name = f"words{number}"
        self.config = servers.folder / f"{self.name}.yaml"
        settings = yaml.safe_load(servers.config.read_text()) | {"shop": self.name}
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False))
        self.workspace = servers.folder / "ws" / self.name
        shutil.copytree(
            servers.folder / "ws" / "words",
            self.workspace,
            ignore=shutil.ignore_patterns("prefect", "stages"),
        )
        self.first = self.champion()
        self.candidates = self.candidate_folders()
        self.decisions = self.decision_count()

    def play(self) -> dict[str, Any]:
        say(f"{self.victim} at {self.boundary}")
        servers = self.servers
        if self.boundary == SWAP:
            self.serve()
        run = self.start_run()
        stopped = self.stop_at_boundary()
        self.kill()
        for process in stopped:
            resume(process)
        if self.victim != "rank":
            self.serve() if self.victim == "service" else servers.restart(self.victim)
        wait("the end of the killed run's processes", lambda: not self.processes(), 300)
        outcome = self.invariants()
        outcome["zombie_crashed"] = self.free_slot(run)
        again = self.start_run()
        state = wait("the next run", lambda: self.final_state(again), 400)
        outcome["next_run_ok"] = state == "COMPLETED" and self.champion() != self.first and self.whole()
        if self.boundary == SWAP:
            wait("the swap", lambda: self.served() == self.champion(), 60)
            servers.kill("service")
        return {"victim": self.victim, "boundary": self.boundary} | outcome

    def stop_at_boundary(self) -> list[psutil.Process]:
        """Waits for the boundary and stops the run's processes there."""
        reached = {
            CHECK: lambda: any(self.workspace.glob("stages/.check-*")),
            EPOCH: self.has_trained,
            REGISTER: lambda: len(self.candidate_folders()) > len(self.candidates),
            PROMOTE: lambda: self.versions() > 0,
            SWAP: lambda: self.decision_count() > self.decisions,
        }[self.boundary]
        self.poll(reached, 300)
        stopped = self.servers.flow_processes()
        for process in stopped:
            process.suspend()
        return stopped

    def kill(self) -> None:
        if self.victim == "rank":
            ranks = [one for one in self.processes() if "components.training" in " ".join(one.cmdline())]
            ranks[0].kill()
            return
        self.servers.kill(self.victim)

    def invariants(self) -> dict[str, Any]:
        """What holds while nothing has been repaired."""
        champion = self.champion()
        return {
            "champion": "old" if champion == self.first else "new",
            "half_promoted": int(not self.whole()),
            "orphan_ranks": len(self.processes()),
            "lock_held": int(self.lock_is_held()),
        }

    def whole(self) -> bool:
        """The decision log verifies and the champion's files are its digest's."""
        options = ["--config", str(self.config), "--workspace", str(self.servers.folder / "ws")]
        try:
            self.servers.debut("decisions", "verify", *options)
            self.servers.debut("release", "verify", *options)
        except SystemExit as error:
            say(str(error))
            return False
        return True

    def free_slot(self, run: str) -> int:
        """A run that died with its worker is Running for Prefect until the zombie automation sees it."""
        if self.final_state(run):
            return 0
        say(f"the run's state is {self.state(run)}: waiting for the automation")
        wait("the dead run's end", lambda: self.final_state(run), 3 * ZOMBIE_SECONDS)
        return int(self.final_state(run) == "CRASHED")

    def start_run(self) -> str:
        port = self.servers.prefect_port
        found = prefect(port, "GET", "/deployments/name/retrain/words")
        values = {
            "config": str(self.config),
            "workspace": str(self.servers.folder / "ws"),
            "because": "chaos",
        }
        path = f"/deployments/{found['id']}/create_flow_run"
        return str(prefect(port, "POST", path, {"parameters": values, "name": self.name})["id"])

    def state(self, run: str) -> str:
        return str(prefect(self.servers.prefect_port, "GET", f"/flow_runs/{run}")["state_type"])

    def final_state(self, run: str) -> str | None:
        state = self.state(run)
        return state if state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

    def serve(self) -> None:
        self.servers.start(
            "service",
            [
                *(sys.executable, "-c", "from flows.cli import main; main()", "serve"),
                *("--config", str(self.config), "--workspace", str(self.servers.folder / "ws")),
                *("--port", self.servers.service_port),
            ],
        )
        wait("the service", lambda: self.served() is not None, 120)

    def served(self) -> str | None:
        found = fetched(f"http://127.0.0.1:{self.servers.service_port}/healthz")
        return found["release"] if found else None

    def champion(self) -> str | None:
        """By the decision log's files alone."""
        kinds = ("promotion", "override", "rollback")
        records = [json.loads(path.read_bytes()) for path in sorted(self.workspace.glob("decisions/*.json"))]
        return next((one["release"] for one in reversed(records) if one["kind"] in kinds), None)

    def candidate_folders(self) -> set[str]:
        return {path.name for path in self.workspace.glob("candidates/[0-9a-f]*") if path.is_dir()}

    def decision_count(self) -> int:
        return len(list(self.workspace.glob("decisions/*.json")))

    def has_trained(self) -> bool:
        """Some steps of an epoch are done."""
        lines = self.workspace.glob("stages/train-*.attempts/attempts/*/metrics.jsonl")
        return any(
            '"kind": "step"' in path.read_text() or '"kind":"step"' in path.read_text() for path in lines
        )

    def versions(self) -> int:
        """Of this shop's model in MLflow's database."""
        with sqlite3.connect(f"file:{self.servers.folder / 'mlflow.db'}?mode=ro", uri=True) as database:
            query = "SELECT count(*) FROM model_versions WHERE name = ?"
            return int(database.execute(query, [self.name]).fetchone()[0])

    def processes(self) -> list[psutil.Process]:
        """Everything that still works for this shop's retrains: runs and ranks."""
        found = self.servers.flow_processes()
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.workspace) in part for part in process.info["cmdline"] or ()):
                found.append(process)
        return [one for one in found if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    def lock_is_held(self) -> bool:
        path = self.workspace / "retrain.lock"
        if not path.exists():
            return False
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def poll(self, reached: Callable[[], bool], seconds: float) -> None:
        """Without a pause: a boundary lasts milliseconds."""
        end = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > end:
                raise SystemExit(f"{self.boundary} was not reached within {seconds:g} s")
            time.sleep(0.002)
        say(f"{self.boundary}: reached")


def resume(process: psutil.Process) -> None:
    try:
        process.resume()
    except psutil.NoSuchProcess:
        say(f"process {process.pid} went with the victim")


def answers(url: str) -> bool:
    return fetched(url) is not None


def fetched(url: str) -> Any | None:
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            body = answer.read()
    except (urllib.error.URLError, OSError):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return {"text": body.decode(errors="replace")}


if __name__ == "__main__":
    main()
