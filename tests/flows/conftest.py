"""A tiny shop in files, `debut` in a process of its own and in this one, and one finished retrain."""

import csv
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml
from rich.console import Console

if TYPE_CHECKING:
    from flows.shop import Shop

START = datetime(2026, 1, 5)
DAYS, WINDOW = 56, 14
COLOURS = ["red", "blue", "green"]
MATERIALS = ["oak", "steel", "glass", "cotton"]
THINGS = ["table", "lamp", "mug", "towel", "hammer", "drill", "bracket", "chair", "angle", "garden"]
BAD_ITEMS = 3
LONG_TITLE = "oak " * 25_000
"""100 kB."""

ITEMS_SQL = """
SELECT sku AS item_id, name AS title, maker AS brand, shelf AS category, TRY_CAST(price AS DOUBLE) AS price,
  TRY_CAST(listed AS TIMESTAMP) AS listed_at, source_file, source_row
FROM feed
"""
TASK_FILE = """
# A shop's own task: nothing but this file and its name in debut.yaml.
name: thing
says: Kind of thing that an item is
rows: |
  SELECT item_id, title,
    CASE WHEN item_id NOT LIKE 'i0_7' THEN trim(split_part(category, '>', 2)) END AS target
  FROM items
text: [title]
head: classification
loss: contrastive
self_training: 0.8
policy: {min_rows: 20}
"""
KNOWLEDGE_FILE = """
synonyms:
  - [mug, beaker]
rules:
  - {words: [rocky], brand: Stone}
"""
EVENTS_SQL = """
SELECT happened AS at, action AS kind, sku AS item_id, customer AS user_id, query, source_file, source_row
FROM log
"""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def sentence(self) -> str:
        """The error as the user reads it: the only line of stderr."""
        [line] = self.err.splitlines()
        return line.removeprefix("error: ")


Command = Callable[..., Outcome]


@dataclass(frozen=True)
class TinyShop:
    """A shop's folder with its debut.yaml, and the workspace that runs leave."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "debut.yaml"

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace" / "tiny"

    @property
    def arguments(self) -> list[str]:
        return ["--config", str(self.config), "--workspace", str(self.workspace.parent)]

    def configure(self, **changes: Any) -> None:
        """Replaces sections of debut.yaml."""
        settings = yaml.safe_load(self.config.read_text()) | changes
        self.config.write_text(yaml.safe_dump(settings, sort_keys=False))

    def decisions(self) -> list[str]:
        return sorted(path.name for path in (self.workspace / "decisions").glob("*"))

    def left_over(self) -> list[str]:
        """What an interrupted write would leave: temporary folders and files of stages and candidates."""
        hidden = [*self.workspace.glob("stages/.*"), *self.workspace.glob("candidates/.*")]
        return sorted(path.name for path in hidden)


def item_rows() -> list[dict[str, str]]:
    """120 items, three a day after the first 16 days; then three bad rows: a repeated id, a NaN, 100 kB."""
    names = [(c, m, t) for c in COLOURS for m in MATERIALS for t in THINGS]
    random.Random(1).shuffle(names)
    rows = [
        {
            "sku": f"i{number:03d}",
            "name": " ".join(name),
            "maker": "stone" if number % 3 else "garden",
            "shelf": f"home > {name[2]}",
            "price": f"{5 + number % 40}.50",
            "listed": f"{START + timedelta(days=max(0, number // 3 + 16 - 2)):%Y-%m-%d}"
            if number >= 45
            else "",
        }
        for number, name in enumerate(names)
    ]
    bad = [{"sku": "i007", "name": "a second i007"}, {"price": "nan"}, {"name": LONG_TITLE}]
    return rows + [rows[0] | {"sku": f"bad{number}"} | row for number, row in enumerate(bad)]


def event_rows(items: list[dict[str, str]]) -> pl.DataFrame:
    """A day's clicks on "colour thing" and "material thing" searches, and its purchases, by 40 users."""
    draw = random.Random(2)
    rows = []
    for day in range(DAYS):
        today = START + timedelta(days=day)
        stock = [row for row in items if not row["listed"] or row["listed"] <= f"{today:%Y-%m-%d}"]
        for number in range(24):
            # The newest items are asked for more often, so that small windows hold new items.
            item = draw.choice(stock[-24:] if number % 2 else stock)
            colour, material, thing = item["name"].split()
            search = number % 3 != 0
            rows.append(
                {
                    "happened": today + timedelta(minutes=10 * number + 5),
                    "action": "search_click" if search else "purchase",
                    "sku": item["sku"],
                    "customer": f"u{draw.randrange(40):02d}",
                    "query": f"{draw.choice([colour, material])} {thing}" if search else None,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def settings_of(encoder: Path) -> dict[str, Any]:
    return {
        "shop": "tiny",
        "sources": {"feed": {"path": "items.csv"}, "log": {"path": "events.parquet"}},
        "tables": {"items": ITEMS_SQL, "events": EVENTS_SQL},
        "split": {"judge_window_days": WINDOW},
        "augment": {"hard_negatives": 1, "mining_depth": 10},
        "encoder": {"name": str(encoder), "item_fields": ["title", "brand"], "max_length": 32},
        "training": {
            "max_epochs": 1,
            "batch_size": 16,
            "max_pairs": 160,
            "validation_items": 100,
            "history_length": 2,
            "precision": "fp32",
        },
        "gate": {"resamples": 500},
        "tracking": {"system_metrics": False},
    }


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_shop(
    folder: Path, encoder: Path, tasks: tuple[str, ...] = (), learned: str | None = None
) -> TinyShop:
    folder.mkdir(parents=True, exist_ok=True)
    rows = item_rows()
    write_csv(folder / "items.csv", rows)
    event_rows(rows[:-BAD_ITEMS]).write_parquet(folder / "events.parquet")
    (folder / "thing.yaml").write_text(TASK_FILE)
    (folder / "knowledge.yaml").write_text(KNOWLEDGE_FILE)
    settings = settings_of(encoder) | {"tasks": list(tasks)}
    if learned:
        settings["retrieval"] = {"history_encoders": ["gru", learned], "history_scoring": learned}
    (folder / "debut.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    return TinyShop(folder)


@pytest.fixture
def tiny_shop(tmp_path: Path, tiny_encoder: Path) -> TinyShop:
    return write_shop(tmp_path / "shop", tiny_encoder)


def run_process(*arguments: str, before: str = "", **environment: str) -> Outcome:
    """`debut …` as a process of its own; `before` is Python that runs first."""
    names = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    names |= {"COLUMNS": "120", "DEBUT_ACTOR": "tester"} | environment
    command = [sys.executable, "-c", f"{before}\nfrom flows.cli import main; main()", *arguments]
    done = subprocess.run(command, env=names, capture_output=True, text=True, timeout=900, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def debut_process() -> Callable[..., Outcome]:
    """`debut` with these arguments, in a process of its own, as a user starts it."""
    return run_process


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> tuple[TinyShop, Outcome]:
    """The shop after one `debut retrain --json` with the embedded server. Tests that change the workspace
    take `workspace_copy`."""
    shop = write_shop(tmp_path_factory.mktemp("finished"), tiny_encoder, ("thing.yaml", "price"), "attention")
    shop.configure(knowledge="knowledge.yaml")
    outcome = run_process("retrain", *shop.arguments, "--json")
    assert outcome.code == 0, outcome.err
    return shop, outcome


@pytest.fixture
def retrained(finished: tuple[TinyShop, Outcome], tmp_path: Path, tiny_encoder: Path) -> TinyShop:
    """A copy of the shop and its workspace after one retrain, to change."""
    shop = TinyShop(tmp_path / "shop")
    without_server = shutil.ignore_patterns("prefect")
    shutil.copytree(finished[0].folder, shop.folder, ignore=without_server)
    return shop


@pytest.fixture
def debut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """`debut` with these arguments in this process, for commands that start no server."""
    from flows import cli

    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("DEBUT_ACTOR", "tester")
    monkeypatch.setattr(cli.console, "_console", Console(highlight=False, quiet=True))

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["debut", *map(str, arguments)])
        capsys.readouterr()
        try:
            cli.main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
        told = capsys.readouterr()
        return Outcome(code, told.out, told.err)

    yield run
    signal.signal(signal.SIGTERM, handler)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a `prefect server start` on loopback."""
    from flows.embedded import prepare_environment

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = dict(os.environ)
    prepare_environment(debug=False)
    names = os.environ | {"PREFECT_HOME": str(tmp_path_factory.mktemp("prefect-server"))}
    os.environ.clear()
    os.environ.update(before)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=names, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield _healthy(server, f"http://127.0.0.1:{port}/api")
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # asked to end, it would wait for its clients
        server.wait()


def _healthy(server: subprocess.Popen[bytes], url: str) -> str:
    for _ in range(240):
        try:
            with urllib.request.urlopen(f"{url}/health"):
                return url
        except OSError:
            assert server.poll() is None, "prefect server start has ended"
            time.sleep(0.5)
    raise AssertionError("prefect server start was not ready within two minutes")


@pytest.fixture
def connected(
    debut: Command, prefect_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """`debut` in this process for commands that run a flow, on the loopback server."""
    from flows.embedded import prepare_environment

    # Prefect's console handler keeps the stderr of the first test that it wrote in, which is closed by now.
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setenv("PREFECT_API_URL", prefect_url)
    prepare_environment(debug=False)
    from prefect import settings

    updates = {
        settings.PREFECT_API_URL: prefect_url,
        settings.PREFECT_HOME: str(tmp_path / "prefect"),
        settings.PREFECT_LOGGING_LEVEL: "CRITICAL",
    }
    with settings.temporary_settings(updates):
        yield debut


@pytest.fixture
def waiting(retrained: TinyShop) -> "Shop":
    """The shop whose refused challenger is taken for one that passed its gates in the run
    20990101-000000-review, and waits."""
    from components.contract.digests import canonical_json
    from flows.acts import report_of_run
    from flows.shop import open_shop

    shop = open_shop(str(retrained.config), None, str(retrained.workspace.parent))
    report = json.loads(next(shop.runs.glob("*/gate_report.json")).read_bytes()) | {"verdict": "PROMOTE"}
    for gate in report["gates"]:
        gate["outcome"] = "pass"
    # A run of its own: the first one is settled, by the refusal in the log.
    run = shop.runs / "20990101-000000-review"
    run.mkdir()
    (run / "gate_report.json").write_bytes(canonical_json(report))
    opened = report_of_run(shop, run.name)
    shop.reviews().open(run.name, "tiny", opened, days=7, requester="anna", because="a new season")
    return shop


@pytest.fixture
def served_and_taken_back(connected: Command) -> Callable[[TinyShop, dict[str, Any]], None]:
    """Promotes a retrain's challenger by hand, asks the service, which answers by it, and rolls back."""

    def act(shop: TinyShop, result: dict[str, Any]) -> None:
        from fastapi.testclient import TestClient

        from flows.serving import shop_app
        from flows.shop import open_shop

        reason = ["--reason", "to see it serve"]
        override = ["--override", "--role", "lead", *reason]
        promoted = connected("promote", result["challenger_digest"], *shop.arguments, *override)
        assert promoted.code == 0, promoted.err
        opened = open_shop(str(shop.config), None, str(shop.workspace.parent))
        with TestClient(shop_app(opened, anonymous_read=True)) as client:
            answer = client.get("/search", params={"q": "oak lamp"}).json()
        assert answer["release"] == result["challenger_digest"]
        assert len(answer["results"]) > 0
        assert connected("rollback", *shop.arguments, *reason).code == 0
        assert opened.decision_log().champion() == result["champion_digest"]

    return act
