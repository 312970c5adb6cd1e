"""A tiny shop in files, the command line in a process of its own and in this one, and one finished retrain."""

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

START = datetime(2026, 1, 5)
DAYS, WINDOW = 56, 14
COLOURS = "red blue green".split()
MATERIALS = "oak steel glass cotton".split()
THINGS = "table lamp mug towel hammer drill bracket chair angle garden".split()
BAD_ITEMS = 3
LONG_TITLE = "oak " * 25_000
"""100 kB."""

ITEMS_SQL = """
SELECT sku AS item_id, name AS title, maker AS brand, shelf AS category, TRY_CAST(price AS DOUBLE) AS price,
  TRY_CAST(listed AS TIMESTAMP) AS listed_at, source_file, source_row
FROM feed
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
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        """The last line of stdout."""
        return json.loads(self.out.splitlines()[-1])

    @property
    def sentence(self) -> str:
        """The error as the user reads it, line breaks of the terminal taken out."""
        return " ".join(self.err.split())


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
            "listed": f"{START + timedelta(days=max(0, number // 3 + 16 - 2)):%Y-%m-%d}" if number >= 45 else "",
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


def write_shop(folder: Path, encoder: Path) -> TinyShop:
    folder.mkdir(parents=True, exist_ok=True)
    rows = item_rows()
    write_csv(folder / "items.csv", rows)
    event_rows(rows[:-BAD_ITEMS]).write_parquet(folder / "events.parquet")
    (folder / "debut.yaml").write_text(yaml.safe_dump(settings_of(encoder), sort_keys=False))
    return TinyShop(folder)


@pytest.fixture
def tiny_shop(tmp_path: Path, tiny_encoder: Path) -> TinyShop:
    return write_shop(tmp_path / "shop", tiny_encoder)


def run_process(*arguments: str, **environment: str) -> Outcome:
    """`debut …` as a process of its own; a variable given as "" is taken out of its environment."""
    names = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    names |= {"COLUMNS": "120", "DEBUT_ACTOR": "tester"} | environment
    command = [sys.executable, "-c", "from flows.cli import main; main()", *arguments]
    started = time.monotonic()
    done = subprocess.run(command, env=names, capture_output=True, text=True, timeout=240, check=False)
    return Outcome(done.returncode, done.stdout, done.stderr, time.monotonic() - started)


@pytest.fixture(scope="session")
def process() -> Callable[..., Outcome]:
    return run_process
