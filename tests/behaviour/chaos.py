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
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml
from chaos_servers import ZOMBIE_SECONDS, Servers, fetched, is_rank, works
from servers import prefect, say, wait

CHECK, EPOCH, REGISTER, PROMOTE, SWAP = (
    "data check",
    "mid-epoch",
    "candidate-register",
    "register-promote",
    "promote-swap",
)
LONG_TRAINING = {"max_epochs": 40, "patience": 40, "checkpoint_every_steps": 20}
"""Ten seconds and more, so that a rank which trains on without its launcher is seen."""
ORPHAN_SECONDS = 60
"""A free core needs one or two."""
BOUNDARIES = (CHECK, EPOCH, REGISTER, PROMOTE, SWAP)
CASES = (
    *(("worker", boundary) for boundary in BOUNDARIES),
    *(("prefect", boundary) for boundary in BOUNDARIES),
    *(("mlflow", boundary) for boundary in BOUNDARIES),
    ("rank", EPOCH),
    ("service", SWAP),
)


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


class Case:
    """One kill, in a shop of its own: the same files and the same first champion under another name."""

    def __init__(self, servers: Servers, number: int, victim: str, boundary: str) -> None:
        self.servers, self.victim, self.boundary = servers, victim, boundary
        self.name = f"words{number}"
        self.config = servers.folder / f"{self.name}.yaml"
        settings = yaml.safe_load(servers.config.read_text()) | {"shop": self.name}
        if boundary == EPOCH:
            settings["training"] |= LONG_TRAINING
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
        at_once = self.after_death() if self.victim == "worker" else {"orphan_ranks": 0, "lock_held": 0}
        if self.victim != "rank":
            self.serve() if self.victim == "service" else servers.restart(self.victim)
        wait("the end of the killed run's processes", lambda: not self.processes(), 300)
        outcome = self.invariants() | at_once
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
            with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
                process.suspend()
        return stopped

    def kill(self) -> None:
        if self.victim == "rank":
            self.ranks()[0].kill()
            return
        self.servers.kill(self.victim)

    def after_death(self) -> dict[str, int]:
        """The launcher died with the worker. Its ranks end by themselves: none is left, and none has trained
        on until its end, when it would leave a result; and the shop's lock is free."""
        ends = time.monotonic() + ORPHAN_SECONDS
        while (self.ranks() or self.lock_is_held()) and time.monotonic() < ends:
            time.sleep(0.2)
        orphans = len(self.ranks())
        if self.boundary == EPOCH:
            orphans += len(list(self.workspace.glob("stages/train-*.attempts/attempts/*/result.json")))
        return {"orphan_ranks": orphans, "lock_held": int(self.lock_is_held())}

    def invariants(self) -> dict[str, Any]:
        """What holds after the run's end and before the next run."""
        champion = self.champion()
        return {
            "champion": "old" if champion == self.first else "new",
            "half_promoted": int(not self.whole()),
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
        wait("the service", lambda: self.served() is not None, 300)

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
        """Some steps of the training are done."""
        return any(self.workspace.glob("stages/train-*.attempts/attempts/*/checkpoints/step-*.ckpt"))

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
        return [one for one in found if works(one)]

    def ranks(self) -> list[psutil.Process]:
        return [one for one in self.processes() if is_rank(one)]

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


if __name__ == "__main__":
    main()
