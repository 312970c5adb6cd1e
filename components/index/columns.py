"""What a result can be filtered by, column-wise: category, brand, price band, listed_at, in stock.

n rows; a change appends a row, so columns grow.
"""

from collections.abc import Sequence
from copy import copy
from datetime import datetime
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from components.contract.live import LiveItem
from components.contract.ports import Rows
from components.contract.records import Record
from components.contract.times import UtcTime
from components.index.growing import GrowingArray
from components.index.text_codes import renumbered
from components.understanding.implied import plain_path

Mask = NDArray[np.bool_]
TIME = "datetime64[us]"
UNKNOWN_TIME = np.datetime64("NaT", "us")


class Filters(Record):
    """Which items may be shown. An item that lacks the value a filter asks about is not shown."""

    category: str | None = Field(default=None, max_length=2_000)
    """A path `A > B`: items of it and of all below it; letter case does not matter."""
    brand: str | None = Field(default=None, max_length=2_000)
    min_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    listed_from: UtcTime | None = None
    listed_before: UtcTime | None = None
    in_stock: bool | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError("min_price is above max_price")
        return self

    def active(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


class _Codes:
    """A text column as numbers: rows of equal text (letter case apart) share one."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.column = GrowingArray(np.empty(0, dtype=np.int32))

    def append(self, values: Sequence[str | None]) -> None:
        self.column.append(np.asarray([self._number(value) for value in values], dtype=np.int32))

    def kept(self, rows: Rows) -> Self:
        fewer = copy(self)
        fewer.numbers, codes = renumbered(self.numbers, self.column.values[rows])
        fewer.column = GrowingArray(codes)
        return fewer

    def _number(self, value: str | None) -> int:
        text = plain_path(value)
        return self.numbers.setdefault(text, len(self.numbers)) if text else -1

    def mask(self, wanted: set[int]) -> Mask:
        chosen = np.zeros(len(self.numbers) + 1, dtype=bool)  # the last place is what -1 looks up
        chosen[list(wanted)] = True
        mask: Mask = chosen[self.column.values]
        return mask


class Columns:
    """The filter columns of all rows, in row order."""

    def __init__(self) -> None:
        self._category, self._brand = _Codes(), _Codes()
        self._price = GrowingArray(np.empty(0))
        self._listed = GrowingArray(np.empty(0, dtype=TIME))
        self._in_stock = GrowingArray(np.empty(0, dtype=bool))

    @classmethod
    def of(cls, items: pl.DataFrame) -> Self:
        """The columns of a snapshot's items.parquet; a snapshot says nothing of stock: all are in stock."""
        columns = cls()
        columns._category.append(items.get_column("category").to_list())
        columns._brand.append(items.get_column("brand").to_list())
        columns._price.append(items.get_column("price").cast(pl.Float64).fill_null(np.nan).to_numpy())
        columns._listed.append(_times(items.get_column("listed_at").to_list()))
        columns._in_stock.append(np.ones(len(items), dtype=bool))
        return columns

    def kept(self, rows: Rows) -> Self:
        """These rows alone, in their order."""
        fewer = copy(self)
        fewer._category, fewer._brand = self._category.kept(rows), self._brand.kept(rows)
        fewer._price = GrowingArray(self._price.values[rows])
        fewer._listed = GrowingArray(self._listed.values[rows])
        fewer._in_stock = GrowingArray(self._in_stock.values[rows])
        return fewer

    def append(self, items: Sequence[LiveItem]) -> None:
        self._category.append([item.category for item in items])
        self._brand.append([item.brand for item in items])
        prices = [np.nan if item.price is None else item.price for item in items]
        self._price.append(np.asarray(prices, dtype=np.float64))
        self._listed.append(_times([item.listed_at for item in items]))
        self._in_stock.append(np.asarray([item.in_stock for item in items], dtype=bool))

    @property
    def categories(self) -> NDArray[np.int32]:
        """(n,) equal numbers for equal paths; -1: none."""
        numbers: NDArray[np.int32] = self._category.column.values
        return numbers

    @property
    def brands(self) -> NDArray[np.int32]:
        """(n,) likewise."""
        numbers: NDArray[np.int32] = self._brand.column.values
        return numbers

    @property
    def prices(self) -> NDArray[np.float64]:
        """(n,) NaN: not known."""
        prices: NDArray[np.float64] = self._price.values
        return prices

    def mask(self, filters: Filters) -> Mask | None:
        """(n,) true where a row may be shown; None where nothing is filtered."""
        parts: list[Mask] = []
        if filters.category is not None:
            parts.append(self._category.mask(self._below(plain_path(filters.category))))
        if filters.brand is not None:
            number = self._brand.numbers.get(plain_path(filters.brand))
            parts.append(self._brand.mask(set() if number is None else {number}))
        if filters.min_price is not None:
            parts.append(self._price.values >= filters.min_price)
        if filters.max_price is not None:
            parts.append(self._price.values <= filters.max_price)
        if filters.listed_from is not None:
            parts.append(self._listed.values >= _time(filters.listed_from))
        if filters.listed_before is not None:
            parts.append(self._listed.values < _time(filters.listed_before))
        if filters.in_stock is not None:
            parts.append(self._in_stock.values == filters.in_stock)
        return np.logical_and.reduce(parts) if parts else None

    def _below(self, path: str) -> set[int]:
        """Numbers of a path and of all below it; an empty one has none."""
        return {
            number
            for text, number in self._category.numbers.items()
            if path and f"{text} > ".startswith(f"{path} > ")
        }


def _times(values: Sequence[datetime | None]) -> NDArray[np.datetime64]:
    return np.asarray([UNKNOWN_TIME if value is None else _time(value) for value in values], dtype=TIME)


def _time(value: datetime) -> np.datetime64:
    return np.datetime64(value, "us")
