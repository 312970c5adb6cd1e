"""A small split with descriptions, queries and reviews, some of them of items that are held out."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from components.contract.pretraining import PretrainingSettings

COLOURS = ("red", "blue", "green", "steel", "oak", "glass")
THINGS = ("chair", "table", "lamp", "mug", "towel", "hammer", "drill", "bracket")
MEANS = dict(
    zip(
        (*COLOURS, *THINGS),
        ("small", "large", "folding", "solid", "soft", "outdoor", "garden", "kitchen", "angle", "cotton",
         "with", "for", "of", "to"),
        strict=True,
    )
)  # fmt: skip
"""A description says a title in other words."""
UNTIL = datetime(2026, 3, 1)
FIELDS = ("title", "brand")


@dataclass(frozen=True)
class Text:
    """Folders of the split and of the checked tables."""

    split: Path
    checked: Path


def _items() -> pl.DataFrame:
    """Drills are new in validation, brackets in the test; one old item has a new item's description."""
    titles = [f"{colour} {thing}" for thing in THINGS for colour in COLOURS]
    things = [title.split()[1] for title in titles]
    descriptions = [f"a {MEANS[colour]} one, {MEANS[thing]}" for colour, thing in map(str.split, titles)]
    descriptions[0] = descriptions[-1]
    new = [thing == "bracket" for thing in things]
    validation = [thing == "drill" for thing in things]
    return pl.DataFrame(
        {
            "item_id": [f"i{number:02}" for number in range(len(titles))],
            "title": titles,
            "brand": ["stone"] * len(titles),
            "description": descriptions,
            "group": [f"i{number:02}" for number in range(len(titles))],
            "is_new": new,
            "is_validation_new": validation,
            "trainable": [not a and not b for a, b in zip(new, validation, strict=True)],
        }
    )


def _requests(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"entrance": ["search"] * len(texts), "request_id": texts, "text": texts})


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    folder = tmp_path_factory.mktemp("text")
    split, checked = folder / "split", folder / "checked"
    for path in (split / "train", split / "validation", split / "test", checked):
        path.mkdir(parents=True)
    items = _items()
    items.write_parquet(split / "items.parquet")
    dates = dict.fromkeys(("validation_cutoff", "cutoff"), UNTIL.isoformat())
    (split / "split.json").write_text(json.dumps(dates))
    queries = [f"{thing} in {colour}" for thing in THINGS[:6] for colour in COLOURS]
    pl.DataFrame({"query": [*queries, "judged in test", "judged in validation"]}).write_parquet(
        split / "train" / "search.parquet"
    )
    _requests(["Judged  in test"]).write_parquet(split / "test" / "requests.parquet")
    _requests(["judged in validation"]).write_parquet(split / "validation" / "requests.parquet")
    rng = np.random.default_rng(0)
    rows = [
        (UNTIL - timedelta(days=1), item, f"my {title} is soft and small, number {rng.integers(10**6)}")
        for item, title in items.select("item_id", "title").iter_rows()
    ]
    rows.append((UNTIL, "i05", "written too late"))
    pl.DataFrame(rows, schema=["at", "item_id", "text"], orient="row").write_parquet(
        checked / "reviews.parquet"
    )
    return Text(split, checked)


@pytest.fixture
def settings() -> PretrainingSettings:
    """Held out: a fourth, so that a small shop's figures mean something."""
    return PretrainingSettings(
        epochs=12, batch_size=16, learning_rate=2e-3, held_out_share=0.25, max_length=24, vocabulary=300,
        layers=1, width=32, checkpoint_every_steps=7,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
