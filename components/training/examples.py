"""Training examples as the ranks read them: tokenised once, in flat arrays, in one folder.

Items are numbered anew here: only those that occur in a pair, a history or as a negative.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from components.contract.errors import TrainingError
from components.contract.files import disk_errors, write_json
from components.contract.ports import Rows
from components.contract.records import Record
from components.training.ragged import Ragged

ARRAYS, QUERIES, DESCRIPTION = "examples.safetensors", "queries.parquet", "examples.json"
_RAGGED = ("item_tokens", "short_tokens", "query_tokens", "histories", "known_groups")
_PLAIN = (
    *("kinds", "anchors", "positives", "negatives", "owners", "weights", "candidates", "taught", "groups"),
)


class PreparedExamples(Record):
    """What `prepare_examples` left in its folder."""

    path: str
    digest: str
    pairs: dict[str, int]
    """Pairs per kind: search, recommendation."""
    available_pairs: int
    """Pairs before `max_pairs` was applied."""
    mined: dict[str, int]
    """Candidates per filter of the mined negatives; empty where none were mined."""


@dataclass(frozen=True)
class Examples:
    """p pairs over n items, with H hard negatives each (-1: none) and K candidates of a teacher."""

    kinds: Rows
    """(p,) pairs.SEARCH or pairs.RECOMMENDATION."""
    anchors: Rows
    """(p,) anchor numbers: queries first, then histories."""
    positives: Rows
    """(p,) item numbers."""
    negatives: Rows
    """(p, H) item numbers."""
    owners: Rows
    """(anchors,) owner numbers."""
    weights: NDArray[np.float32]
    """(p,) weight in the loss, 0 to 1."""
    candidates: Rows
    """(p, K) item numbers that the teacher scored (-1: none); K is 0 without a teacher."""
    taught: NDArray[np.float32]
    """(p, 1 + K) the teacher's scores of the pair's positive and its candidates, −inf for none."""
    groups: Rows
    """(n,) duplicate group of each item."""
    item_tokens: Ragged
    """n rows: the item's full text."""
    short_tokens: Ragged
    """n rows: its text without brand, category and attributes."""
    query_tokens: Ragged
    """One row per query."""
    histories: Ragged
    """One row of item numbers per history anchor; history h is anchor `len(query_tokens) + h`."""
    known_groups: Ragged
    """Per owner the duplicate groups of all its known positives, ascending."""
    queries: tuple[str, ...]
    """The queries' words, for typing errors."""
    variants: tuple[tuple[str, ...], ...]
    """Each query in other words, by the shop's synonyms."""

    def __len__(self) -> int:
        return len(self.kinds)

    def write(self, folder: Path) -> None:
        """Raises StorageError where the disk refuses."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _PLAIN}
        for name in _RAGGED:
            ragged: Ragged = getattr(self, name)
            arrays |= {f"{name}.values": ragged.values, f"{name}.offsets": ragged.offsets}
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            save_file(arrays, folder / ARRAYS)
            variants = pl.Series(list(map(list, self.variants)), dtype=pl.List(pl.String))
            words = {"query": pl.Series(self.queries, dtype=pl.String), "variants": variants}
            pl.DataFrame(words).write_parquet(folder / QUERIES)


def read_examples(folder: Path) -> Examples:
    """Raises TrainingError where the folder holds no examples."""
    if not (folder / ARRAYS).is_file():
        raise TrainingError(f"{folder / ARRAYS} is missing: prepare the training examples again.")
    arrays = load_file(folder / ARRAYS)
    fields: dict[str, Any] = {name: arrays[name] for name in _PLAIN}
    for name in _RAGGED:
        fields[name] = Ragged(arrays[f"{name}.values"], arrays[f"{name}.offsets"])
    words = pl.read_parquet(folder / QUERIES)
    variants = tuple(map(tuple, words.get_column("variants").to_list()))
    return Examples(**fields, queries=tuple(words.get_column("query")), variants=variants)


def write_description(folder: Path, prepared: PreparedExamples) -> None:
    write_json(folder / DESCRIPTION, prepared.model_dump(mode="json"))
