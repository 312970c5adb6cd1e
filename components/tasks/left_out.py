"""What a head would answer to the texts that it learned, had it not learned them.

    heads/<task>/left_out.parquet   text (its SHA-256), probabilities (k,) in the order of the head's labels

A head answers a text that it learned much as it was labelled. Who compares what new texts say with what
earlier ones said, as the monitor does with opinions, has to read both alike.

Legend of shapes: n texts, d dimensions, k labels.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.digests import sha256_bytes
from components.contract.files import disk_errors
from components.contract.ports import Encoder, Vectors
from components.tasks.coding import Floats
from components.tasks.folds import folds_of
from components.tasks.heads import Head, prompted

FILE = "left_out.parquet"
LeftOut = Mapping[str, Sequence[float]]
"""Probabilities (k,) by the key of a text."""
logger = logging.getLogger(__name__)
Refit = Callable[[NDArray[np.int64]], Head | None]
"""Rows → the head as it would be, had it learned these alone; None where they do not have all its labels."""


def write_left_out(head: Head, vectors: Vectors, texts: Sequence[str], refit: Refit, folder: Path) -> None:
    """vectors: (n, d) of the n training texts, in folds: each is answered by a head that learned the other
    folds. One whose fold cannot be left out is not written."""
    probabilities = np.full((len(texts), len(head.labels)), np.nan)
    for kept, held in folds_of(texts, 0):
        if (other := refit(kept)) is not None:
            probabilities[held] = other.probabilities(vectors[held], [texts[row] for row in held])
    rows = pl.DataFrame({"text": [_key(text) for text in texts], "probabilities": probabilities.tolist()})
    rows = rows.cast({"probabilities": pl.List(pl.Float32)})
    known = rows.filter(pl.col("probabilities").list.first().is_not_nan())
    with disk_errors(folder / FILE):
        known.unique("text", keep="first", maintain_order=True).sort("text").write_parquet(folder / FILE)


def read_left_out(folder: Path) -> LeftOut:
    """None of a release from before they were kept, and it says so."""
    if not (folder / FILE).is_file():
        logger.warning(
            "%s is absent: this release reads texts that it learned more surely than new ones, and both are "
            "compared. The next promoted retrain mends that.",
            folder / FILE,
        )
        return {}
    with disk_errors(folder / FILE):
        return dict(pl.read_parquet(folder / FILE).iter_rows())


def probabilities_unlearned(head: Head, encoder: Encoder, texts: Sequence[str], left_out: LeftOut) -> Floats:
    """(n, k) of n texts: by the head, and of those that it learned by heads that had not."""
    asked = [prompted(head.task, text.strip()) for text in texts]  # as training rows have theirs
    keys = [_key(text) for text in asked]
    found = np.asarray([left_out.get(key, [np.nan] * len(head.labels)) for key in keys])
    unknown = [row for row, key in enumerate(keys) if key not in left_out]
    if unknown:
        unread = [asked[row] for row in unknown]
        found[unknown] = head.probabilities(encoder.encode_items(unread), unread)
    return found


def _key(text: str) -> str:
    return sha256_bytes(text.encode())
