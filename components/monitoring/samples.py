"""Facts as arrays, of which thousands of windows can be drawn and compared in seconds."""

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.random import Generator
from numpy.typing import NDArray

from components.monitoring.facts import DEPTH
from components.monitoring.reference import Reference

Frame = Literal["requests", "items", "new items"]
"""What a metric is measured on."""
Rows = NDArray[np.int64]
Values = NDArray[Any]
"""(n,) numbers with NaN where there is none, or codes of categories; (n, d) vectors; (n, DEPTH) items, -1
where an answer has fewer."""
NUMBERS = (
    "query_characters",
    "query_words",
    "unknown_word_rate",
    "top_score",
    "mean_score",
    "new_share",
    "new_score",
    "zero_result",
)
ITEM_NUMBERS = ("completeness", "attributes", "title_length")
COMPARED = 6_000
"""Requests of the reference that a window is compared with, by seed: more would tell little more."""
MOST_VALUES = 50
"""Categories and brands that are told apart, the reference's most frequent; the rest is "other"."""
QUARTILES = (0.25, 0.5, 0.75)
ABSENT, OTHER = "(none)", "(other)"


@dataclass(frozen=True, eq=False)
class Sample:
    """Columns of equal length."""

    columns: dict[str, Values]
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Per column of categories what each code stands for."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def take(self, rows: Rows) -> "Sample":
        return Sample({name: values[rows] for name, values in self.columns.items()}, self.labels)


class Coding:
    """The reference's categories, price bands and items, by which every sample is coded."""

    def __init__(self, requests: pl.DataFrame, items: pl.DataFrame) -> None:
        catalogue = items.filter("in_sample")
        self._languages = _most_frequent(requests.get_column("language"))
        self._categories = _most_frequent(catalogue.get_column("category"))
        self._brands = _most_frequent(catalogue.get_column("brand"))
        self._top = _most_frequent(_first_level(catalogue.get_column("category")))
        prices = catalogue.get_column("price").drop_nulls().to_numpy()
        self._edges = np.quantile(prices, QUARTILES) if len(prices) else np.zeros(len(QUARTILES))
        self._items: dict[str, int] = {}

    def requests(self, facts: pl.DataFrame) -> Sample:
        columns: dict[str, Values] = {
            name: facts.get_column(name).cast(pl.Float64).fill_null(float("nan")).to_numpy()
            for name in NUMBERS
        }
        columns["query_vector"] = _vectors(facts.get_column("query_vector"))
        columns["shown"] = self._shown(facts.get_column("item_ids"))
        columns["language"] = _codes(facts.get_column("language"), self._languages)
        return Sample(columns, {"language": self._languages})

    def items(self, facts: pl.DataFrame) -> Sample:
        price = facts.get_column("price").fill_null(float("nan")).to_numpy()
        labels = {"category": self._categories, "brand": self._brands}
        columns: dict[str, Values] = {name: _codes(facts.get_column(name), labels[name]) for name in labels}
        bands = len(QUARTILES) + 2
        band = np.where(np.isnan(price), bands - 1, np.searchsorted(self._edges, price, side="right"))
        top = _codes(_first_level(facts.get_column("category")), self._top)
        columns["category_price"] = top * bands + band
        names = [f"price quarter {number}" for number in range(1, bands)] + ["no price"]
        labels["category_price"] = tuple(f"{value}, {name}" for value in self._top for name in names)
        columns["price"] = np.log10(1.0 + price)
        columns |= {name: facts.get_column(name).to_numpy() for name in ITEM_NUMBERS}
        return Sample(columns, labels)

    def _shown(self, lists: pl.Series) -> Values:
        shown = np.full((len(lists), DEPTH), -1, dtype=np.int64)
        for row, item_ids in enumerate(lists.to_list()):
            codes = [self._items.setdefault(item_id, len(self._items)) for item_id in item_ids or ()]
            shown[row, : len(codes)] = codes
        return shown


def _most_frequent(values: pl.Series) -> tuple[str, ...]:
    """The column's most frequent values (ties by name), then what stands for none and for others."""
    counts = pl.DataFrame({"value": values.drop_nulls()}).group_by("value").len()
    counts = counts.sort(["len", "value"], descending=[True, False]).head(MOST_VALUES)
    return (*counts.get_column("value").to_list(), ABSENT, OTHER)


def _codes(values: pl.Series, labels: tuple[str, ...]) -> Values:
    number = {label: code for code, label in enumerate(labels)}
    codes = [number[ABSENT] if v is None else number.get(v, number[OTHER]) for v in values.to_list()]
    return np.asarray(codes, dtype=np.int64)


def _first_level(category: pl.Series) -> pl.Series:
    return category.str.split(">").list.first().str.strip_chars()


def _vectors(lists: pl.Series) -> Values:
    """(n, d); NaN rows where no vector was logged, or one of another length than the first."""
    lengths = lists.list.len()
    known = lengths.drop_nulls()
    width = int(known[0]) if len(known) else 1
    vectors = np.full((len(lists), width), np.nan, dtype=np.float32)
    fits = (lengths == width).fill_null(False).to_numpy()
    if fits.any():
        vectors[fits] = lists.filter(pl.Series(fits)).explode().to_numpy().reshape(-1, width)
    return vectors


@dataclass(frozen=True, eq=False)
class ReferenceSamples:
    """A reference, ready to be compared with."""

    coding: Coding
    requests: Sample
    """All of them, from which windows are drawn."""
    compared: Sample
    """At most COMPARED of them, which live windows are compared with."""
    items: Sample
    new_items: Sample

    @classmethod
    def of(cls, reference: Reference) -> "ReferenceSamples":
        items = reference.items
        coding = Coding(reference.requests, items)
        catalogue, new = (coding.items(items.filter(mark)) for mark in ("in_sample", "is_new"))
        requests = coding.requests(reference.requests)
        rows = at_most(COMPARED, np.arange(len(requests)), np.random.default_rng([reference.facts.seed, 2]))
        return cls(coding, requests, requests.take(rows), catalogue, new)

    def sample(self, frame: Frame) -> Sample:
        """What live windows are compared with."""
        return {"requests": self.compared, "items": self.items, "new items": self.new_items}[frame]


def at_most(count: int, rows: Rows, rng: Generator) -> Rows:
    """So many of the rows, drawn once each; all of them, and nothing drawn, where there are no more."""
    return rows if len(rows) <= count else np.sort(rng.choice(rows, count, replace=False))
