"""What is known of each item beside its text, for the second stage: attributes, demand, clicks, reviews.

Shapes: n items of a snapshot, m changed items, d dimensions. Counts are of events before the cut-off; no user
is in them. How they become numbers of an item, also of one that nobody has seen: ranking/credibility.py.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from components.contract.errors import DataError
from components.contract.files import disk_errors
from components.contract.ports import Rows, Vectors
from components.index.columns import Columns
from components.index.growing import GrowingArray
from components.ranking.credibility import Credibility, Floats
from components.ranking.features import ItemValues
from components.ranking.observations import OF_REVIEWS, Observed

SIGNALS_FILE = "signals.safetensors"
KINDS = ("demand", "attraction", *OF_REVIEWS)


@dataclass(frozen=True, eq=False)
class Signal:
    """One kind of observation: per item its total and exposure (n,), and what is expected of any text."""

    total: Floats
    exposure: Floats
    expected: Credibility

    def rates(self, vectors: Vectors, own: Rows) -> Floats:
        """(m,) for items with these texts; own: (m,) the snapshot's row of the same item_id, -1: none."""
        total, exposure = (np.append(values, 0.0)[own] for values in (self.total, self.exposure))
        return self.expected.rates(vectors, total, exposure)

    def values(self, vectors: Vectors, own: Rows, *, logarithm: bool) -> NDArray[np.float32]:
        """(m,) the rates as features; NaN where the shop has no such observation."""
        if self.expected.mean == 0.0:
            return np.full(len(vectors), np.nan, dtype=np.float32)
        rates = self.rates(vectors, own)
        return (np.log(rates / self.expected.mean) if logarithm else rates).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Signals:
    """What a release's index folder holds of them."""

    kinds: Mapping[str, Signal]

    @classmethod
    def build(cls, vectors: Vectors, observed: Observed) -> Self:
        """vectors: (n, d) of the same items."""
        kinds = {}
        for name in KINDS:
            total, exposure = (
                values.astype(np.float32).astype(np.float64) for values in observed.kinds[name]
            )
            expected = Credibility.fit(vectors, total, exposure, observed.noise.get(name))
            kinds[name] = Signal(total, exposure, expected)
        return cls(kinds)

    @property
    def items(self) -> int:
        return len(self.kinds["demand"].total)

    def taken(self, own: Rows) -> Self:
        """Of another catalogue, whose items (m,) have these rows here; -1: not here, so nothing was
        observed."""
        kinds = {}
        for name, signal in self.kinds.items():
            total, exposure = (np.append(values, 0.0)[own] for values in (signal.total, signal.exposure))
            kinds[name] = Signal(total, exposure, signal.expected)
        return type(self)(kinds)

    def save(self, folder: Path) -> None:
        arrays: dict[str, NDArray[Any]] = {}
        for name, signal in self.kinds.items():
            arrays[f"{name}.total"] = signal.total.astype(np.float32)
            arrays[f"{name}.exposure"] = signal.exposure.astype(np.float32)
            arrays[f"{name}.coefficients"] = signal.expected.coefficients
            arrays[f"{name}.centre"] = signal.expected.centre
            arrays[f"{name}.scalars"] = np.asarray([signal.expected.mean, signal.expected.strength])
        with disk_errors(folder):
            save_file(arrays, folder / SIGNALS_FILE)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """None where the folder has none. Raises DataError where its parts do not belong together."""
        path = folder / SIGNALS_FILE
        if not path.is_file():
            return None
        with disk_errors(path):
            arrays = load_file(path)
        kinds = {}
        for name in KINDS:
            if f"{name}.total" not in arrays:  # of an earlier version: not observed
                none = np.zeros(len(arrays["demand.total"]))
                kinds[name] = Signal(none, none, Credibility.nothing())
                continue
            total, exposure = (arrays[f"{name}.{part}"].astype(np.float64) for part in ("total", "exposure"))
            mean, strength = arrays[f"{name}.scalars"].tolist()
            expected = Credibility(arrays[f"{name}.coefficients"], arrays[f"{name}.centre"], mean, strength)
            kinds[name] = Signal(total, exposure, expected)
        if len({len(part) for one in kinds.values() for part in (one.total, one.exposure)}) != 1:
            raise DataError(f"{path}: its parts are of different catalogues; build the index again.")
        return cls(kinds)


class LiveSignals:
    """Values of a live index's rows: the snapshot's items and those that were appended since. An appended
    item keeps what was observed of its id."""

    def __init__(self, snapshot: Signals, vectors: Vectors, columns: Columns) -> None:
        """vectors: (n, d) the snapshot's; columns: the index's, which grow with it."""
        self._snapshot, self._columns = snapshot, columns
        own = np.arange(len(vectors))
        self._held = {name: GrowingArray(values) for name, values in self._values(vectors, own).items()}

    def append(self, vectors: Vectors, own: Rows) -> None:
        """Appended items with vectors (m, d); own: (m,) the snapshot's row of the same item_id, -1: none."""
        for name, values in self._values(vectors, own).items():
            self._held[name].append(values)

    def kept(self, rows: Rows, columns: Columns) -> Self:
        """These rows alone, in their order."""
        fewer = copy(self)
        fewer._columns = columns
        fewer._held = {name: GrowingArray(held.values[rows]) for name, held in self._held.items()}
        return fewer

    @property
    def items(self) -> ItemValues:
        """Of all rows, as they are now."""
        return ItemValues(
            category=self._columns.categories,
            brand=self._columns.brands,
            price=self._columns.prices,
            **{name: held.values for name, held in self._held.items()},
        )

    def _values(self, vectors: Vectors, own: Rows) -> dict[str, NDArray[np.float32]]:
        return {
            name: signal.values(vectors, own, logarithm=name not in OF_REVIEWS)
            for name, signal in self._snapshot.kinds.items()
        }
