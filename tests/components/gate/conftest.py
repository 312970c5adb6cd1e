"""Scorecards for the gate's tests."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from components.contract.judging import GatePolicy
from components.evaluation.scorecard import EntranceScores, Scorecard

BOUNDS = {
    "typo_recall_loss": 0.2,
    "fast_path_recall_loss": 0.01,
    "exposure_new_item_share_ratio": 1.2,
    "exposure_top_1_percent_share": 0.1,
    "p95_latency_ms": 12.0,
    "size_mb": 90.0,
}
NOT_APPLICABLE = {
    "attribute_dropout_recall_loss": "the item texts hold no attributes",
    "exposure_small_brand_share_ratio": "the catalogue names no brands",
    "age_slices": "the items are undated",
    "ranker_new_item_share_change": "the release has no second stage",
    "ranker_top_1_percent_share_change": "the release has no second stage",
}
SLICES = (
    "new",
    "new_only",
    "new_condensed",
    "new_only_condensed",
    "established",
    "established_trained",
    "established_untrained",
    "all",
    "category:Tools",
    "category:Odd | <b>names</b>",
    "query_length:2",
    "query_frequency:unseen",
)


@dataclass(frozen=True)
class Cards:
    """Builds scorecards with two entrances; every slice holds the same values unless one is named."""

    requests: int = 120

    def make(self, name: str, values: np.ndarray, **by_slice: np.ndarray) -> Scorecard:
        ids = tuple(f"request {i}" for i in range(len(values)))
        measures = {f"{s}/recall@10": by_slice.get(s, values) for s in SLICES}
        other = {"all/recall@10": by_slice.get("recommendation", values)}
        return Scorecard(
            name=name,
            digest=f"digest of {name}",
            primary="search",
            entrances={
                "search": EntranceScores("search", ids, measures),
                "recommendation": EntranceScores("recommendation", ids, other),
            },
            bounds=dict(BOUNDS) | dict.fromkeys(NOT_APPLICABLE.keys() - {"age_slices"}),
            not_applicable=dict(NOT_APPLICABLE),
        )

    def promoted(self) -> tuple[Scorecard, Scorecard]:
        """Challenger and champion of which the gate promotes the first."""
        rng = np.random.default_rng(3)
        champion = rng.integers(0, 5, self.requests) / 10
        challenger = champion + rng.integers(0, 3, self.requests) / 10
        return self.make("challenger", challenger), self.make("champion", champion)


def with_measure(card: Scorecard, measure: str, values: np.ndarray | None) -> Scorecard:
    """The scorecard with other values for one search measure, or (None) without it."""
    scores = card.entrances["search"]
    measures = {name: old for name, old in scores.measures.items() if name != measure}
    if values is not None:
        measures[measure] = values
    entrances = card.entrances | {"search": replace(scores, measures=measures)}
    return replace(card, entrances=entrances)


@pytest.fixture(scope="session")
def cards() -> Cards:
    return Cards()


@pytest.fixture(scope="session")
def change() -> Callable[[Scorecard, str, np.ndarray | None], Scorecard]:
    return with_measure


@pytest.fixture(scope="session")
def policy() -> GatePolicy:
    """The default policy with few resamples."""
    return GatePolicy(resamples=400)


@pytest.fixture(scope="session")
def simulation() -> ModuleType:
    """tests/benchmarks/gate_power.py, so that test and README draw the same scorecards."""
    path = Path(__file__).parents[2] / "benchmarks" / "gate_power.py"
    spec = importlib.util.spec_from_file_location("gate_power", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
