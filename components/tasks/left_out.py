"""What a head would answer to the texts that it learned, had it not learned them.

    heads/<task>/left_out.parquet   text (its SHA-256), probabilities (k,) in the order of the head's labels

A head answers a text that it learned much as it was labelled. Who compares what new texts say with what
earlier ones said, as the monitor does with opinions, has to read both alike.

Legend of shapes: n texts, d dimensions, k labels.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from components.contract.digests import sha256_bytes
from components.contract.files import disk_errors
from components.contract.ports import Encoder, Vectors
from components.tasks.coding import Coding, Floats
from components.tasks.folds import folds_of
from components.tasks.heads import Head, prompted

FILE = "left_out.parquet"
LeftOut = Mapping[str, Sequence[float]]
"""Probabilities (k,) by the key of a text."""
logger = logging.getLogger(__name__)
Relearn = Callable[[NDArray[np.int64]], Head]
"""Rows → the head that they alone would make; it may have fewer labels, and is not calibrated."""


def left_out_outputs(
    head: Head, vectors: Vectors, targets: Sequence[str | float], texts: Sequence[str], relearn: Relearn
) -> tuple[Floats, NDArray[np.int64]]:
    """(n, k) outputs to the n training rows, −inf for a label that the head of the other folds does not have,
    and (n,) codes of their targets, -1 where that is such a label."""
    codes = Coding(labels=head.labels).encode(head.task, targets).astype(np.int64)
    outputs = np.full((len(texts), len(head.labels)), -np.inf)
    place = {label: column for column, label in enumerate(head.labels)}
    for kept, held in folds_of(texts, 0) if len(texts) > 1 else ():
        other = relearn(kept)
        columns = np.asarray([place[label] for label in other.labels], dtype=np.int64)
        outputs[np.ix_(held, columns)] = other.outputs(vectors[held], [texts[row] for row in held])
    unknown = np.isneginf(outputs[np.arange(len(codes)), codes])
    return outputs, np.where(unknown, -1, codes)


def write_left_out(
    head: Head, vectors: Vectors, texts: Sequence[str], relearn: Relearn, folder: Path
) -> None:
    """vectors: (n, d) of the n training texts, in folds: each is answered by a head that learned the other
    folds, calibrated as this one. One without whose fold there is a label less is not written."""
    probabilities = np.full((len(texts), len(head.labels)), np.nan)
    for kept, held in folds_of(texts, 0):
        other = relearn(kept)
        if other.labels == head.labels:
            other = replace(other, temperature=head.temperature, class_bias=head.class_bias)
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
