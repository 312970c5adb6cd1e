"""A scorecard: every measure of one retriever per request, and its bounds; Parquet and JSON on disk."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.errors import StorageError
from components.contract.files import disk_errors, write_bytes, write_json
from components.contract.records import Entrance

FILE = "scorecard.json"
FIRST_STAGE = "first_stage"


@dataclass(frozen=True, eq=False)
class EntranceScores:
    """One value per request and measure ("<slice>/<metric>"); NaN: nothing relevant in that slice."""

    entrance: Entrance
    request_ids: tuple[str, ...]
    measures: dict[str, NDArray[np.float64]]

    def population(self, measure: str) -> NDArray[np.float64]:
        """The values that are not NaN; empty where the measure does not exist."""
        values = self.measures.get(measure, np.empty(0))
        return values[~np.isnan(values)]


@dataclass(frozen=True, eq=False)
class Scorecard:
    """What the judge found about one retriever. Only `p95_latency_ms` differs when it is judged again."""

    name: str
    digest: str | None
    """Of the candidate or encoder; None for BM25."""
    primary: Entrance
    entrances: dict[Entrance, EntranceScores]
    bounds: dict[str, float | None]
    """None: see `not_applicable` or `missing`."""
    not_applicable: dict[str, str] = field(default_factory=dict)
    """Bound (or "age_slices") → why it does not exist for this shop."""
    missing: dict[str, str] = field(default_factory=dict)
    """Bound → why it could not be measured although it should have been."""
    gains: str = ""
    """The gains that NDCG used, in words."""
    k: int = 10
    """The k of the gate's recall@k."""
    tasks: dict[str, pl.DataFrame] = field(default_factory=dict)
    """Per task the answers to its test rows (task_measures)."""
    first_stage: "Scorecard | None" = None
    """The same release without its second stage, where it has one; without bounds of its own."""

    def mean(self, entrance: Entrance, measure: str) -> float | None:
        """Mean over the slice's requests; None where there are none."""
        if entrance not in self.entrances:
            return None
        values = self.entrances[entrance].population(measure)
        return float(values.mean()) if len(values) else None

    def requests(self, entrance: Entrance, measure: str) -> int:
        """How many requests `mean` is over."""
        return len(self.entrances[entrance].population(measure)) if entrance in self.entrances else 0

    def summary(self, entrance: Entrance | None = None) -> dict[str, dict[str, float | int | None]]:
        """{slice: {metric: mean, …, "requests": n}} of an entrance (the primary one if not named)."""
        entrance = entrance or self.primary
        slices: dict[str, dict[str, float | int | None]] = {}
        for measure in self.entrances[entrance].measures:
            name, metric = measure.rsplit("/", 1)
            figures = slices.setdefault(name, {"requests": self.requests(entrance, measure)})
            figures[metric] = self.mean(entrance, measure)
        return slices

    def write(self, folder: Path) -> None:
        """Writes <entrance>.parquet and task-<name>.parquet files and, last, scorecard.json; equal scorecards
        give equal bytes."""
        for entrance, scores in self.entrances.items():
            columns = {"request_id": pl.Series(scores.request_ids, dtype=pl.String), **scores.measures}
            _write_frame(folder / f"{entrance}.parquet", pl.DataFrame(columns))
        for task, answers in self.tasks.items():
            _write_frame(folder / f"task-{task}.parquet", answers)
        if self.first_stage is not None:
            self.first_stage.write(folder / FIRST_STAGE)
        write_json(folder / FILE, self._description())

    def _description(self) -> dict[str, Any]:
        names = ("name", "digest", "primary", "bounds", "not_applicable", "missing", "gains", "k")
        known = {name: getattr(self, name) for name in names}
        known |= {"first_stage": True} if self.first_stage is not None else {}
        return known | {"entrances": list(self.entrances), "tasks": list(self.tasks)}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises StorageError where the folder holds no whole scorecard."""
        try:
            with disk_errors(folder / FILE):
                description = json.loads((folder / FILE).read_bytes())
            entrances = {name: _read_entrance(folder, name) for name in description.pop("entrances")}
            tasks = {
                name: _read_frame(folder / f"task-{name}.parquet") for name in description.pop("tasks", ())
            }
            first = cls.read(folder / FIRST_STAGE) if description.pop("first_stage", False) else None
            return cls(entrances=entrances, tasks=tasks, first_stage=first, **description)
        except (ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise StorageError(
                f"{folder}: not a readable scorecard ({error}). Delete the folder and judge again."
            ) from error


def _read_entrance(folder: Path, entrance: Entrance) -> EntranceScores:
    frame = _read_frame(folder / f"{entrance}.parquet")
    return EntranceScores(
        entrance=entrance,
        request_ids=tuple(frame.get_column("request_id")),
        measures={name: frame.get_column(name).to_numpy() for name in frame.columns[1:]},
    )


def _write_frame(path: Path, frame: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    write_bytes(path, buffer.getvalue())


def _read_frame(path: Path) -> pl.DataFrame:
    with disk_errors(path):
        return pl.read_parquet(path.read_bytes())
