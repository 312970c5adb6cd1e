"""How well each item fits what a query implies: category, brand, price and attributes as codes.

n rows; a change appends a row. Rows of equal text share a code, so that a search writes a few codes' scores
and looks them up for all rows.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Self, get_args

import numpy as np
import polars as pl

from components.contract.live import LiveItem
from components.contract.ports import Rows
from components.contract.task import Facet
from components.index.growing import GrowingArray
from components.index.text_codes import renumbered
from components.index.topk import Scores
from components.understanding.implied import Implication, Implied, labels_of

FACETS: tuple[Facet, ...] = get_args(Facet)
PRICE_EDGE = 0.4
"""Beyond a price band the match falls to 0 over so much of the price's logarithm: half as much again."""


class Facets:
    """The facets of all rows, in row order."""

    def __init__(self, facets: Collection[Facet] = FACETS) -> None:
        """facets: those that `match` is asked for."""
        self._labels: dict[Facet, _Labels] = {
            facet: _Labels(facet) for facet in FACETS if facet in facets and facet != "price"
        }
        self._log_price = GrowingArray(np.empty(0, dtype=np.float32)) if "price" in facets else None

    @classmethod
    def of(cls, items: pl.DataFrame, facets: Collection[Facet] = FACETS) -> Self:
        """Of a snapshot's items.parquet."""
        built = cls(facets)
        for facet, labels in built._labels.items():
            labels.append(items.get_column(facet).to_list())
        if built._log_price is not None:
            built._log_price.append(_logarithms(items.get_column("price").to_list()))
        return built

    def append(self, items: Sequence[LiveItem]) -> None:
        for facet, labels in self._labels.items():
            labels.append([getattr(item, facet) for item in items])
        if self._log_price is not None:
            self._log_price.append(_logarithms([item.price for item in items]))

    def kept(self, rows: Rows) -> Self:
        """These rows alone, in their order."""
        fewer = copy(self)
        fewer._labels = {facet: labels.kept(rows) for facet, labels in self._labels.items()}
        fewer._log_price = self._log_price and GrowingArray(self._log_price.values[rows])
        return fewer

    def labels(self, facet: Facet) -> Collection[str]:
        """Everything that some item has of it, as `labels_of` writes it."""
        return self._labels[facet].having.keys()

    def match(self, implied: Implied, rows: Rows | None = None) -> dict[Facet, Scores]:
        """Per facet that the query implies, how well each item fits: 0 to 1, of attributes their sum.

        rows: of the items asked about; None: all. Reads an item's facets and nothing else of it.
        """
        told: dict[Facet, list[Implication]] = {}
        for one in implied:
            told.setdefault(one.facet, []).append(one)
        return {facet: self._match(facet, told[facet], rows) for facet in FACETS if facet in told}

    def _match(self, facet: Facet, told: list[Implication], rows: Rows | None) -> Scores:
        if facet != "price":
            return self._labels[facet].match(told, rows)
        assert self._log_price is not None, "price is none of these facets"
        prices = self._log_price.values if rows is None else self._log_price.values[rows]
        bands = [_within(prices, one) for one in told]
        best: Scores = np.max(bands, axis=0)
        return best


class _Labels:
    """One text column: a code per distinct text, and which codes have a label."""

    def __init__(self, facet: Facet) -> None:
        self._facet: Facet = facet
        self._add = np.add if facet == "attributes" else np.maximum
        """An item has one brand and one place in the tree, of which several statements may speak; of its
        attributes each counts."""
        self._numbers: dict[str | None, int] = {}
        self.having: dict[str, array[int]] = {}
        self._codes = GrowingArray(np.empty(0, dtype=np.int32))

    def append(self, texts: Sequence[str | None]) -> None:
        self._codes.append(np.asarray([self._number(text) for text in texts], dtype=np.int32))

    def kept(self, rows: Rows) -> Self:
        fewer = copy(self)
        fewer._numbers, codes = renumbered(self._numbers, self._codes.values[rows])
        fewer._codes = GrowingArray(codes)
        new = {self._numbers[text]: number for text, number in fewer._numbers.items()}
        same = sum(before == now for before, now in new.items())  # the first ones: a snapshot's rows all stay
        having = {label: _renumbered(numbers, new, same) for label, numbers in self.having.items()}
        fewer.having = {label: numbers for label, numbers in having.items() if numbers}
        return fewer

    def match(self, told: Sequence[Implication], rows: Rows | None) -> Scores:
        strongest: dict[str | None, float] = {}
        for one in told:
            strongest[one.value] = max(one.probability, strongest.get(one.value, 0.0))
        shares = np.zeros(len(self._numbers), dtype=np.float32)
        for label, probability in strongest.items():
            if label in self.having:
                codes = np.frombuffer(self.having[label], dtype=np.int32)
                shares[codes] = self._add(shares[codes], np.float32(probability))
        scores: Scores = shares[self._codes.values if rows is None else self._codes.values[rows]]
        return scores

    def _number(self, text: str | None) -> int:
        if text not in self._numbers:
            self._numbers[text] = number = len(self._numbers)
            for label in labels_of(self._facet, text):
                self.having.setdefault(label, array("i")).append(number)
        return self._numbers[text]


def _renumbered(numbers: "array[int]", new: Mapping[int, int], same: int) -> "array[int]":
    """Ascending numbers that have a new one; those below `same` keep theirs."""
    changed = bisect_left(numbers, same)
    found = numbers[:changed]
    found.extend(new[number] for number in numbers[changed:] if number in new)
    return found


def _logarithms(prices: Sequence[float | None]) -> Scores:
    """NaN where there is no price, or none that has a logarithm."""
    numbers = np.asarray([price if price else np.nan for price in prices], dtype=np.float64)
    return np.log(numbers).astype(np.float32)


def _within(log_prices: Scores, band: Implication) -> Scores:
    """The band's probability inside it, falling to 0 outside; 0 for an unknown price. A learned band may end
    at or below 0, which has no logarithm: every price is above it."""
    beyond = np.zeros_like(log_prices)
    if band.low is not None and band.low > 0:
        beyond = np.maximum(beyond, np.float32(np.log(band.low)) - log_prices)
    if band.high is not None:
        high = np.float32(np.log(band.high) if band.high > 0 else -np.inf)
        beyond = np.maximum(beyond, log_prices - high)
    inside = np.maximum(0, 1 - beyond / np.float32(PRICE_EDGE))
    scores: Scores = np.nan_to_num(inside, copy=False, nan=0.0) * np.float32(band.probability)
    return scores
