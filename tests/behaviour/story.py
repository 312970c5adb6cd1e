"""The loop operated by a team, on one machine: `make story`.

    python tests/behaviour/story.py [--folder DIR] [--keep]

Real servers (infra/up.sh: Prefect's server and worker, MLflow's, the service), a shop that was made for it
(other_words.py) and a double of Slack's Web API. In turn: a champion serves → windows of traffic without
drift → customers use other words → the monitor catches it → its event starts a retrain → the challenger
waits → Slack requests that are replayed or of the wrong role are refused → a signed approval promotes → the
service swaps without a failed request → rollback by chat → the decision log is verified. The last line is one
JSON object.
"""

import argparse
import json
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import other_words
from servers import REPO, environment, free_ports, prefect, say, wait

from components.chatops.dry_run import signed
from components.chatops.recorder import Recorder

DAYS_BEFORE, DAYS_AFTER, FASHION_FROM = 45, 60, 38
QUIET_WINDOWS, DRIFTED_WINDOWS, ASKED_PER_WINDOW = 3, 2, 400
APPROVER, READER = "U0APPROVER", "U0READER"
LOG_SECONDS = 1.0
SECRET = secrets.token_hex(16)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the servers end with us
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the shop is made; else a temporary folder")
    parser.add_argument(
        "--keep", action="store_true", help="leave the servers running until Enter is pressed"
    )
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="debut-story-"))
    started = time.monotonic()
    try:
        with Recorder(folder / "slack") as slack:
            figures = tell(folder, slack, chosen.keep)
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(json.dumps(figures | {"seconds": round(time.monotonic() - started, 1)}) + "\n")


def tell(folder: Path, slack: Recorder, keep: bool) -> dict[str, Any]:
    config = other_words.write_shop(
        folder,
        DAYS_BEFORE,
        promotion="review",
        monitoring={"new_item_days": other_words.JUDGE_DAYS},
        serving={"log_seconds": LOG_SECONDS, "poll_seconds": 0.5},
        chat={
            "roles": {APPROVER: "approver", READER: "reader"},
            "channel": "C0SEARCH",
            "api_url": slack.api_url,
        },
    )
    workspace = folder / "workspace"
    shop = Shop(config, workspace)
    say("A first retrain, approved on the command line")
    shop.debut("retrain")
    shop.debut("review", "approve", shop.waiting_run())
    first = shop.champion()
    with up(shop) as ports:
        service = Service(ports["DEBUT_PORT"])
        wait("the service", lambda: service.release() == first, 300)
        wait("the deployments", lambda: shop.deployed(ports), 300)
        with service.traffic(other_words.asked(DAYS_BEFORE, 1, 500, seed=9)) as traffic:
            alarms = watch_quiet_windows(shop, service, ports)
            say("The shop's files, two weeks later; customers begin to use other words")
            other_words.write_data(folder, DAYS_AFTER, FASHION_FROM)
            caught = watch_drift(shop, service, ports)
            say("The event starts a retrain; its challenger waits for a person")
            run_id = wait("the waiting challenger", shop.waiting_run, 600)
            requester = json.loads((shop.reviews / f"{run_id}.json").read_bytes())["requester"]
            wait("Prefect's form", lambda: shop.form(ports, run_id) == "PAUSED", 120)
            wrong_role = refused(service.command(READER, f"approve {run_id}"), "approver")
            approval = service.signed(APPROVER, f"approve {run_id}")
            service.post(*approval)
            replayed = service.post(*approval)[0] == 409
            wait("the swap", lambda: service.release() not in (None, first), 120)
            second = service.release()
            wait("the form's end", lambda: shop.form(ports, run_id) == "COMPLETED", 120)
            say("Rollback by chat")
            service.command(APPROVER, "rollback customers complain")
            wait("the swap back", lambda: service.release() == first, 120)
        verified = shop.debut("decisions", "verify")
        if keep:
            input(f"{ports} – Enter ends the story ")
    return {
        "drift_caught_windows": caught,
        "false_alarms": alarms,
        "requested_by": requester,
        "replay_refused": replayed,
        "wrong_role_refused": wrong_role,
        "served_digest_changed": second not in (None, first),
        "requests": traffic.answered,
        "failed_requests": traffic.failed,
        "rolled_back": shop.champion() == first,
        "decisions_ok": verified.returncode == 0,
        "chat_posts": len(slack.posts),
    }


def watch_quiet_windows(shop: "Shop", service: "Service", ports: dict[str, str]) -> int:
    """Alarms of windows without drift."""
    verdicts = []
    for number in range(QUIET_WINDOWS):
        queries = other_words.asked(DAYS_BEFORE, 1, ASKED_PER_WINDOW, seed=20 + number)
        verdicts.append(watch(shop, service, ports, queries))
    return verdicts.count("drift")


def watch_drift(shop: "Shop", service: "Service", ports: dict[str, str]) -> int | None:
    """Windows until the planted drift was caught; None where it was not."""
    for number in range(1, DRIFTED_WINDOWS + 1):
        queries = other_words.asked(DAYS_BEFORE, 2, ASKED_PER_WINDOW, seed=40 + number)
        if watch(shop, service, ports, queries) == "drift":
            return number
    return None


def watch(shop: "Shop", service: "Service", ports: dict[str, str], queries: Sequence[str]) -> str:
    """Asks the queries, then has the monitor's deployment judge that window; its verdict."""
    start = datetime.now(UTC)
    for query in queries:
        service.search(query)
    time.sleep(3 * LOG_SECONDS)
    known = set(shop.windows.glob("[0-9]*/drift.json"))
    window = {"start": start.isoformat(), "end": datetime.now(UTC).isoformat()}
    asked = shop.start(ports, "monitor", **window)

    def reported() -> set[Path]:
        # One monitor at a time: a run that the hourly schedule happens to be in the way of is cancelled.
        nonlocal asked
        if shop.state(ports, asked) == "CANCELLED":
            asked = shop.start(ports, "monitor", **window)
        return set(shop.windows.glob("[0-9]*/drift.json")) - known

    (report,) = wait("the window's report", reported, 180)
    told = json.loads(report.read_bytes())
    say(f"Window {report.parent.name}: {told['verdict']}; {told['sentence']}")
    return str(told["verdict"])


class Shop:
    def __init__(self, config: Path, workspace: Path) -> None:
        self.config = config
        self.workspace = workspace
        self.folder = workspace / "words"
        self.windows = self.folder / "monitoring" / "windows"
        self.reviews = self.folder / "decisions-reviews"

    def debut(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
        options = ["--config", str(self.config), "--workspace", str(self.workspace)]
        done = subprocess.run(
            [*command, *options], env=environment(), capture_output=True, text=True, check=False, cwd=REPO
        )
        if done.returncode:
            raise SystemExit(f"debut {' '.join(arguments)} failed: {done.stderr[-2_000:]}")
        return done

    def champion(self) -> str:
        return self._status()["champion"]

    def waiting_run(self) -> str | None:
        """The newest run whose challenger waits."""
        cases = sorted(self.reviews.glob("*.json"))
        records = [json.loads(path.read_bytes()) for path in self.folder.glob("decisions/*.json")]
        decided = {record["release"] for record in records}
        waiting = (json.loads(case.read_bytes()) for case in reversed(cases))
        return next((case["run_id"] for case in waiting if case["release"] not in decided), None)

    def deployed(self, ports: dict[str, str]) -> bool:
        try:
            return bool(prefect(ports["DEBUT_PREFECT_PORT"], "GET", "/deployments/name/review/words"))
        except OSError:
            return False

    def form(self, ports: dict[str, str], run_id: str) -> str | None:
        """State of the run that waits for Prefect's form."""
        named = {"flow_runs": {"name": {"any_": [f"review {run_id}"]}}}
        runs = prefect(ports["DEBUT_PREFECT_PORT"], "POST", "/flow_runs/filter", named)
        return runs[0]["state_type"] if runs else None

    def start(self, ports: dict[str, str], job: str, **parameters: str) -> str:
        """Id of the run."""
        port = ports["DEBUT_PREFECT_PORT"]
        found = prefect(port, "GET", f"/deployments/name/{job}/words")
        path = f"/deployments/{found['id']}/create_flow_run"
        return str(prefect(port, "POST", path, {"parameters": parameters})["id"])

    def state(self, ports: dict[str, str], run: str) -> str:
        return str(prefect(ports["DEBUT_PREFECT_PORT"], "GET", f"/flow_runs/{run}")["state_type"])

    def _status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.debut("status", "--json").stdout.splitlines()[-1])
        return told


class Service:
    """The service as its customers and Slack see it."""

    def __init__(self, port: str) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def release(self) -> str | None:
        try:
            return json.loads(self._get("/healthz"))["release"]
        except OSError:
            return None

    def search(self, query: str) -> None:
        self._get(f"/search?q={quote(query)}")

    def command(self, user: str, text: str) -> tuple[int, str]:
        return self.post(*self.signed(user, text))

    def signed(self, user: str, text: str) -> tuple[bytes, dict[str, str]]:
        """A slash command as Slack sends it."""
        form = {
            "command": "/debut",
            "text": text,
            "user_id": user,
            "channel_id": "C0SEARCH",
            "team_id": "T0SHOP",
            "trigger_id": secrets.token_hex(8),
            "response_url": f"{self._url}/nowhere",
        }
        body = urlencode(form).encode()
        return body, signed(body, SECRET)

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        request = urllib.request.Request(f"{self._url}/chat/slack", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @contextmanager
    def traffic(self, queries: Sequence[str]) -> Iterator["Traffic"]:
        """A customer who searches all the time."""
        traffic = Traffic(self, queries)
        traffic.start()
        try:
            yield traffic
        finally:
            traffic.stop()

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"{self._url}{path}", timeout=10) as answer:
            return bytes(answer.read())


class Traffic(threading.Thread):
    """By /similar, an entrance that the monitor does not compare: its windows are what else is asked."""

    def __init__(self, service: Service, queries: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self._service, self._queries = service, queries
        self._stopping = threading.Event()
        self.answered = self.failed = 0

    def run(self) -> None:
        while not self._stopping.wait(0.05):
            number = (self.answered + self.failed) % len(self._queries)
            try:
                self._service._get(f"/similar/i{number:03d}?k=5")
                self.answered += 1
            except OSError as error:
                self.failed += 1
                say(f"a request failed: {error}")

    def stop(self) -> None:
        self._stopping.set()
        self.join()


@contextmanager
def up(shop: Shop) -> Iterator[dict[str, str]]:
    """`make up`, on free ports."""
    names = ("DEBUT_PORT", "DEBUT_PREFECT_PORT", "DEBUT_MLFLOW_PORT", "DEBUT_WORKER_PORT")
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    values = (
        environment()
        | ports
        | {
            "DEBUT_CONFIG": str(shop.config),
            "DEBUT_WORKSPACE": str(shop.workspace),
            "DEBUT_SLACK_SIGNING_SECRET": SECRET,
            "DEBUT_SLACK_BOT_TOKEN": "xoxb-story",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }
    )
    log = (shop.folder / "up.log").open("w")
    servers = subprocess.Popen(
        ["sh", "infra/up.sh"],
        cwd=REPO,
        env=values,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield ports
    except BaseException:
        sys.stderr.write((shop.folder / "up.log").read_text()[-6_000:])
        raise
    finally:
        servers.send_signal(signal.SIGTERM)
        servers.wait(60)
        log.close()


def refused(answer: tuple[int, str], reason: str) -> bool:
    """Slack shows the body of a 200; the refusal is a sentence in it."""
    say(f"the wrong role is told: {answer}")
    return answer[0] == 200 and reason in answer[1]


if __name__ == "__main__":
    main()
