"""Columns of texts as numbers: rows of equal text share one, so that a search compares numbers."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int32]
Text = TypeVar("Text", bound=str | None)


def renumbered(numbers: Mapping[Text, int], codes: Codes) -> tuple[dict[Text, int], Codes]:
    """numbers: per text its number, ascending from 0; codes: (n,) those of some rows, negative: no text →
    the same without the texts that none of the rows has, numbered from 0 in the order they had."""
    left = np.unique(codes[codes >= 0])
    texts = list(numbers)
    fewer = {texts[number]: new for new, number in enumerate(left.tolist())}
    return fewer, np.where(codes < 0, codes, np.searchsorted(left, codes)).astype(np.int32)
