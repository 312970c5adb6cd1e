"""A small judged shop with everything a scorecard can hold, and a retriever with given scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from components.contract.ports import Ranking, Request, Retriever
from components.split.judged import JudgedSet

CUTOFF = datetime(2024, 6, 1)
UNTIL = CUTOFF + timedelta(days=14)


class ScoreTable(Retriever):
    """Ranks by a table of scores (requests by id, items by row); ties by row. Slow and plain."""

    def __init__(self, name: str, item_ids: Sequence[str], scores: dict[str, np.ndarray]) -> None:
        self.name, self._item_ids, self.scores = name, tuple(item_ids), scores

    @property
    def item_ids(self) -> Sequence[str]:
        return self._item_ids

    def search(self, requests: Sequence[Request], k: int, among: np.ndarray | None = None) -> Ranking:
        rows = np.full((len(requests), k), -1, dtype=np.int64)
        values = np.full((len(requests), k), -np.inf, dtype=np.float32)
        for line, request in enumerate(requests):
            scores = self.scores[request.request_id]
            allowed = [
                row
                for row in range(len(scores))
                if self._item_ids[row] not in request.exclude and (among is None or among[row])
            ]
            best = sorted(allowed, key=lambda row: (-scores[row], row))[:k]
            rows[line, : len(best)], values[line, : len(best)] = best, scores[best]
        return Ranking(rows, values)


@dataclass
class Shop:
    catalogue: pl.DataFrame
    judged: JudgedSet
    trained: frozenset[str]
    scores: dict[str, np.ndarray]

    def retriever(self, name: str = "model", scores: dict[str, np.ndarray] | None = None) -> ScoreTable:
        return ScoreTable(name, self.catalogue.get_column("item_id").to_list(), scores or self.scores)


def catalogue_of(items: int, rng: np.random.Generator, dated: bool) -> pl.DataFrame:
    """Items 80 % to 100 % are new; five categories (one of them missing), twelve brands, some without."""
    number = np.arange(items)
    new = number >= items * 0.8
    first_seen = [
        UNTIL - timedelta(days=float(days))
        for days in np.where(new, rng.uniform(0, 14, items), rng.uniform(14.1, 90, items))
    ]
    category = rng.choice(["Tools > Saws", "Tools", "Garden > Hoses", "Paint > Wall", None], items)
    brand = rng.choice([*(f"brand {b}" for b in range(12)), None], items)
    return pl.DataFrame(
        {
            "item_id": [f"i{n:05d}" for n in number],
            "title": [f"title {n}" for n in number],
            "category": pl.Series(category.tolist(), dtype=pl.String),
            "brand": pl.Series(brand.tolist(), dtype=pl.String),
            "first_seen": pl.Series(first_seen if dated else [None] * items, dtype=pl.Datetime("us")),
            "is_new": new,
        }
    )


def judged_of(
    item_ids: list[str], requests: int, rng: np.random.Generator, recommendation: bool
) -> JudgedSet:
    """6 to 20 judged items a request with grades 0 to 3, at least one relevant (grade >= 2)."""
    asked, relevant, judged, frequency = [], {}, {}, {}
    for number in range(requests):
        name = f"r{number:04d}"
        chosen = rng.choice(len(item_ids), rng.integers(6, 21), replace=False)
        grades = rng.integers(0, 4, len(chosen)).astype(float)
        grades[0] = 3.0
        judged[name] = {item_ids[c]: g for c, g in zip(chosen, grades, strict=True)}
        relevant[name] = frozenset(item_id for item_id, grade in judged[name].items() if grade >= 2)
        frequency[name] = int(rng.integers(0, 6))
        text = None if recommendation else " ".join(["word"] * int(rng.integers(1, 8)))
        asked.append(Request(name, text=text, history=(item_ids[0],) if recommendation else ()))
    return JudgedSet(
        "recommendation" if recommendation else "search", tuple(asked), relevant, judged, True, frequency
    )


@pytest.fixture(scope="session")
def make_shop():
    def make(items=300, requests=60, seed=0, dated=True, recommendation=False) -> Shop:
        rng = np.random.default_rng(seed)
        catalogue = catalogue_of(items, rng, dated)
        ids = catalogue.get_column("item_id").to_list()
        judged = judged_of(ids, requests, rng, recommendation)
        # Relevant items score higher on average, and whole scores repeat, so that ties occur.
        scores = {}
        for request_id, grades in judged.judged.items():
            line = rng.integers(0, 60, items).astype(np.float32)
            for item_id, grade in grades.items():
                line[ids.index(item_id)] += 12 * grade
            scores[request_id] = line
        old = catalogue.filter(~pl.col("is_new")).get_column("item_id").to_list()
        return Shop(catalogue, judged, frozenset(old[::3]), scores)

    return make


@pytest.fixture(scope="session")
def until() -> datetime:
    return UNTIL
